package leadership

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/klog/v2"

	// The library's own metric of leadership: leader_election_master_status.
	_ "k8s.io/component-base/metrics/prometheus/clientgo/leaderelection"

	"github.com/ambient-code/ambient-kube/apiserver/leadership/calm"
)

// Options say how to lead.
type Options struct {
	// Leases of the namespace, and the Name of the Lease that the leader holds.
	Leases coordinationclient.LeaseInterface
	Name   string
	// Identity is what the Lease calls this process. Processes that can run at the
	// same time must differ in it.
	Identity string
	// LeaseDuration is after what time without renewal another may take the Lease,
	// RenewDeadline, which is shorter, after what time its holder stops by itself.
	LeaseDuration, RenewDeadline time.Duration
	// RetryPeriod is the pause between two looks at the Lease.
	RetryPeriod time.Duration
	// CallDeadline bounds each call of the upstream.
	CallDeadline time.Duration
}

// Takeover is what a new leader has to know of its forerunners.
type Takeover struct {
	// Taken is when the Lease was taken.
	Taken time.Time
	// Since is the moment after which nobody else wrote: what was read of the
	// upstream later is not older than what any client has seen.
	Since time.Time
	// Orderly tells that the former leader, if there was one, has released the Lease.
	Orderly bool
	// Unsettled is for how long after Taken creations of forerunners may still be
	// committed; zero after an orderly release.
	Unsettled time.Duration
}

// Leadership takes part in the election. It is used once.
type Leadership struct {
	options Options
	lock    *lock
	elector *leaderelection.LeaderElector
	taken   chan struct{}
}

// New returns what takes part in the election when Campaign is called.
func New(options Options) (*Leadership, error) {
	l := &Leadership{options: options, taken: make(chan struct{}), lock: &lock{
		leases: options.Leases, name: options.Name, identity: options.Identity,
		callDeadline: options.CallDeadline, validity: options.RenewDeadline, now: time.Now,
		observed: make(chan struct{}), lost: make(chan struct{}),
	}}
	var err error
	l.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: options.Name, Lock: l.lock,
		LeaseDuration: options.LeaseDuration, RenewDeadline: options.RenewDeadline, RetryPeriod: options.RetryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(l.taken) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing leader election: %w", err)
	}
	return l, nil
}

// Campaign tries to take the Lease and then keeps it, until the context ends, which
// is no error, or the Lease is lost: ErrLost. It does not release the Lease.
func (l *Leadership) Campaign(ctx context.Context) error {
	electing, stop := context.WithCancel(klog.NewContext(ctx, calm.Logger(klog.FromContext(ctx))))
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.elector.Run(electing)
	}()
	select {
	case <-ended:
	case <-l.lock.lost:
		stop()
		<-ended
	}
	select {
	case <-l.lock.lost:
		return ErrLost
	default:
	}
	if ctx.Err() != nil {
		return nil
	}
	l.lock.mu.Lock()
	defer l.lock.mu.Unlock()
	l.lock.lose()
	return ErrLost
}

// Observed is closed when it is known for the first time who holds the Lease.
func (l *Leadership) Observed() <-chan struct{} { return l.lock.observed }

// Taken is closed when this process has taken the Lease.
func (l *Leadership) Taken() <-chan struct{} { return l.taken }

// Lost is closed when the Lease is lost after it was taken.
func (l *Leadership) Lost() <-chan struct{} { return l.lock.lost }

// Holds tells whether this process leads at this moment. It does not rely on being
// told of a loss: a process that was paused finds its renewal out of date.
func (l *Leadership) Holds() bool { return l.lock.valid() }

// Takeover tells what the new leader has to know; it is meaningful once the Lease
// is taken.
func (l *Leadership) Takeover() Takeover {
	l.lock.mu.Lock()
	defer l.lock.mu.Unlock()
	return l.lock.takeover
}

// Holder returns who was last seen to hold the Lease; empty for nobody.
func (l *Leadership) Holder() string { return l.lock.holder() }

// Release gives the Lease back after Campaign has returned, and after all writes of
// this process have ended. It does nothing if the Lease was never taken.
func (l *Leadership) Release(ctx context.Context) error {
	if !l.Holds() {
		return nil
	}
	if err := l.lock.release(ctx); err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	return nil
}
