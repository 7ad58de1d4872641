package session

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

func TestDeletionTakesTheAgenticSessionAway(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.held = true // a received deletion is proof
	delete(w.sessions, "a")
	w.settle()
	w.expectResource(false)
}

func TestWithoutProofTheBrakeDecides(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	delete(w.sessions, "a")
	w.held = true
	w.restart()
	w.settle()
	w.expectResource(true)
	w.held = false
	w.settle()
	w.expectResource(false)
}

func TestASessionThatIsThereKeepsItsAgenticSession(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	// A Session that changes its name is deleted and comes back; the informer has
	// seen the first half.
	renamed := w.sessions["a"].DeepCopy()
	renamed.Name, renamed.UID = "b", "session-b"
	delete(w.sessions, "a")
	w.sync()
	w.sessions["b"] = renamed
	if _, err := w.controller.Reconcile(context.Background(), theKey); err != nil {
		t.Fatal(err)
	}
	w.expectResource(true)
}

func TestObjectsOfOthersAreNeitherTakenNorRemoved(t *testing.T) {
	w := newWorld(t)
	foreign := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{
		"name": resourceName, "namespace": namespace, "uid": "foreign", "resourceVersion": w.next(),
	}, "spec": map[string]any{"displayName": "theirs"}}}
	w.resources[resourceName] = foreign
	w.addSession("a", id, "")
	w.settle()
	if got := w.resources[resourceName].Object["spec"].(map[string]any)["displayName"]; got != "theirs" {
		t.Errorf("a foreign object became %q", got)
	}
	if other := w.resources[agenticsession.AlternativeName(id)]; other == nil || w.sessions["a"].Status.AgenticSession.UID != other.GetUID() {
		t.Errorf("the AgenticSession under the other name is %v, recorded is %v", other, w.sessions["a"].Status.AgenticSession)
	}
	delete(w.sessions, "a")
	w.settle()
	if len(w.resources) != 1 || w.resources[resourceName] == nil {
		t.Errorf("left: %d objects, want the foreign one only", len(w.resources))
	}
}

// Another control plane has taken the AgenticSession over; the session's id stays
// on it.
func TestWhatSomebodyElseManagesIsNotRemoved(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) {
		labels := resource.GetLabels()
		labels[agenticsession.ManagedByLabel] = "somebody"
		resource.SetLabels(labels)
	})
	delete(w.sessions, "a")
	w.settle()
	w.expectResource(true)
}

func TestIDsThatDifferInCaseDoNotShareAName(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.addSession("b", strings.ToLower(id), "")
	for _, key := range []Key{theKey, {Namespace: namespace, ID: strings.ToLower(id)}} {
		w.syncSessions()
		if _, err := w.controller.Reconcile(context.Background(), key); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.resources) != 2 {
		t.Errorf("%d AgenticSessions for two sessions", len(w.resources))
	}
}

func TestDecision10NothingIsDoneForTheSessionsOfAnotherClustersProject(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.expectResource(true)
	status := w.sessions["a"].Status.DeepCopy()
	w.obstacle = Obstacle{Reason: "ProjectedByAnotherCluster", Message: "theirs", Foreign: true}
	w.restart()
	w.settle()
	if after := w.sessions["a"].Status; !equality.Semantic.DeepEqual(after, *status) {
		t.Errorf("the status became %+v", after)
	}
	delete(w.sessions, "a")
	w.settle()
	w.expectResource(true)
}
