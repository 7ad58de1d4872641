package leadership

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
)

// UnsettledAnnotation of the Lease says for how long after the Lease changed hands
// the upstream may still commit creations that former holders asked for, as a Go
// duration.
const UnsettledAnnotation = "ambient.io/unsettled-for"

// ErrLost says that the Lease is another's, or was not renewed in time: what this
// process knows may be out of date, and another may serve.
var ErrLost = errors.New("the lease was lost")

// lock is the Lease as the library's election wants it. Beyond what the library's
// own lock does, it keeps the Lease's annotations, knows for how long a renewal is
// good, and notes what the former holder left behind.
type lock struct {
	leases         coordinationclient.LeaseInterface
	name, identity string
	// callDeadline is how long one of our creations may be under way, validity for
	// how long a renewal is good.
	callDeadline, validity time.Duration
	now                    func() time.Time

	// observed is closed at the first answer about the Lease, lost when it is lost.
	observed, lost         chan struct{}
	observeOnce, closeLost sync.Once

	mu    sync.Mutex
	lease *coordinationv1.Lease
	held  bool
	// renewed is when the latest successful write of the Lease was sent.
	renewed time.Time
	// freeSince is when the Lease was first seen without a holder, if it has none.
	freeSince time.Time
	takeover  Takeover
}

var _ resourcelock.Interface = (*lock)(nil)

// Get implements resourcelock.Interface.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	lease, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("reading lease %s: %w", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.observeOnce.Do(func() { close(l.observed) })
	if err != nil {
		l.see("", l.lease == nil)
		return nil, nil, fmt.Errorf("reading lease %s: %w", l.name, err)
	}
	l.lease = lease
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&lease.Spec)
	l.see(record.HolderIdentity, record.HolderIdentity == "")
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the record of lease %s: %w", l.name, err)
	}
	return record, raw, nil
}

// see draws the conclusions from who holds the Lease. The caller holds mu.
func (l *lock) see(holder string, free bool) {
	switch {
	case !free:
		l.freeSince = time.Time{}
	case l.freeSince.IsZero():
		l.freeSince = l.now()
	}
	if l.held && holder != "" && holder != l.identity {
		l.lose()
	}
}

// lose ends the leadership for good. The caller holds mu.
func (l *lock) lose() { l.closeLost.Do(func() { close(l.lost) }) }

// Create implements resourcelock.Interface. A Lease that was deleted while we knew
// it gets its annotations back.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.name}}
	l.mu.Lock()
	known := l.lease != nil
	if known {
		lease.Annotations = maps.Clone(l.lease.Annotations)
	}
	l.mu.Unlock()
	return l.write(ctx, lease, record, !known, func(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		return l.leases.Create(ctx, lease, metav1.CreateOptions{})
	})
}

// Update implements resourcelock.Interface.
func (l *lock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	l.mu.Lock()
	lease := l.lease.DeepCopy()
	l.mu.Unlock()
	return l.write(ctx, lease, record, ptr.Deref(lease.Spec.HolderIdentity, "") == "", func(ctx context.Context, lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
		return l.leases.Update(ctx, lease, metav1.UpdateOptions{})
	})
}

// write takes or renews the Lease by the call. free tells that it has no holder
// whose writes may be under way.
func (l *lock) write(ctx context.Context, lease *coordinationv1.Lease, record resourcelock.LeaderElectionRecord, free bool, call func(context.Context, *coordinationv1.Lease) (*coordinationv1.Lease, error)) error {
	taking, err := l.mayWrite()
	if err != nil {
		return err
	}
	lease.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	unsettled := l.unsettled(lease, free)
	if taking {
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, UnsettledAnnotation, max(unsettled, l.callDeadline).String())
	}
	began := l.now()
	written, err := call(ctx, lease)
	if err != nil {
		return fmt.Errorf("writing lease %s: %w", l.name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease, l.renewed = written, began
	if taking {
		l.held = true
		l.takeover = Takeover{Taken: l.now(), Unsettled: unsettled, Since: l.now(), Orderly: free}
		if free && !l.freeSince.IsZero() {
			l.takeover.Since = l.freeSince
		}
	}
	return nil
}

// mayWrite tells whether the Lease is to be taken, not renewed. A renewal that
// comes too late is none: others may have served meanwhile.
func (l *lock) mayWrite() (taking bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held && !l.validLocked() {
		l.lose()
		return false, ErrLost
	}
	return !l.held, nil
}

// unsettled returns for how long creations of former holders may still be
// committed.
func (l *lock) unsettled(lease *coordinationv1.Lease, free bool) time.Duration {
	left, err := time.ParseDuration(lease.Annotations[UnsettledAnnotation])
	switch {
	case err == nil:
		return left
	case free:
		return 0
	default:
		return l.callDeadline
	}
}

// valid tells whether this process leads.
func (l *lock) valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.validLocked()
}

func (l *lock) validLocked() bool {
	select {
	case <-l.lost:
		return false
	default:
	}
	now := l.now()
	// Either clock may have stood still while the process was paused.
	age := max(now.Sub(l.renewed), now.Round(0).Sub(l.renewed.Round(0)))
	return l.held && age < l.validity
}

// release gives the Lease back after all writes of this process have ended, so that
// the next holder waits for nothing.
func (l *lock) release(ctx context.Context) error {
	for {
		l.mu.Lock()
		lease, takeover := l.lease.DeepCopy(), l.takeover
		l.mu.Unlock()
		if ptr.Deref(lease.Spec.HolderIdentity, "") != l.identity {
			return fmt.Errorf("releasing lease %s: %w", l.name, ErrLost)
		}
		left := time.Duration(0)
		if l.now().Before(takeover.Taken.Add(takeover.Unsettled)) {
			left = takeover.Unsettled
		}
		metav1.SetMetaDataAnnotation(&lease.ObjectMeta, UnsettledAnnotation, left.String())
		now := metav1.NewTime(l.now())
		lease.Spec = resourcelock.LeaderElectionRecordToLeaseSpec(&resourcelock.LeaderElectionRecord{
			LeaderTransitions: int(ptr.Deref(lease.Spec.LeaseTransitions, 0)), LeaseDurationSeconds: 1, RenewTime: now, AcquireTime: now,
		})
		_, err := l.leases.Update(ctx, lease, metav1.UpdateOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) {
			return fmt.Errorf("releasing lease %s: %w", l.name, err)
		}
		if _, _, err := l.Get(ctx); err != nil {
			return err
		}
	}
}

// holder returns who was last seen to hold the Lease; empty for nobody.
func (l *lock) holder() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil {
		return ""
	}
	return ptr.Deref(l.lease.Spec.HolderIdentity, "")
}

// RecordEvent implements resourcelock.Interface: nobody is told.
func (l *lock) RecordEvent(string) {}

// Identity implements resourcelock.Interface.
func (l *lock) Identity() string { return l.identity }

// Describe implements resourcelock.Interface.
func (l *lock) Describe() string { return l.name }
