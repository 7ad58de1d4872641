package session

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// unrecorded lets the controller make the AgenticSession of session "a" while nothing
// can be recorded upstream, and returns it.
func (w *world) unrecorded() *unstructured.Unstructured {
	w.t.Helper()
	w.outage = apierrors.NewServiceUnavailable("the upstream is away")
	if err := w.pass(); !apierrors.IsServiceUnavailable(err) {
		w.t.Fatalf("the pass ended with %v", err)
	}
	made := w.resources[resourceName]
	if made == nil || w.named() == made.GetUID() {
		w.t.Fatalf("made and not recorded is %v", made)
	}
	// The informers see it before it goes.
	w.sync()
	return made
}

// Its prompt was sent, and another one would send it again.
func TestWhatVanishesBeforeItIsRecordedIsNotMadeAgain(t *testing.T) {
	for _, test := range []struct {
		name string
		// phase is that of the session when the AgenticSession is made, then the one
		// when it is deleted.
		phase, then v1alpha1.SessionPhase
		// again is true if the session lost an AgenticSession before.
		again bool
	}{
		{"the first run", "", "", false},
		{"a start that was asked for", "Pending", "Pending", false},
		{"a new run after a loss", "Pending", "Pending", true},
		{"a run that somebody wants to stop", "Pending", "Stopping", true},
		{"a run that has ended", "Pending", "Completed", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.addSession("a", id, test.phase)
			if test.again {
				w.settle()
				w.deleteResource(resourceName)
				w.settle()
				w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = test.phase })
			}
			uid := w.unrecorded().GetUID()
			before := w.made

			w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = test.then })
			w.deleteResource(resourceName)
			if err := w.pass(); !apierrors.IsServiceUnavailable(err) {
				t.Errorf("the pass ended with %v", err)
			}
			w.outage = nil
			w.settle()
			end := v1alpha1.SessionStopped
			if test.then.IsTerminal() {
				end = test.then
			}
			w.expectResource(false)
			w.expectPhase(end)
			w.expectProjected("False", phase.ReasonLost)
			if w.named() != uid {
				t.Errorf("the upstream knows of %q, want %q", w.named(), uid)
			}

			// Whoever comes next knows as much, and a start is a start.
			w.restart()
			w.settle()
			if w.made != before {
				t.Errorf("%d AgenticSessions were made again", w.made-before)
			}
			w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = "Pending" })
			w.settle()
			w.expectResource(true)
			w.expectProjected("True", "Projected")
		})
	}
}

// What stands in the way of another AgenticSession hides no loss.
func TestWhatVanishesBeforeItIsRecordedIsRecordedWhileNothingCanBeMade(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	uid := w.unrecorded().GetUID()
	w.outage, w.obstacle = nil, Obstacle{Reason: ReasonNamespaceTerminating, Message: "the way out"}
	w.deleteResource(resourceName)
	w.settle()
	w.expectPhase("")
	w.expectProjected("False", ReasonNamespaceTerminating)
	if w.named() != uid {
		t.Errorf("the upstream knows of %q, want %q", w.named(), uid)
	}
	w.obstacle = Obstacle{}
	w.settle()
	w.expectResource(false)
	w.expectProjected("False", phase.ReasonLost)
}

func TestAnUnlabelledAgenticSessionIsNotLostBeforeItIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.unrecorded()
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) { resource.SetLabels(nil) })
	w.outage = nil
	w.settle()
	w.expectPhase("")
	if w.made != 1 || w.resources[resourceName].GetLabels()[v1alpha1.SessionIDLabel] != id {
		t.Errorf("%d were made, the label is %v", w.made, w.resources[resourceName].GetLabels())
	}
}

// What the Session names, and what was a session's that is gone, is remembered no more.
func TestWhatIsRecordedIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.unrecorded()
	if len(w.controller.made) != 1 {
		t.Errorf("remembered are %v", w.controller.made)
	}
	w.outage = nil
	w.settle()
	if len(w.controller.made) != 0 {
		t.Errorf("remembered are %v", w.controller.made)
	}

	w = newWorld(t)
	w.addSession("a", id, "")
	w.unrecorded()
	delete(w.sessions, "a")
	w.settle()
	if len(w.controller.made) != 0 {
		t.Errorf("remembered of a session that is gone are %v", w.controller.made)
	}
}

// Deleted by hand while any single request of the reconciler fails, an AgenticSession is
// not made again until a start asks for it.
func TestDeletedWhileARequestFails(t *testing.T) {
	for number := 1; ; number++ {
		l := newLife(t, 0, false)
		failed, allowed := false, 1
		l.fault = func(after bool) error {
			if !after {
				l.requests++
			}
			if after || failed || l.requests != number {
				return nil
			}
			failed = true
			if live := l.resources[resourceName]; live != nil {
				// The informers see it come and go.
				l.syncResources()
				l.deleteResource(resourceName)
				l.syncResources()
				l.pod, l.fresh = false, false
			}
			return errLost
		}
		turns := func() {
			for range 20 {
				l.now = l.now.Add(2 * time.Second)
				l.reconcile()
				l.operator()
			}
			if l.made > allowed {
				t.Errorf("deleted at request %d: %d AgenticSessions were made, want %d\n%s", number, l.made, allowed, strings.Join(l.log, "\n"))
			}
		}
		turns()
		if l.sessions["a"].Status.Phase == v1alpha1.SessionRunning {
			l.request(v1alpha1.SessionStopping)
			turns()
		}
		start := func() {
			if _, reason := projected(l.sessions["a"]); reason == phase.ReasonLost {
				allowed = l.made + 1
			}
			l.request(v1alpha1.SessionPending)
			turns()
		}
		l.outcome = standin.OutcomeComplete
		start()
		if !failed {
			if number < 10 {
				t.Errorf("there are only %d requests in a life", number-1)
			}
			return
		}
		start()
		if got := l.sessions["a"].Status.Phase; got != v1alpha1.SessionCompleted {
			t.Errorf("deleted at request %d: after another start the session is %s\n%s", number, got, strings.Join(l.log, "\n"))
		}
	}
}
