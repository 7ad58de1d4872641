package leadership

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
)

const (
	callDeadline  = 30 * time.Second
	renewDeadline = 10 * time.Second
)

// clock is a hand-set time.
type clock struct{ now time.Time }

func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)} }

func newLock(leases coordinationclient.LeaseInterface, identity string, c *clock) *lock {
	return &lock{
		leases: leases, name: "lease", identity: identity, callDeadline: callDeadline, validity: renewDeadline,
		now: func() time.Time { return c.now }, observed: make(chan struct{}), lost: make(chan struct{}),
	}
}

func record(identity string) resourcelock.LeaderElectionRecord {
	return resourcelock.LeaderElectionRecord{HolderIdentity: identity, LeaseDurationSeconds: 15}
}

// take does what the election does with a lease that is free or has expired.
func take(t *testing.T, l *lock) Takeover {
	t.Helper()
	_, _, err := l.Get(t.Context())
	if err == nil {
		err = l.Update(t.Context(), record(l.identity))
	} else {
		err = l.Create(t.Context(), record(l.identity))
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.takeover
}

func newLeases() coordinationclient.LeaseInterface {
	return fake.NewClientset().CoordinationV1().Leases("system")
}

func isLost(l *lock) bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

func TestDecision5ANewLeaderKnowsWhatItsForerunnersMayHaveUnderWay(t *testing.T) {
	leases, c := newLeases(), newClock()
	first := newLock(leases, "first", c)
	if left := take(t, first).Unsettled; left != 0 {
		t.Errorf("the first leader ever waits %s", left)
	}
	if err := first.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := newLock(leases, "second", c)
	if left := take(t, second).Unsettled; left != 0 {
		t.Errorf("after an orderly release the next leader waits %s", left)
	}
	// The second is killed, and so is its own next life, at once.
	for range 2 {
		again := newLock(leases, "second", c)
		if left := take(t, again).Unsettled; left != callDeadline {
			t.Errorf("after a kill the next leader waits %s, want %s", left, callDeadline)
		}
		second = again
	}
	// A release in order does not settle what somebody else left behind just now.
	c.advance(time.Second)
	if err := second.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	third := newLock(leases, "third", c)
	if left := take(t, third).Unsettled; left != callDeadline {
		t.Errorf("after the release of one that had to wait itself, the next waits %s, want %s", left, callDeadline)
	}
	c.advance(callDeadline)
	third.renewed = c.now
	if err := third.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := take(t, newLock(leases, "fourth", c)).Unsettled; left != 0 {
		t.Errorf("after all has settled, the next leader waits %s", left)
	}
}

func TestAShorterDeadlineDoesNotShortenWhatAForerunnerLeft(t *testing.T) {
	leases, c := newLeases(), newClock()
	take(t, newLock(leases, "slow", c))
	quick := newLock(leases, "quick", c)
	quick.callDeadline = time.Second
	take(t, quick)
	if left := take(t, newLock(leases, "third", c)).Unsettled; left != callDeadline {
		t.Errorf("the third waits %s, want the first one's %s", left, callDeadline)
	}
}

func TestWhatWasListedWhileTheLeaseWasSeenFreeCounts(t *testing.T) {
	leases, c := newLeases(), newClock()
	former := newLock(leases, "former", c)
	take(t, former)
	next := newLock(leases, "next", c)
	if _, _, err := next.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Second)
	if err := former.release(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Second)
	if _, _, err := next.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	seenFree := c.now
	c.advance(time.Second)
	if since := take(t, next).Since; !since.Equal(seenFree) {
		t.Errorf("nobody else wrote since %s, want when the lease was seen free, %s", since, seenFree)
	}
	c.advance(time.Minute)
	if since := take(t, newLock(leases, "robber", c)).Since; !since.Equal(c.now) {
		t.Errorf("after a kill, nobody else wrote since %s, want when the lease was taken, %s", since, c.now)
	}
}

func TestDecision27LeadershipEndsByTheClockAlone(t *testing.T) {
	leases, c := newLeases(), newClock()
	l := newLock(leases, "leader", c)
	if l.valid() {
		t.Error("it leads before it has the lease")
	}
	take(t, l)
	c.advance(renewDeadline - time.Nanosecond)
	if !l.valid() {
		t.Error("it does not lead although its renewal is good")
	}
	c.advance(time.Nanosecond)
	if l.valid() {
		t.Error("it leads although its renewal is out of date")
	}
	if err := l.Update(t.Context(), record("leader")); !errors.Is(err, ErrLost) {
		t.Errorf("a renewal that comes too late: %v, want %v", err, ErrLost)
	}
	if !isLost(l) {
		t.Error("it was not told")
	}
}

func TestDecision27AHolderThatSeesAnotherHasLost(t *testing.T) {
	leases, c := newLeases(), newClock()
	l := newLock(leases, "leader", c)
	take(t, l)
	lease := l.lease.DeepCopy()
	lease.Spec.HolderIdentity = ptr.To("somebody")
	if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !isLost(l) || l.valid() {
		t.Errorf("lost: %v, leads: %v", isLost(l), l.valid())
	}
}

func TestADeletedLeaseComesBackWithItsAnnotations(t *testing.T) {
	leases, c := newLeases(), newClock()
	if _, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "lease", Annotations: map[string]string{"ambient.io/epoch": "7"}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l := newLock(leases, "leader", c)
	take(t, l)
	if err := leases.Delete(t.Context(), "lease", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	take(t, l)
	lease, err := leases.Get(t.Context(), "lease", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if lease.Annotations["ambient.io/epoch"] != "7" || lease.Annotations[UnsettledAnnotation] != callDeadline.String() {
		t.Errorf("the annotations are %v", lease.Annotations)
	}
}

// options are those of an election among tests.
func options(leases coordinationclient.LeaseInterface, identity string) Options {
	return Options{
		Leases: leases, Name: "lease", Identity: identity, CallDeadline: callDeadline,
		LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 10 * time.Millisecond,
	}
}

// campaign runs an election until the test ends or stop is called.
func campaign(t *testing.T, leases coordinationclient.LeaseInterface, identity string) (l *Leadership, stop func() error) {
	t.Helper()
	l, err := New(options(leases, identity))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Campaign(ctx) }()
	return l, func() error {
		cancel()
		return <-ended
	}
}

func TestAReleasedLeaseIsTakenByTheNext(t *testing.T) {
	leases := newLeases()
	first, stopFirst := campaign(t, leases, "first")
	<-first.Taken()
	second, stopSecond := campaign(t, leases, "second")
	<-second.Observed()
	if second.Holds() || second.Holder() != "first" {
		t.Errorf("the second leads: %v; it thinks that %q does", second.Holds(), second.Holder())
	}
	if err := stopFirst(); err != nil {
		t.Fatal(err)
	}
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-second.Taken()
	if !second.Holds() {
		t.Error("the second does not lead")
	}
	if err := stopSecond(); err != nil {
		t.Fatal(err)
	}
}

func TestACampaignEndsWhenTheLeaseIsTakenAway(t *testing.T) {
	leases := newLeases()
	l, err := New(options(leases, "leader"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- l.Campaign(t.Context()) }()
	<-l.Taken()
	for {
		lease, err := leases.Get(t.Context(), "lease", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		lease.Spec.HolderIdentity = ptr.To("somebody")
		// The imitation compares no versions: it may be overwritten by a renewal.
		if _, err := leases.Update(t.Context(), lease, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.lock.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if isLost(l.lock) {
			break
		}
	}
	if err := <-ended; !errors.Is(err, ErrLost) {
		t.Errorf("it ended with %v, want %v", err, ErrLost)
	}
	if l.Holds() {
		t.Error("it still leads")
	}
}
