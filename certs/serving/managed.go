package serving

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/rotation"
)

const (
	// lookInterval is the longest time between two looks at the wall clock, which
	// may be set at any time.
	lookInterval = time.Minute
	// retryPause is the time after which is tried again what failed.
	retryPause = 2 * time.Second
	// shortestPause bounds how often is looked for what is due.
	shortestPause = 50 * time.Millisecond
)

// authorities keeps the rotation of our authority; *secret.Store does.
type authorities interface {
	Sync(ctx context.Context, trusted certs.Bundle) (*rotation.State, error)
	Watch(ctx context.Context, changed func()) error
}

// publisher tells kube-apiserver whom to trust; *publish.Publisher does.
type publisher interface {
	Publish(ctx context.Context, bundle certs.Bundle, exact bool) error
	Watch(ctx context.Context, changed func()) error
}

type managedOptions struct {
	leaf             certs.Leaf
	settle, interval time.Duration
	clock            clock.Clock
}

// managed is a certificate in memory that is signed by an authority of ours.
//
// The certificate of a new authority is shown only when all of kube-apiserver's
// configurations that concern this server have named that authority for a while;
// and the authority of the certificate that is shown is not taken from them.
type managed struct {
	authorities authorities
	publisher   publisher
	options     managedOptions
	// wake ends a pause.
	wake chan struct{}
	// first is closed when there is a certificate.
	first chan struct{}

	// These belong to Run: the rotation as it was last seen, who signed what is
	// shown, what was last published, when that was written, and since when each
	// authority has been published, by fingerprint.
	state     *rotation.State
	issuer    *certs.Authority
	published certs.Bundle
	writtenAt time.Time
	since     map[string]time.Time

	mutex     sync.Mutex
	pair      *certs.Pair
	listeners []dynamiccertificates.Listener
	report    report
}

// report is what others may know.
type report struct {
	// everPublished tells whether it was, current whether the last time was good.
	everPublished, current bool
	problem                error
	authorityNotAfter      time.Time
}

var _ Source = (*managed)(nil)

func newManaged(a authorities, p publisher, options managedOptions) *managed {
	return &managed{
		authorities: a, publisher: p, options: options,
		wake: make(chan struct{}, 1), first: make(chan struct{}),
		since:  map[string]time.Time{},
		report: report{problem: errors.New("it was not tried yet")},
	}
}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (m *managed) Name() string { return "managed-serving-certificate" }

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (m *managed) CurrentCertKeyContent() ([]byte, []byte) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.pair == nil {
		return nil, nil
	}
	return m.pair.CertificatePEM, m.pair.KeyPEM
}

// AddListener implements dynamiccertificates.Notifier.
func (m *managed) AddListener(listener dynamiccertificates.Listener) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.listeners = append(m.listeners, listener)
}

// Published implements Source.
func (m *managed) Published() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.report.everPublished {
		return nil
	}
	return fmt.Errorf("the certificate authority is not published: %w", m.report.problem)
}

// Wait implements Source.
func (m *managed) Wait(ctx context.Context) error {
	select {
	case <-m.first:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run implements Source.
func (m *managed) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.authorities.Watch(ctx, m.look) })
	group.Go(func() error { return m.publisher.Watch(ctx, m.look) })
	group.Go(func() error {
		m.loop(ctx)
		return nil
	})
	return group.Wait()
}

// look ends a pause.
func (m *managed) look() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *managed) loop(ctx context.Context) {
	logger := klog.FromContext(ctx)
	for ctx.Err() == nil {
		due, err := m.step(ctx)
		if err != nil && ctx.Err() == nil {
			logger.Info("Certificates are not as they should be yet", "reason", err.Error())
		}
		timer := m.options.clock.NewTimer(max(shortestPause, min(due.Sub(m.options.clock.Now()), lookInterval)))
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// step does what is due and returns when something will be again. What fails does
// not keep the rest from being done.
func (m *managed) step(ctx context.Context) (time.Time, error) {
	state, err := m.authorities.Sync(ctx, m.published)
	if err == nil {
		m.state = state
	}
	if m.state == nil {
		m.tell(err)
		return m.retry(), err
	}
	errs := []error{err, m.publish(ctx)}
	m.tell(errors.Join(errs...))
	errs = append(errs, m.renew())
	if err := errors.Join(errs...); err != nil {
		return m.retry(), err
	}
	return m.due(), nil
}

func (m *managed) retry() time.Time { return m.options.clock.Now().Add(retryPause) }

// publish tells kube-apiserver whom to trust. Exactly that is written when it is
// new, and again from time to time.
func (m *managed) publish(ctx context.Context) error {
	now := m.options.clock.Now()
	bundle := m.state.Bundle()
	if m.issuer != nil && now.Before(m.issuer.NotAfter()) {
		bundle = bundle.With(m.issuer.Certificate())
	}
	same := bundle.Covers(m.published) && m.published.Covers(bundle)
	exact := !same || now.Sub(m.writtenAt) >= m.options.interval || now.Before(m.writtenAt)
	if err := m.publisher.Publish(ctx, bundle, exact); err != nil {
		return err
	}
	m.published = bundle
	if exact {
		m.writtenAt = now
	}
	since := map[string]time.Time{}
	for _, certificate := range bundle {
		fingerprint := certs.Fingerprint(certificate)
		since[fingerprint] = now
		if before, known := m.since[fingerprint]; known && before.Before(now) {
			since[fingerprint] = before
		}
	}
	m.since = since
	return nil
}

// renew makes another certificate if the one that is shown is old, or another
// authority is to sign.
func (m *managed) renew() error {
	now := m.options.clock.Now()
	signer := m.issuer
	if from, known := m.trustedFrom(); signer == nil || known && !now.Before(from) || !now.Before(signer.NotAfter()) {
		signer = m.state.Signing()
	}
	m.mutex.Lock()
	shown := m.pair
	m.mutex.Unlock()
	if shown != nil && now.Before(shown.RenewAt) && signer.Certificate().Equal(m.issuer.Certificate()) {
		return nil
	}
	pair, err := signer.Issue(m.options.leaf)
	if err != nil {
		return err
	}
	m.issuer = signer
	m.mutex.Lock()
	m.pair = pair
	listeners := m.listeners
	m.mutex.Unlock()
	for _, listener := range listeners {
		listener.Enqueue()
	}
	if shown == nil {
		close(m.first)
	}
	return nil
}

// trustedFrom is when everybody trusts the authority that signs, if it is published.
// The replica whose clock is furthest ahead makes it, and for others it is not valid
// yet.
func (m *managed) trustedFrom() (time.Time, bool) {
	authority := m.state.Signing().Certificate()
	since, known := m.since[certs.Fingerprint(authority)]
	from := since.Add(m.options.settle)
	if authority.NotBefore.After(from) {
		from = authority.NotBefore
	}
	return from, known
}

// due is when something is to be done although nothing changes.
func (m *managed) due() time.Time {
	m.mutex.Lock()
	due := m.pair.RenewAt
	m.mutex.Unlock()
	moments := []time.Time{m.state.Due(), m.writtenAt.Add(m.options.interval)}
	if !m.state.Signing().Certificate().Equal(m.issuer.Certificate()) {
		if from, known := m.trustedFrom(); known {
			moments = append(moments, from)
		}
	} else if len(m.published) > len(m.state.Bundle()) {
		// The authority of the certificate before.
		moments = append(moments, m.options.clock.Now())
	}
	for _, moment := range moments {
		if moment.Before(due) {
			due = moment
		}
	}
	return due
}

// tell says to others how publishing went.
func (m *managed) tell(problem error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.report.current, m.report.problem = problem == nil, problem
	m.report.everPublished = m.report.everPublished || problem == nil
	if m.state != nil {
		m.report.authorityNotAfter = m.state.Signing().NotAfter()
	}
}
