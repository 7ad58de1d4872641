package session

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// outside is where sessions are shown while their project's namespace is not theirs.
const outside = "ambient-unassigned"

// show moves session "a" to the namespace, as our API server does when that of its
// project changes hands: it is deleted, and another one is there.
func (w *world) show(namespace string) {
	session := w.sessions["a"].DeepCopy()
	session.Namespace, session.UID = namespace, session.UID+"-moved"
	session.ResourceVersion = w.next()
	w.sessions["a"] = session
}

// passes makes passes over every key that session "a" can have.
func (w *world) passes() {
	w.t.Helper()
	w.sync()
	for range 3 {
		for _, key := range []Key{theKey, {Namespace: outside, ID: id}} {
			if _, err := w.controller.Reconcile(context.Background(), key); err != nil {
				w.t.Fatal(err)
			}
		}
		w.sync()
	}
}

// runningOutside returns a world whose session runs, and is then shown outside.
func runningOutside(t *testing.T) *world {
	w := newWorld(t)
	w.obstacles = map[string]Obstacle{outside: {Reason: v1alpha1.ReasonNoProject}}
	w.addSession("a", id, "")
	w.settle()
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.settle()
	w.show(outside)
	w.passes()
	return w
}

func TestASessionThatIsShownOutsideKeepsItsAgenticSession(t *testing.T) {
	w := runningOutside(t)
	uid := w.resources[resourceName].GetUID()
	w.expectPhase("Running")
	w.expectProjected("False", v1alpha1.ReasonNamespaceNotAdopted)

	// Nothing is at rest that still runs, and an absence is no proof later.
	w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = "Stopping" })
	w.passes()
	w.expectPhase("Stopping")
	w.restart()
	w.passes()
	if w.absences != 0 {
		t.Errorf("the brake was told %d times that the session is absent", w.absences)
	}

	w.show(namespace)
	w.passes()
	resource := w.resources[resourceName]
	if resource == nil || resource.GetUID() != uid || resource.GetAnnotations()[agenticsession.DesiredPhaseAnnotation] != "Stopped" {
		t.Errorf("back at home there is %v, want the same one, asked to stop", resource)
	}
	w.expectProjected("True", "Projected")
}

// The informer has seen the first half only: a Session that was deleted.
func TestASessionThatIsOnItsWayOutsideKeepsItsAgenticSession(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	session := w.sessions["a"]
	delete(w.sessions, "a")
	w.sync()
	w.sessions["a"] = session
	w.show(outside)
	if _, err := w.controller.Reconcile(context.Background(), theKey); err != nil {
		t.Fatal(err)
	}
	w.expectResource(true)
}

func TestTheDeletionOfASessionThatIsShownOutsideTakesItsAgenticSessionAway(t *testing.T) {
	w := runningOutside(t)
	w.held = true // a received deletion is proof
	delete(w.sessions, "a")
	w.passes()
	w.expectResource(false)
}

func TestDecision10NothingIsDoneForAForeignSessionThatIsShownOutside(t *testing.T) {
	for _, phase := range []v1alpha1.SessionPhase{"", "Running", "Stopping", "Completed"} {
		w := newWorld(t)
		w.obstacles = map[string]Obstacle{outside: {Reason: v1alpha1.ReasonNoProject}, namespace: {Reason: v1alpha1.ReasonProjectedByAnotherCluster, Foreign: true}}
		session := w.addSession("a", id, phase)
		session.Namespace = outside
		session.Status.AgenticSession.UID = "theirs"
		before := session.Status.DeepCopy()
		w.passes()
		if after := w.sessions["a"].Status; !equality.Semantic.DeepEqual(after, *before) || len(w.writes) != 0 {
			t.Errorf("%q: the status became %+v by %v", phase, after, w.writes)
		}
	}
}

func TestNothingIsRememberedOfForeignSessions(t *testing.T) {
	w := newWorld(t)
	w.obstacle = Obstacle{Reason: v1alpha1.ReasonProjectedByAnotherCluster, Foreign: true}
	w.addSession("a", id, "Running")
	w.passes()
	delete(w.sessions, "a")
	w.passes()
	if left := w.controller.deleted; len(left) != 0 {
		t.Errorf("remembered are %v", left)
	}
}
