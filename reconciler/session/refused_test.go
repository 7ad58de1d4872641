package session

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

func (w *world) refuse(message string) {
	w.refusal = apierrors.NewForbidden(agenticsession.Resource.GroupResource(), resourceName, errors.New(message))
}

// failingPasses makes passes that the cluster refuses something in.
func (w *world) failingPasses() {
	w.t.Helper()
	for range 3 {
		if err := w.pass(); !apierrors.IsForbidden(err) {
			w.t.Fatalf("the pass ended with %v, want that it is repeated", err)
		}
	}
}

func TestWhatTheClusterRefusesIsToldAndTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.refuse("exceeded quota: " + strings.Repeat("ü", 5000))
	w.failingPasses()
	w.expectProjected("False", v1alpha1.ReasonRefused)
	for _, condition := range w.sessions["a"].Status.Conditions {
		if condition.Type == v1alpha1.ConditionProjected && (!strings.Contains(condition.Message, "exceeded quota") || len(condition.Message) > longestRefusal+10) {
			t.Errorf("the message is %q", condition.Message)
		}
	}
	if w.writes["status"] != 1 {
		t.Errorf("%d writes of the status, want one", w.writes["status"])
	}
	if len(w.events.Events) == 0 {
		t.Fatal("no event tells of it")
	}
	if event := <-w.events.Events; !strings.Contains(event, v1alpha1.ReasonRefused) || strings.Contains(event, "quota") {
		t.Errorf("event %s", event)
	}
	w.refusal = nil
	w.settle()
	w.expectResource(true)
	w.expectProjected("True", "Projected")
}

// A loss that is forgotten would make the next start request one that never was.
func TestALossStaysNotedWhileTheClusterRefuses(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.deleteResource(resourceName)
	w.settle()
	w.expectPhase("Stopped")
	w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = "Pending" })
	w.refuse("exceeded quota")
	w.failingPasses()
	w.expectPhase("Pending")
	w.expectProjected("False", "CustomResourceLost")
	w.refusal = nil
	w.settle()
	w.expectResource(true)
}

func TestAChangeThatIsRefusedHindersNothingElse(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.refuse("a policy says no")
	w.changeSession("a", func(session *v1alpha1.Session) { session.Spec.Prompt = "another" })
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.failingPasses()
	w.expectPhase("Running")
	w.expectProjected("False", v1alpha1.ReasonRefused)
	w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = "Stopping" })
	w.failingPasses()
	if desired := w.resources[resourceName].GetAnnotations()[agenticsession.DesiredPhaseAnnotation]; desired != "Stopped" {
		t.Errorf("the operator is asked for %q", desired)
	}
}
