package backend

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// longestRetry bounds the time after which a client is asked to try again, in
// seconds: some clients do so without asking anybody.
const longestRetry = 5

// Term is what a new leader knows of its time in office.
type Term struct {
	// Epoch is the upper half of every resource version that it gives out.
	Epoch uint32
	// Since is when its forerunners stopped to write: what was listed before may be
	// older than what their clients have seen, and is not served.
	Since time.Time
	// CreatesAfter is when creations of its forerunners have ended one way or the
	// other; zero if none can be under way.
	CreatesAfter time.Time
}

// office is whether this process leads.
type office struct {
	mayWrite func() error
	// started is when the feeds were.
	started atomic.Pointer[time.Time]
	// term is nil while the process stands by.
	term atomic.Pointer[Term]
}

func newOffice(mayWrite func() error) *office {
	if mayWrite == nil {
		mayWrite = func() error { return nil }
	}
	return &office{mayWrite: mayWrite}
}

// begin notes that the feeds start.
func (o *office) begin() {
	now := time.Now()
	o.started.Store(&now)
}

// Lead makes the standby's backends those of the leader: their journals begin in the
// epoch, and requests are answered as soon as everything was listed in this term.
func (b *Backends) Lead(term Term) {
	b.Sessions.begin(term.Epoch)
	b.Projects.begin(term.Epoch)
	b.Settings.begin(term.Epoch)
	b.office.term.Store(&term)
	// What has to be listed is asked for now, not by the first request.
	b.Sessions.feed.Relist()
	b.Projects.feed.Relist()
	b.Settings.feed.Relist()
}

// Quiesce waits until no write is under way at the upstream. From then on none is
// made, whatever is asked.
func (b *Backends) Quiesce(ctx context.Context) error {
	for range maxInFlight {
		if _, err := b.writes.acquire(ctx, true); err != nil {
			return fmt.Errorf("waiting for the end of writes to the upstream: %w", err)
		}
	}
	return nil
}

// upToDate returns nil once this process leads and has listed everything since its
// forerunners stopped to write.
func (k *kind[R]) upToDate() error {
	if k.fresh.Load() {
		return nil
	}
	term := k.office.term.Load()
	if term == nil {
		return unavailable("this replica stands by")
	}
	if started := k.office.started.Load(); started.Before(term.Since) && !k.feed.CompleteSince().After(term.Since) {
		k.feed.Relist()
		return unavailable("this replica takes over: it has to list all %s first", k.resource.Resource)
	}
	k.fresh.Store(true)
	return nil
}

// MayCreate returns nil once no creation of a former leader can be under way: one
// that is committed later would be a second row beside that of a client which tried
// again.
func (k *kind[R]) MayCreate(ctx context.Context) error {
	term := k.office.term.Load()
	switch {
	case term == nil:
		return unavailable("this replica stands by")
	case term.CreatesAfter.IsZero() || k.settled.Load():
		return nil
	}
	if left := time.Until(term.CreatesAfter); left > 0 {
		err := unavailable("creations that the former server asked for may still be under way for %s", left.Round(time.Second))
		err.ErrStatus.Details.RetryAfterSeconds = int32(min(math.Ceil(left.Seconds()), longestRetry))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, outcomePatience)
	defer cancel()
	if err := k.feed.AwaitListing(ctx, term.CreatesAfter); err != nil {
		klog.FromContext(ctx).V(2).Info("What the former server created is not known yet", "resource", k.resource, "err", err)
		return unavailable("what the former server created is not known yet: %s have to be listed first", k.resource.Resource)
	}
	k.settled.Store(true)
	return nil
}
