package reconciler

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// lock is the Lease as the library's election wants it. The election notices that a
// renewal failed when the requests for it have failed; this lock knows when the latest
// renewal is no longer good, even while requests hang. From then on the Lease is no
// longer this process's: to be renewed, or to be released.
type lock struct {
	resourcelock.Interface
	validity time.Duration
	// lost is closed when a renewal was due and did not come.
	lost chan struct{}

	mutex sync.Mutex
	// timer closes lost; nil as long as the Lease was never held.
	timer *time.Timer
	ended bool
}

func newLock(library resourcelock.Interface, validity time.Duration) *lock {
	return &lock{Interface: library, validity: validity, lost: make(chan struct{})}
}

// Create implements resourcelock.Interface.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Create)
}

// Update implements resourcelock.Interface.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(ctx, record, l.Interface.Update)
}

func (l *lock) write(ctx context.Context, record resourcelock.LeaderElectionRecord, write func(context.Context, resourcelock.LeaderElectionRecord) error) error {
	if l.isLost() {
		return errLeadLost
	}
	// Others count from when they see it, which is not before it was sent.
	sent := time.Now()
	if err := write(ctx, record); err != nil {
		return err
	}
	if record.HolderIdentity == l.Identity() {
		l.renewed(sent)
	}
	return nil
}

// renewed notes that a renewal that was sent at the time succeeded.
func (l *lock) renewed(sent time.Time) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.ended {
		return
	}
	left := l.validity - time.Since(sent)
	if l.timer == nil {
		l.timer = time.AfterFunc(left, l.expire)
		return
	}
	l.timer.Reset(left)
}

// expire ends the leadership for good.
func (l *lock) expire() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !l.ended {
		l.ended = true
		close(l.lost)
	}
}

func (l *lock) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// stop ends the timer, for nobody asks any more.
func (l *lock) stop() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.ended = true
	if l.timer != nil {
		l.timer.Stop()
	}
}
