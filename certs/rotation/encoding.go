package rotation

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/ambient-code/ambient-kube/certs"
)

// Keys under which a state is written down.
const (
	// signing authority, as in every Secret of type kubernetes.io/tls
	signingCertificate, signingKey = "tls.crt", "tls.key"
	// authority that is to sign next, if there is one
	nextCertificate, nextKey = "next.crt", "next.key"
	// BundleKey holds all that is trusted.
	BundleKey = "ca.crt"
	// schedule of the steps, as JSON
	scheduleKey = "schedule"
)

// schedule is what certificates don't tell themselves.
type schedule struct {
	// SignFrom is when the next authority begins to sign.
	SignFrom *time.Time `json:"signFrom,omitempty"`
	// TrustedUntil is when those that sign no more are dropped, by fingerprint.
	TrustedUntil map[string]time.Time `json:"trustedUntil,omitempty"`
}

// Encode writes the state into data, and leaves what else is in there.
func (s *State) Encode(data map[string][]byte) (map[string][]byte, error) {
	data = maps.Clone(data)
	if data == nil {
		data = map[string][]byte{}
	}
	for _, key := range []string{nextCertificate, nextKey} {
		delete(data, key)
	}
	plan := schedule{TrustedUntil: map[string]time.Time{}}
	for _, former := range s.retired {
		plan.TrustedUntil[certs.Fingerprint(former.certificate)] = former.until.UTC()
	}
	var err error
	if s.next != nil {
		from := s.signFrom.UTC()
		plan.SignFrom = &from
		data[nextCertificate] = s.next.CertificatePEM()
		if data[nextKey], err = s.next.KeyPEM(); err != nil {
			return nil, err
		}
	}
	data[signingCertificate] = s.signing.CertificatePEM()
	if data[signingKey], err = s.signing.KeyPEM(); err != nil {
		return nil, err
	}
	data[BundleKey] = s.Bundle().PEM()
	if data[scheduleKey], err = json.Marshal(plan); err != nil {
		return nil, fmt.Errorf("encoding the schedule: %w", err)
	}
	return data, nil
}

// Decode reads what Encode wrote. What is trusted without a schedule is trusted as
// if it had signed until now.
func Decode(data map[string][]byte, policy Policy) (*State, error) {
	clock := certs.WithClock(policy.Clock.Now)
	signing, err := certs.ParseAuthority(data[signingCertificate], data[signingKey], clock)
	if err != nil {
		return nil, fmt.Errorf("reading the authority that signs: %w", err)
	}
	state := &State{signing: signing}
	var plan schedule
	if text := data[scheduleKey]; len(text) > 0 {
		if err := json.Unmarshal(text, &plan); err != nil {
			return nil, fmt.Errorf("reading the schedule: %w", err)
		}
	}
	if len(data[nextCertificate]) > 0 {
		if state.next, err = certs.ParseAuthority(data[nextCertificate], data[nextKey], clock); err != nil {
			return nil, fmt.Errorf("reading the next authority: %w", err)
		}
		state.signFrom = policy.Clock.Now().Add(policy.Settle)
		if plan.SignFrom != nil {
			state.signFrom = *plan.SignFrom
		}
	}
	bundle, err := certs.ParseBundle(data[BundleKey])
	if err != nil {
		return nil, fmt.Errorf("reading what is trusted: %w", err)
	}
	current := state.Bundle()
	for _, certificate := range bundle {
		if current.Covers(certs.Bundle{certificate}) {
			continue
		}
		until, planned := plan.TrustedUntil[certs.Fingerprint(certificate)]
		if !planned {
			until = policy.retirement()
		}
		state.retired = append(state.retired, retired{certificate, until})
	}
	return state, nil
}
