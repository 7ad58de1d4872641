package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// reconcile makes one pass of what the informers show.
func (w *world) reconcile() time.Duration {
	w.t.Helper()
	again, err := w.controller.Reconcile(context.Background(), theKey)
	w.check(err)
	return again
}

// eventsOf returns the events of a FakeRecorder so far.
func eventsOf(events *record.FakeRecorder) string {
	var lines []string
	for len(events.Events) > 0 {
		lines = append(lines, <-events.Events)
	}
	return strings.Join(lines, "\n")
}

func TestInABurstAgenticSessionsComeFirst(t *testing.T) {
	w := newWorld(t)
	busy := true
	w.controller.Busy = func() bool { return busy }
	w.addSession("a", id, "")
	w.sync()
	if again := w.reconcile(); again != burstPause {
		t.Errorf("the next look is after %s, want %s", again, burstPause)
	}
	w.expectResource(true)
	if w.writes["status"] != 0 || eventsOf(w.events) != "" {
		t.Errorf("%d writes of the status, want none yet", w.writes["status"])
	}
	// Others are made all the time; but it is not put off for ever.
	began := w.now
	for w.writes["status"] == 0 && w.now.Sub(began) < time.Hour {
		w.now = w.now.Add(burstPause)
		w.controller.lastCreation = w.now
		w.sync()
		w.reconcile()
	}
	if took := w.now.Sub(began); took != burstPatience {
		t.Errorf("it was recorded after %s, want %s", took, burstPatience)
	}
	w.expectProjected("True", "Projected")
	if events := eventsOf(w.events); strings.Count(events, "Projected") != 2 || !strings.Contains(events, "Made AgenticSession "+resourceName) {
		t.Errorf("events:\n%s", events)
	}

	// Once nothing is made any more it is recorded, however many sessions wait for
	// something else; and at once when none wait.
	for name, quiet := range map[string]func(w *world){
		"b": func(w *world) { w.now = w.now.Add(burstGap) },
		"c": func(*world) { busy = false },
	} {
		t.Run(name, func(t *testing.T) {
			busy = true
			w := newWorld(t)
			w.controller.Busy = func() bool { return busy }
			w.addSession("a", id, "")
			w.sync()
			w.reconcile()
			quiet(w)
			w.sync()
			w.reconcile()
			if w.writes["status"] != 1 {
				t.Errorf("%d writes of the status, want 1", w.writes["status"])
			}
		})
	}
}

// Decision 20: that it was made is known although the upstream was not told yet.
func TestDecision20WhatVanishesInABurstIsNotRunAgain(t *testing.T) {
	w := newWorld(t)
	w.controller.Busy = func() bool { return true }
	w.addSession("a", id, "")
	w.sync()
	w.reconcile()
	made := w.resources[resourceName].GetUID()
	w.sync()
	w.deleteResource(resourceName)
	w.settle()
	w.expectResource(false)
	w.expectPhase(v1alpha1.SessionStopped)
	w.expectProjected("False", phase.ReasonLost)
	if w.made != 1 || w.named() != made {
		t.Errorf("%d AgenticSessions were made; the session names %q, want %q", w.made, w.named(), made)
	}
}

// informer is a Freshness whose informer catches up when it is asked to.
type informer struct {
	*world
	failure error
	asked   []time.Time
}

func (i *informer) Await(_ context.Context, moment time.Time) error {
	i.asked = append(i.asked, moment)
	if i.failure == nil {
		i.syncSessions()
	}
	return i.failure
}

func TestANewSessionIsReadFromAnInformerThatIsCurrent(t *testing.T) {
	for name, test := range map[string]struct {
		age      time.Duration
		recorded types.UID
		failure  error
		// asked and read are how often the informer and the API server are asked.
		asked, read int
	}{
		"new":                     {asked: 1},
		"new, and nobody can say": {failure: errors.New("away"), asked: 1, read: 1},
		"old":                     {age: youth + time.Second, read: 1},
		"run before":              {recorded: "gone", read: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			current := &informer{world: w, failure: test.failure}
			w.controller.Freshness = current
			session := w.addSession("a", id, "")
			session.CreationTimestamp = metav1.NewTime(w.now.Add(-test.age))
			if test.recorded != "" {
				// A loss that is noted already, and a start since.
				session.Status.Phase = v1alpha1.SessionPending
				session.Status.AgenticSession.UID = test.recorded
				session.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProjected, Status: metav1.ConditionFalse, Reason: phase.ReasonLost}}
			}
			w.sync()
			w.reconcile()
			w.expectResource(true)
			if len(current.asked) != test.asked || w.sessionReads != test.read {
				t.Errorf("the informer was asked %d times, want %d; the Session was read %d times, want %d", len(current.asked), test.asked, w.sessionReads, test.read)
			}
			if test.asked > 0 && !current.asked[0].Equal(w.now.Add(-freshEnough)) {
				t.Errorf("asked about %s, want %s", current.asked[0], w.now.Add(-freshEnough))
			}
		})
	}
}

// What the informer is told meanwhile counts: nothing is made for a session that is
// stopped, deleted, or gone by then.
func TestWhatIsNotNewAnyMoreGetsNoAgenticSession(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"stopped": func(w *world) {
			w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionStopping })
		},
		"recorded": func(w *world) {
			w.changeSession("a", func(session *v1alpha1.Session) { session.Status.AgenticSession.UID = "by-another-leader" })
		},
		"being deleted": func(w *world) {
			w.changeSession("a", func(session *v1alpha1.Session) { session.DeletionTimestamp = &metav1.Time{Time: w.now} })
		},
		"gone": func(w *world) { delete(w.sessions, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.controller.Freshness = &informer{world: w}
			w.addSession("a", id, "")
			w.sync()
			change(w)
			if again := w.reconcile(); again != confirmPause {
				t.Errorf("the next look is after %s, want %s", again, confirmPause)
			}
			w.expectResource(false)
		})
	}
}
