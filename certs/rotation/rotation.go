// Package rotation decides how one certificate authority follows another so that
// no client ever meets a certificate that it does not trust: the next authority is
// made and trusted beside the old one; a while later it signs; the old one is
// trusted until the last certificate that it signed has expired.
//
// It owns the steps and how they are written down. It must not know where that is
// kept, who publishes what is trusted, or what is signed.
package rotation

import (
	"crypto/x509"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/ambient-code/ambient-kube/certs"
)

// Policy says how long things take.
type Policy struct {
	// Name is the common name of the authorities.
	Name string
	// AuthorityLifetime is how long a new authority is valid. A successor is made
	// when two thirds of that are over.
	AuthorityLifetime time.Duration
	// LeafLifetime is the longest life of a certificate that they sign.
	LeafLifetime time.Duration
	// Settle is how long an authority is trusted before it signs.
	Settle time.Duration
	// Clock tells the time.
	Clock clock.PassiveClock
}

func (p Policy) newAuthority() (*certs.Authority, error) {
	return certs.NewAuthority(p.Name, certs.WithLifetime(p.AuthorityLifetime), certs.WithClock(p.Clock.Now))
}

// retirement is how long an authority is trusted that signs no more. Whoever signs
// may be late by as much as the next one was early.
func (p Policy) retirement() time.Time { return p.Clock.Now().Add(p.LeafLifetime + p.Settle) }

// retired is an authority that is still trusted and signs no more.
type retired struct {
	certificate *x509.Certificate
	until       time.Time
}

// State is where a rotation stands. Nobody may use one at the same time.
type State struct {
	signing *certs.Authority
	// next signs from signFrom on; nil if there is none.
	next     *certs.Authority
	signFrom time.Time
	retired  []retired
}

// New begins with a fresh authority that signs at once. What was trusted before
// goes on being trusted as long as certificates of it may be in use.
func New(policy Policy, before certs.Bundle) (*State, error) {
	authority, err := policy.newAuthority()
	if err != nil {
		return nil, err
	}
	state := &State{signing: authority}
	for _, certificate := range before {
		state.retire(certificate, policy)
	}
	return state, nil
}

// Signing returns the authority that signs now.
func (s *State) Signing() *certs.Authority { return s.signing }

// Rotating tells whether an authority waits to sign.
func (s *State) Rotating() bool { return s.next != nil }

// Bundle returns all that is trusted, the authority that signs first.
func (s *State) Bundle() certs.Bundle {
	bundle := certs.Bundle{s.signing.Certificate()}
	if s.next != nil {
		bundle = bundle.With(s.next.Certificate())
	}
	for _, former := range s.retired {
		bundle = bundle.With(former.certificate)
	}
	return bundle
}

// Advance takes the steps that are due, and the first one also when it is asked
// for, unless it was taken already. It returns a word on each step taken.
func (s *State) Advance(policy Policy, requested bool) ([]string, error) {
	now := policy.Clock.Now()
	var steps []string
	kept := slices.DeleteFunc(slices.Clone(s.retired), func(former retired) bool {
		return !now.Before(former.until) || !now.Before(former.certificate.NotAfter)
	})
	if len(kept) < len(s.retired) {
		s.retired = kept
		steps = append(steps, "dropped")
	}
	expired := !now.Before(s.signing.NotAfter())
	if s.next != nil && (expired || !now.Before(s.signFrom)) {
		s.retire(s.signing.Certificate(), policy)
		s.signing, s.next, s.signFrom = s.next, nil, time.Time{}
		steps = append(steps, "signing")
		expired = !now.Before(s.signing.NotAfter())
	}
	if s.next != nil || !requested && now.Before(s.signing.RenewAt()) {
		return steps, nil
	}
	next, err := policy.newAuthority()
	if err != nil {
		return nil, err
	}
	if expired {
		// Nobody trusts the old one any more: there is nothing to overlap with.
		s.signing = next
		return append(steps, "begun anew"), nil
	}
	s.next, s.signFrom = next, now.Add(policy.Settle)
	return append(steps, "prepared"), nil
}

// Due is when Advance has something to do next.
func (s *State) Due() time.Time {
	due := s.signing.RenewAt()
	if s.next != nil {
		due = s.signFrom
	}
	for _, former := range s.retired {
		if former.until.Before(due) {
			due = former.until
		}
	}
	return due
}

func (s *State) retire(certificate *x509.Certificate, policy Policy) {
	if policy.Clock.Now().Before(certificate.NotAfter) {
		s.retired = append(s.retired, retired{certificate, policy.retirement()})
	}
}
