package replicas

import (
	"context"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// handOvers is how often the leader ends.
const handOvers = 20

// The leader is told to end, and killed, in turns, while others write and watch.
func TestDecision27NothingIsLostInHandOvers(t *testing.T) {
	f := newFleet(t, "handing-over-")
	availability := watchAvailability(t)
	leader := f.start(t)
	leader.awaitServing(t)
	availability.await(t)
	standby := f.start(t)
	writers, stop := startWriters(t, 2)
	mirrors := []*harness.Mirror{stand.NewMirror(t), stand.NewMirror(t)}

	for i := range handOvers {
		awaitProgress(t, writers)
		if i%2 == 0 {
			leader, standby = f.rollOut(t, availability, leader, standby)
		} else {
			leader, standby = f.kill(t, leader, standby)
			availability.await(t)
		}
	}
	awaitProgress(t, writers)
	stop()
	for _, l := range f.lives {
		l.unfollow()
	}
	f.expectOneAtATime(t)
	for _, w := range writers {
		w.verify(t)
		t.Logf("%s: %d writes acknowledged, %d failed, the last one: %v", w.project, w.acknowledged.Load(), w.failed.Load(), w.failure)
	}
	for _, m := range mirrors {
		m.AwaitEqual(t)
	}
	f.end(t, leader, standby)
}

// rollOut replaces the leader as a roll-out does: first another process is started,
// then the pod is marked, and the old process told to end.
func (f *fleet) rollOut(t *testing.T, availability *availability, leader, standby *life) (next, after *life) {
	t.Helper()
	after = f.start(t)
	began := time.Now()
	f.deletePod(t, leader.Pod, 30)
	if code := f.terminate(t, leader); code != 0 {
		t.Errorf("%s ended with code %d after SIGTERM", leader.Pod, code)
	}
	ended := time.Since(began)
	f.deletePod(t, leader.Pod, 0)
	leader.unfollow()
	next, after = f.successor(t, standby, after)
	t.Logf("SIGTERM: served again after %s, the old process ended after %s", next.firstEnd.Sub(began).Round(time.Millisecond), ended.Round(time.Millisecond))
	if lost := availability.since(began); len(lost) > 0 {
		t.Errorf("the APIService was not available during a hand-over: %v", lost)
	}
	return next, after
}

// kill kills the leader, and starts it again when the other one leads.
func (f *fleet) kill(t *testing.T, leader, standby *life) (next, after *life) {
	t.Helper()
	began := time.Now()
	harness.Kill(t, leader.Process)
	leader.unfollow()
	next, _ = f.successor(t, standby)
	t.Logf("SIGKILL: served again after %s", next.firstEnd.Sub(began).Round(time.Millisecond))
	return next, f.restart(t, leader)
}

// successor waits until one of the standbys serves, and returns it and the other one.
func (f *fleet) successor(t *testing.T, standbys ...*life) (next, other *life) {
	t.Helper()
	harness.Eventually(t, "a standby serves", func() error {
		for i, l := range standbys {
			if served, _ := l.counts(); served > 0 {
				next, other = l, standbys[len(standbys)-1-i]
				return nil
			}
		}
		return errNobody
	})
	return next, other
}

func (f *fleet) terminate(t *testing.T, l *life) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	code, err := l.Terminate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// end ends all replicas, the standby first.
func (f *fleet) end(t *testing.T, leader, standby *life) {
	t.Helper()
	for _, l := range []*life{standby, leader} {
		l.unfollow()
		if code := f.terminate(t, l); code != 0 {
			t.Errorf("%s ended with code %d", l.Pod, code)
		}
		f.deletePod(t, l.Pod, 0)
	}
}
