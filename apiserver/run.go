package apiserver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/leadership"
)

const (
	// drainTimeout bounds how long requests under way may take after the server was
	// told to end. If that is not enough, the lease is left to expire.
	drainTimeout = 20 * time.Second
	// releaseTimeout bounds the release of the lease.
	releaseTimeout = 5 * time.Second
)

// Run serves until the context ends, and then ends in order: requests and watches
// first, the feeds after them; then the lease is released, and discovery served until
// another replica does; the connection to the upstream ends last.
//
// It returns leadership.ErrLost as soon as the lease is lost, without waiting for
// anything: the process has to end at once then.
func (s *Server) Run(ctx context.Context) error {
	defer s.events.stop()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	select {
	case err := <-ended:
		if err != nil {
			return closing(s.client, err)
		}
	case <-s.config.leadership.Lost():
		return leadership.ErrLost
	}
	if err := s.client.Close(); err != nil {
		return fmt.Errorf("closing the connection to the upstream: %w", err)
	}
	return nil
}

// run runs everything until the context ends or one part fails.
func (s *Server) run(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, running := errgroup.WithContext(running)
	feeding := start(group, running, s.feed)
	campaign := start(group, running, s.config.leadership.Campaign)
	leading := start(group, running, s.lead)
	group.Go(func() error { return s.backends.WatchEpoch(running) })
	group.Go(func() error { return s.certificate.Run(running) })
	group.Go(func() error {
		if err := s.certificate.Wait(running); err != nil {
			return nil //nolint:nilerr // it was told to end before it could begin
		}
		if err := s.generic.PrepareRun().RunWithContext(running); err != nil {
			return fmt.Errorf("serving: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer stop()
		select {
		case <-running.Done():
			return nil
		case <-ctx.Done():
		}
		return s.handOver(klog.NewContext(running, klog.FromContext(ctx)), feeding, leading, campaign)
	})
	return group.Wait()
}

// part is a part of the server that can be ended by itself.
type part struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// start runs a part of the server in the group.
func start(group *errgroup.Group, ctx context.Context, run func(context.Context) error) part {
	ctx, cancel := context.WithCancel(ctx)
	p := part{cancel: cancel, ended: make(chan struct{})}
	group.Go(func() error {
		defer close(p.ended)
		defer cancel()
		return run(ctx)
	})
	return p
}

// end ends the part and waits for it.
func (p part) end() {
	p.cancel()
	<-p.ended
}

// feed keeps the backends equal to the upstream, whoever leads.
func (s *Server) feed(ctx context.Context) error {
	// Before the namespaces are known, a session might be shown to somebody else's
	// tenant. Before it is known that nobody leads, a listing proves nothing.
	if !cache.WaitForCacheSync(ctx.Done(), s.namespacesSynced) {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.config.leadership.Observed():
	}
	return s.backends.Run(ctx)
}

// lead waits until this process has the lease, and then serves.
func (s *Server) lead(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.config.leadership.Taken():
	}
	epoch, err := s.config.claimEpoch(ctx)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // it failed because it was told to end
	case err != nil:
		return err
	}
	takeover := s.config.leadership.Takeover()
	term := backend.Term{Epoch: epoch, Since: takeover.Since}
	if takeover.Unsettled > 0 {
		term.CreatesAfter = takeover.Taken.Add(takeover.Unsettled)
	}
	s.backends.Lead(term)
	s.term.epoch.Store(epoch)
	s.config.gate.Open()
	klog.FromContext(ctx).Info("Leading", "epoch", epoch, "unsettled", takeover.Unsettled)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.arbiter.Run(ctx) })
	group.Go(func() error {
		s.config.pods.Keep(ctx, takeover.Orderly)
		return nil
	})
	return group.Wait()
}

// handOver ends what only the leader may do, releases the lease, and goes on serving
// discovery until another pod does.
func (s *Server) handOver(ctx context.Context, feeding, leading, campaign part) error {
	draining, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	drained := s.config.gate.Close(draining)
	leading.end()
	feeding.end()
	drained = errors.Join(drained, s.backends.Quiesce(draining))
	served := s.config.leadership.Holds()
	campaign.end()
	if !served {
		return nil
	}
	if drained != nil {
		klog.FromContext(ctx).Info("The lease is left to expire: writes may still be under way", "err", drained)
		return nil
	}
	releasing, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	if err := s.config.leadership.Release(releasing); err != nil {
		klog.FromContext(ctx).Info("The lease is left to expire", "err", err)
	}
	waiting, cancel := context.WithTimeout(ctx, s.config.options.HandOverTimeout)
	defer cancel()
	s.config.pods.AwaitSuccessor(waiting)
	return nil
}

// termDetail tells who serves, for people.
type termDetail struct {
	leadership *leadership.Leadership
	// epoch is that of the own term; zero before it.
	epoch atomic.Uint32
}

// leading returns the epoch while this replica leads, else zero.
func (d *termDetail) leading() uint32 {
	if epoch := d.epoch.Load(); epoch != 0 && d.leadership.Holds() {
		return epoch
	}
	return 0
}

func (d *termDetail) describe() string {
	switch epoch := d.epoch.Load(); {
	case epoch != 0 && d.leadership.Holds():
		return fmt.Sprintf("leadership: this replica leads, in epoch %d\n", epoch)
	case epoch != 0:
		return fmt.Sprintf("leadership: this replica led in epoch %d, and ends\n", epoch)
	default:
		return fmt.Sprintf("leadership: this replica stands by; the lease is held by %q\n", d.leadership.Holder())
	}
}
