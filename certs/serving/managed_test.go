package serving

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/rotation"
)

const (
	leafLifetime = 9 * time.Hour
	settle       = time.Minute
	interval     = 2 * time.Minute
)

// kept is a rotation without a Secret. It looks like one that other replicas
// advance, too.
type kept struct {
	policy  rotation.Policy
	state   *rotation.State
	request bool
	err     error
}

func (k *kept) Sync(_ context.Context, trusted certs.Bundle) (*rotation.State, error) {
	if k.err != nil {
		return nil, k.err
	}
	var err error
	if k.state == nil {
		k.state, err = rotation.New(k.policy, trusted)
		return k.state, err
	}
	_, err = k.state.Advance(k.policy, k.request)
	k.request = false
	return k.state, err
}

func (*kept) Watch(ctx context.Context, changed func()) error {
	changed()
	<-ctx.Done()
	return nil
}

// told is a kube-apiserver with one caBundle.
type told struct {
	bundle        certs.Bundle
	writes, looks int
	err           error
}

func (k *told) Publish(_ context.Context, bundle certs.Bundle, exact bool) error {
	k.looks++
	if k.err != nil {
		return k.err
	}
	if exact || !k.bundle.Covers(bundle) {
		k.bundle = bundle
		k.writes++
	}
	return nil
}

func (*told) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

type counting int

func (c *counting) Enqueue() { *c++ }

type stand struct {
	t       *testing.T
	clock   *clocktesting.FakeClock
	kept    *kept
	told    *told
	changes counting
	*managed
}

func newStand(t *testing.T) *stand {
	clock := clocktesting.NewFakeClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	s := &stand{
		t: t, clock: clock, told: &told{},
		kept: &kept{policy: rotation.Policy{Name: "ours", AuthorityLifetime: 900 * time.Hour, LeafLifetime: leafLifetime, Settle: settle, Clock: clock}},
	}
	s.managed = s.restart()
	s.AddListener(&s.changes)
	return s
}

// restart returns a source that remembers nothing.
func (s *stand) restart() *managed {
	return newManaged(s.kept, s.told, managedOptions{
		leaf:   certs.Leaf{CommonName: "server", Usage: certs.Server, DNSNames: []string{"server"}, Lifetime: leafLifetime},
		settle: settle, interval: interval, clock: s.clock,
	})
}

// good takes a step in which nothing fails, and requires that what is shown then is
// trusted.
func (s *stand) good() time.Time {
	s.t.Helper()
	due, err := s.step(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.trusted()
	return due
}

func (s *stand) trusted() {
	s.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.told.bundle.PEM())
	if _, err := s.leaf().Verify(x509.VerifyOptions{Roots: roots, DNSName: "server", CurrentTime: s.clock.Now()}); err != nil {
		s.t.Fatalf("what is shown is not trusted: %v", err)
	}
}

func (s *stand) leaf() *x509.Certificate {
	s.t.Helper()
	data, _ := s.CurrentCertKeyContent()
	block, _ := pem.Decode(data)
	if block == nil {
		s.t.Fatal("there is no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return leaf
}

func (s *stand) signedBy(authority *certs.Authority) bool {
	s.t.Helper()
	return s.leaf().CheckSignatureFrom(authority.Certificate()) == nil
}

func TestItIsPublishedFirst(t *testing.T) {
	s := newStand(t)
	s.told.err = errors.New("forbidden")
	if err := s.Published(); err == nil {
		t.Fatal("published before anything was tried")
	}
	if _, err := s.step(t.Context()); err == nil {
		t.Fatal("no failure")
	}
	if err := s.Published(); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Fatalf("got %v, want the reason", err)
	}
	// There is something to serve probes with.
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.told.err = nil
	s.good()
	if err := s.Published(); err != nil {
		t.Fatal(err)
	}
	// An outage is no reason to be taken out of service.
	s.told.err = errors.New("away")
	if _, err := s.step(t.Context()); err == nil || s.Published() != nil {
		t.Errorf("failure %v, published %v", err, s.Published())
	}
}

// A minute at a time for three lives of an authority: what is shown is trusted at
// every step, also by a process that has just begun.
func TestWhatIsShownIsAlwaysTrusted(t *testing.T) {
	s := newStand(t)
	leaves, authorities := map[string]bool{}, map[string]bool{}
	for range 30 * 60 {
		s.clock.Step(time.Hour)
		for i := 0; ; i++ {
			due := s.good()
			leaves[s.leaf().SerialNumber.String()] = true
			authorities[certs.Fingerprint(s.kept.state.Signing().Certificate())] = true
			if due.After(s.clock.Now()) {
				if i%2 == 0 && due.Sub(s.clock.Now()) < time.Hour {
					s.clock.SetTime(due)
					continue
				}
				break
			}
			if i > 10 {
				t.Fatalf("something is due again and again: %v", due)
			}
		}
	}
	if len(authorities) != 4 {
		t.Errorf("%d authorities signed in 1800 hours of 900, want 4", len(authorities))
	}
	// Each lives for 9 hours and is renewed after 6.
	if len(leaves) < 1800/9 || len(leaves) > 1800/5 {
		t.Errorf("%d certificates in 1800 hours", len(leaves))
	}
	if int(s.changes) != len(leaves) {
		t.Errorf("the server was told %d times of %d certificates", s.changes, len(leaves))
	}
}

func TestACertificateOfANewAuthorityWaitsUntilThatIsTrusted(t *testing.T) {
	s := newStand(t)
	s.good()
	first := s.kept.state.Signing()
	s.kept.request = true
	s.told.err = errors.New("away")
	if _, err := s.step(t.Context()); err == nil {
		t.Fatal("no failure")
	}
	// The others go on: it signs.
	s.clock.Step(2 * settle)
	if _, err := s.step(t.Context()); err == nil || s.kept.state.Signing() == first {
		t.Fatalf("failure %v; the next authority does not sign", err)
	}
	s.trusted()
	if !s.signedBy(first) {
		t.Fatal("shown is a certificate of an authority that nobody was told of")
	}
	s.told.err = nil
	due := s.good()
	if !s.signedBy(first) {
		t.Fatal("it was told just now, and used at once")
	}
	if want := s.clock.Now().Add(settle); !due.Equal(want) {
		t.Errorf("due %v, want when it has settled, %v", due, want)
	}
	s.clock.SetTime(due)
	s.good()
	if !s.signedBy(s.kept.state.Signing()) {
		t.Error("the new authority does not sign")
	}
}

// Another replica, whose clock is a day ahead, has made the next authority.
func TestAnAuthorityThatIsNotValidYetSignsNothing(t *testing.T) {
	s := newStand(t)
	s.good()
	first := s.kept.state.Signing()
	s.kept.policy.Clock = clocktesting.NewFakeClock(s.clock.Now().Add(24 * time.Hour))
	s.kept.request = true
	s.good()
	s.kept.policy.Clock = clocktesting.NewFakeClock(s.clock.Now().Add(24*time.Hour + settle))
	due := s.good()
	second := s.kept.state.Signing()
	if second == first || !second.Certificate().NotBefore.After(s.clock.Now()) {
		t.Fatal("the next authority does not sign, or is valid already")
	}
	for s.clock.Now().Before(second.Certificate().NotBefore) {
		if !s.signedBy(first) {
			t.Fatalf("at %v shown is a certificate of an authority that is valid from %v", s.clock.Now(), second.Certificate().NotBefore)
		}
		if !due.After(s.clock.Now()) {
			t.Fatalf("something is due at once, again and again: %v", due)
		}
		s.clock.SetTime(due)
		due = s.good()
	}
	if !s.signedBy(second) {
		t.Error("the authority signs nothing although it is valid")
	}
}

// The old authority is gone from the Secret, and nobody remembers it but who shows a
// certificate of it.
func TestTheAuthorityOfWhatIsShownIsNotTakenAway(t *testing.T) {
	s := newStand(t)
	s.good()
	first := s.kept.state.Signing()
	var err error
	if s.kept.state, err = rotation.New(s.kept.policy, nil); err != nil {
		t.Fatal(err)
	}
	due := s.good()
	if !s.signedBy(first) {
		t.Fatal("the new authority signs before it is trusted")
	}
	s.clock.SetTime(due)
	if due = s.good(); due.After(s.clock.Now()) {
		t.Error("the old authority's trust outlives its use")
	}
	s.good()
	if !s.signedBy(s.kept.state.Signing()) || len(s.told.bundle) != 1 {
		t.Errorf("signed by the new one: %v; trusted are %d, want 1", s.signedBy(s.kept.state.Signing()), len(s.told.bundle))
	}
}

func TestPublishingIsAssertedAgain(t *testing.T) {
	s := newStand(t)
	due := s.good()
	if want := s.clock.Now().Add(interval); !due.Equal(want) || s.told.writes != 1 {
		t.Fatalf("%d writes, due %v, want %v", s.told.writes, due, want)
	}
	// A look because of a change that is none of ours.
	s.good()
	if s.told.writes != 1 {
		t.Error("written although nothing has changed")
	}
	s.told.bundle = nil
	s.good()
	if s.told.writes != 2 {
		t.Error("not written although somebody took it away")
	}
	s.clock.Step(interval)
	s.good()
	if s.told.writes != 3 {
		t.Error("not written in its turn")
	}
	// The clock was set back.
	s.clock.SetTime(s.clock.Now().Add(-time.Hour))
	if _, err := s.step(t.Context()); err != nil || s.told.writes != 4 {
		t.Errorf("%d writes, %v", s.told.writes, err)
	}
}

func TestWithoutTheSecretWhatIsThereIsRenewed(t *testing.T) {
	s := newStand(t)
	s.good()
	before := s.leaf()
	s.kept.err = errors.New("away")
	s.clock.Step(leafLifetime - time.Minute)
	if _, err := s.step(t.Context()); err == nil {
		t.Fatal("no failure")
	}
	s.trusted()
	if !s.leaf().NotAfter.After(before.NotAfter) {
		t.Error("the certificate was not renewed")
	}
	// A process that has just begun has nothing to serve with.
	fresh := s.restart()
	if _, err := fresh.step(t.Context()); err == nil || !strings.Contains(fresh.Published().Error(), "away") {
		t.Errorf("failure %v, published %v", err, fresh.Published())
	}
}

// Run looks when something changed, and when something is due by the wall clock.
func TestRunFollowsTheClock(t *testing.T) {
	s := newStand(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _ := s.CurrentCertKeyContent()
	for {
		if now, _ := s.CurrentCertKeyContent(); string(now) != string(first) {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the certificate was never renewed")
		}
		if s.clock.HasWaiters() {
			s.clock.Step(lookInterval)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMetrics(t *testing.T) {
	s := newStand(t)
	if _, err := s.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Two lifetimes after 2030 began: 1893456000.
	const want = `
# HELP ambient_kube_certificate_authority_published 1 if the caBundles that kube-apiserver checks our certificate against are known to hold our own authority, 0 if they could not be read or written; absent where somebody else writes them.
# TYPE ambient_kube_certificate_authority_published gauge
ambient_kube_certificate_authority_published 1
# HELP ambient_kube_certificate_expiration_timestamp_seconds When the certificate expires, in seconds since 1970: the one that is served (leaf), and that of our own authority, if it is our own (authority).
# TYPE ambient_kube_certificate_expiration_timestamp_seconds gauge
ambient_kube_certificate_expiration_timestamp_seconds{certificate="authority"} 1.896696e+09
ambient_kube_certificate_expiration_timestamp_seconds{certificate="leaf"} 1.8934884e+09
`
	if err := testutil.CollectAndCompare(NewCollector(s.managed), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	s.told.err = errors.New("away")
	if _, err := s.step(t.Context()); err == nil {
		t.Fatal("no failure")
	}
	if err := testutil.CollectAndCompare(NewCollector(s.managed), strings.NewReader(strings.Replace(want, "published 1\n", "published 0\n", 1))); err != nil {
		t.Error(err)
	}
}
