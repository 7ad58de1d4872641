package session

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// resourceName is the name of the AgenticSession of session id.
var resourceName = agenticsession.Name(id)

func at(minute int) *metav1.Time {
	return &metav1.Time{Time: time.Date(2026, 1, 1, 10, minute, 0, 0, time.UTC)}
}

func (w *world) expectPhase(want v1alpha1.SessionPhase) {
	w.t.Helper()
	if got := w.sessions["a"].Status.Phase; got != want {
		w.t.Errorf("upstream phase %q, want %q", got, want)
	}
}

func (w *world) expectProjected(status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	gotStatus, gotReason := projected(w.sessions["a"])
	if gotStatus != status || gotReason != reason {
		w.t.Errorf("Projected is %s, %s; want %s, %s", gotStatus, gotReason, status, reason)
	}
}

func (w *world) expectResource(there bool) {
	w.t.Helper()
	if _, found := w.resources[resourceName]; found != there {
		w.t.Errorf("AgenticSession is there: %t, want %t", found, there)
	}
}

func TestANewSessionIsProjectedAndRecorded(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.expectResource(true)
	w.expectProjected("True", "Projected")
	w.expectPhase("")
	recorded := w.sessions["a"].Status.AgenticSession
	if recorded == nil || recorded.UID != w.resources[resourceName].GetUID() || recorded.Namespace != namespace {
		t.Errorf("recorded %+v", recorded)
	}
	if w.writes["resource"] != 1 || w.writes["status"] != 1 || len(w.writes) != 2 {
		t.Errorf("writes %v, want one of each side", w.writes)
	}
}

func TestPhasesPendingAndStoppingNeverGoUp(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	for _, step := range []struct{ operator, want v1alpha1.SessionPhase }{
		{"Pending", ""}, {"Creating", "Creating"}, {"Running", "Running"}, {"Pending", "Running"}, {"Stopping", "Running"}, {"Failed", "Failed"},
	} {
		w.setStatus(resourceName, agenticsession.Status{Phase: step.operator, StartTime: at(1)})
		w.settle()
		w.expectPhase(step.want)
	}
}

func TestTheWholeStatusGoesUpAndNothingIsWrittenTwice(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	restarts := int32(2)
	w.setStatus(resourceName, agenticsession.Status{
		ObservedGeneration: 1, Phase: "Stopped", StartTime: at(1), CompletionTime: at(2), LastActivityTime: at(2), StoppedReason: "inactivity",
		SDKSessionID: "sdk", SDKRestartCount: &restarts,
		ReconciledRepos:    []agenticsession.ReconciledRepo{{URL: "u", Branches: []string{"b"}, ClonedAt: at(1), Status: "Ready"}},
		ReconciledWorkflow: &agenticsession.ReconciledWorkflow{GitURL: "g", AppliedAt: at(1)},
		Conditions: []agenticsession.Condition{
			{Type: "Ready", Status: "False", Reason: "UserStopped"},
			{Type: "PodCreated", Status: "True", Reason: "PodCreated", LastTransitionTime: at(1)},
			{Type: "Bare", Status: "Unknown"},
		},
	})
	w.settle()
	status := w.sessions["a"].Status
	if status.Phase != "Stopped" || !status.StartTime.Equal(at(1)) || !status.CompletionTime.Equal(at(2)) || !status.LastActivityTime.Equal(at(2)) ||
		status.StoppedReason != "inactivity" || status.SDKSessionID != "sdk" || *status.SDKRestartCount != 2 || status.ObservedGeneration != 1 ||
		status.Repositories[0].Branches[0] != "b" || status.Workflow.GitURL != "g" {
		t.Errorf("status %+v", status)
	}
	var types []string
	for _, condition := range status.Conditions {
		types = append(types, condition.Type)
		if condition.Type == "Bare" && (condition.Reason == "" || condition.LastTransitionTime.IsZero()) {
			t.Errorf("condition %+v lacks what Kubernetes demands", condition)
		}
	}
	if got := strings.Join(types, " "); got != "PodCreated Bare Projected Ready" {
		t.Errorf("conditions %s", got)
	}
	writes := w.writes["status"]
	w.restart()
	w.settle()
	if w.writes["status"] != writes {
		t.Errorf("%d status writes after a restart at rest", w.writes["status"]-writes)
	}
}

func TestWhatOnlyTheUpstreamKnowsIsRepeated(t *testing.T) {
	w := newWorld(t)
	session := w.addSession("a", id, "")
	session.Status.SDKSessionID = "set by the runner"
	w.settle()
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.settle()
	if got := w.sessions["a"].Status.SDKSessionID; got != "set by the runner" {
		t.Errorf("SDK session id %q was taken away", got)
	}
}

func TestHistoryIsNotRun(t *testing.T) {
	for _, status := range []v1alpha1.SessionPhase{"", "Stopped", "Completed", "Failed", "Stopping"} {
		w := newWorld(t)
		w.unstarted = Obstacle{Reason: phase.ReasonBeforeInstall, Message: "old"}
		w.addSession("a", id, status)
		w.settle()
		w.expectResource(false)
		if status == "" {
			w.expectProjected("False", phase.ReasonBeforeInstall)
		}
		if status.IsTerminal() && w.writes["status"] != 0 {
			t.Errorf("%s history was written to", status)
		}
	}
}

func TestALostAgenticSessionIsNotMadeAgain(t *testing.T) {
	for _, operator := range []v1alpha1.SessionPhase{"", "Pending", "Running"} {
		w := newWorld(t)
		w.addSession("a", id, "")
		w.settle()
		if operator != "" {
			w.setStatus(resourceName, agenticsession.Status{Phase: operator, StartTime: at(1)})
			w.settle()
		}
		w.deleteResource(resourceName)
		w.settle()
		w.expectResource(false)
		w.expectPhase("Stopped")
		w.expectProjected("False", phase.ReasonLost)

		w.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = "Pending" })
		w.obstacle = Obstacle{Reason: "NamespaceNotReady", Message: "wait"}
		w.settle()
		w.expectResource(false)
		w.expectPhase("Pending")
		w.obstacle = Obstacle{}
		w.settle()
		w.expectResource(true)
		w.expectPhase("Pending")
		w.expectProjected("True", "Projected")
	}
}

func TestAChangeOfWhatHasEndedIsObserved(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld(t)
		w.addSession("a", id, "")
		w.settle()
		w.setStatus(resourceName, agenticsession.Status{Phase: "Completed", StartTime: at(1), ObservedGeneration: 1})
		w.settle()
		w.changeSession("a", func(session *v1alpha1.Session) { session.Status.ObservedGeneration = 1 })
		if lost {
			w.deleteResource(resourceName)
			w.settle()
		}
		w.changeSession("a", func(session *v1alpha1.Session) { session.Generation, session.Spec.DisplayName = 2, "new" })
		w.settle()
		w.expectResource(!lost)
		w.expectPhase("Completed")
		if observed := w.sessions["a"].Status.ObservedGeneration; observed != 2 {
			t.Errorf("lost %t: generation %d is observed, want 2", lost, observed)
		}
		writes := w.writes["status"]
		w.settle()
		if w.writes["status"] != writes {
			t.Errorf("lost %t: %d status writes at rest", lost, w.writes["status"]-writes)
		}
	}
}

func TestAnUnlabelledAgenticSessionIsNotLost(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.settle()
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) { resource.SetLabels(nil) })
	w.settle()
	w.expectPhase("Running")
	if got := w.resources[resourceName].GetLabels()[v1alpha1.SessionIDLabel]; got != id {
		t.Errorf("label %q, want it healed", got)
	}
}

func TestAStaleCacheDoesNotMakeAnythingTwice(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.sync()
	// Another leader made the AgenticSession, it ended and was removed, and this
	// informer has seen nothing of it.
	w.changeSession("a", func(session *v1alpha1.Session) {
		session.Status.Phase = "Completed"
		session.Status.AgenticSession = &v1alpha1.AgenticSessionReference{UID: "gone"}
	})
	if _, err := w.controller.Reconcile(context.Background(), theKey); err != nil {
		t.Fatal(err)
	}
	w.expectResource(false)
	w.settle()
	w.expectResource(false)
	w.expectPhase("Completed")
}

func TestAStaleAgenticSessionDoesNotOverwriteARequest(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.settle()
	w.sync()
	// The run ended, was reported by another leader, and a start was requested;
	// the informer of AgenticSessions still shows it running.
	w.setStatus(resourceName, agenticsession.Status{Phase: "Completed", StartTime: at(1), CompletionTime: at(2)})
	w.changeSession("a", func(session *v1alpha1.Session) {
		session.Status.Phase, session.Status.CompletionTime = "Pending", at(2)
	})
	w.syncSessions()
	if _, err := w.controller.Reconcile(context.Background(), theKey); err != nil {
		t.Fatal(err)
	}
	w.expectPhase("Pending")
	w.settle()
	if got := w.resources[resourceName].GetAnnotations()[agenticsession.DesiredPhaseAnnotation]; got != "Running" {
		t.Errorf("desired phase %q, want the start to be requested", got)
	}
}

func TestEditsByHandAreHealedWithAnEvent(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) {
		spec := resource.Object["spec"].(map[string]any)
		spec["displayName"], spec["inactivityTimeout"] = "changed", int64(5)
	})
	w.settle()
	spec := w.resources[resourceName].Object["spec"].(map[string]any)
	if spec["displayName"] != "a" || spec["inactivityTimeout"] != int64(5) {
		t.Errorf("spec %v", spec)
	}
	healed := false
	for len(w.events.Events) > 0 {
		if event := <-w.events.Events; strings.Contains(event, "Healed") {
			healed = true
		}
	}
	if !healed {
		t.Error("no event says so")
	}
}

func TestChangesOfTheSessionAreCarriedAndRemoved(t *testing.T) {
	w := newWorld(t)
	session := w.addSession("a", id, "")
	session.Labels["team"] = "x"
	session.Spec.Environment = map[string]string{"A": "1"}
	w.settle()
	w.changeSession("a", func(session *v1alpha1.Session) {
		delete(session.Labels, "team")
		session.Labels["other"] = "y"
		session.Spec.Environment = nil
	})
	w.settle()
	labels := w.resources[resourceName].GetLabels()
	if _, found := labels["team"]; found || labels["other"] != "y" {
		t.Errorf("labels %v", labels)
	}
	if _, found := w.resources[resourceName].Object["spec"].(map[string]any)["environmentVariables"]; found {
		t.Error("environment stayed")
	}
}

func TestATerminatingNamespaceIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1)})
	w.settle()
	w.obstacle = Obstacle{Reason: ReasonNamespaceTerminating, Message: "the way out"}
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) {
		resource.Object["spec"].(map[string]any)["displayName"] = "changed"
	})
	applies := w.writes["resource"]
	w.settle()
	if w.writes["resource"] != applies {
		t.Error("healed in a terminating namespace")
	}
	w.expectProjected("False", ReasonNamespaceTerminating)
	w.deleteResource(resourceName)
	w.settle()
	w.expectPhase("Running")
	w.obstacle = Obstacle{}
	w.settle()
	w.expectPhase("Stopped")
	w.expectProjected("False", phase.ReasonLost)
	w.expectResource(false)
}

func TestTransientObstaclesAreNotWorthAWord(t *testing.T) {
	w := newWorld(t)
	w.obstacle = Obstacle{Reason: "NamespaceNotReady", Message: "wait", Transient: true}
	w.addSession("a", id, "")
	w.settle()
	if w.writes["status"] != 0 {
		t.Error("a condition was written at once")
	}
	w.now = w.now.Add(time.Minute)
	w.settle()
	w.expectProjected("False", "NamespaceNotReady")
}

func TestTheTimeOfTheLastActivityIsWrittenOnceAMinute(t *testing.T) {
	w := newWorld(t)
	w.addSession("a", id, "")
	w.settle()
	activity := func(second int) {
		w.now = time.Date(2026, 1, 1, 11, 0, second, 0, time.UTC)
		w.setStatus(resourceName, agenticsession.Status{Phase: "Running", StartTime: at(1), LastActivityTime: &metav1.Time{Time: w.now}})
	}
	activity(0)
	w.settle()
	before := w.writes["status"]
	for second := 5; second < 60; second += 5 {
		activity(second)
		w.settle()
	}
	if w.writes["status"] != before {
		t.Errorf("%d writes within a minute", w.writes["status"]-before)
	}
	w.sync()
	again, err := w.controller.Reconcile(context.Background(), theKey)
	if err != nil || again != 5*time.Second {
		t.Errorf("the last time is to be looked at after %s (%v), want 5s", again, err)
	}
	w.now = w.now.Add(again)
	w.settle()
	if got := w.sessions["a"].Status.LastActivityTime; got.Second() != 55 {
		t.Errorf("last activity %s, want the newest", got)
	}
}

// An apply makes what is not there, and that would send the prompt once more.
func TestAChangeDoesNotBringBackWhatIsGone(t *testing.T) {
	for _, phase := range []v1alpha1.SessionPhase{"Running", "Completed"} {
		w := newWorld(t)
		w.addSession("a", id, "")
		w.settle()
		w.setStatus(resourceName, agenticsession.Status{Phase: phase, StartTime: at(1)})
		w.settle()
		// The informer of AgenticSessions lags behind that of Sessions.
		w.deleteResource(resourceName)
		w.changeSession("a", func(session *v1alpha1.Session) { session.Spec.Prompt = "another" })
		w.syncSessions()
		if _, err := w.controller.Reconcile(context.Background(), theKey); !apierrors.IsConflict(err) {
			t.Errorf("%s: the pass ended with %v", phase, err)
		}
		w.expectResource(false)
		w.settle()
		w.expectResource(false)
		w.expectProjected("False", "CustomResourceLost")
	}
}
