package standin

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNextTimes(t *testing.T) {
	t.Run("a start has the time in whole seconds", func(t *testing.T) {
		status := Next(sessionIn(""), elapsed(), testTiming, testNow).Status
		if !status.StartTime.Equal(&testStamp) {
			t.Errorf("startTime is %v, want %v", status.StartTime, testStamp)
		}
	})
	t.Run("an end has a completion time and keeps the start time", func(t *testing.T) {
		facts := elapsed()
		facts.Outcome = OutcomeFail
		status := Next(sessionIn(PhaseRunning), facts, testTiming, testNow).Status
		if !status.CompletionTime.Equal(&testStamp) || !status.StartTime.Equal(&testOld) {
			t.Errorf("times are %v and %v, want %v and %v", status.StartTime, status.CompletionTime, testOld, testStamp)
		}
	})
	t.Run("a stop for inactivity is recorded", func(t *testing.T) {
		session := sessionIn(PhaseStopping, AnnotationDesiredPhase, "Stopped", AnnotationStopReason, "inactivity")
		status := Next(session, elapsed(), testTiming, testNow).Status
		if status.StoppedReason != "inactivity" || !status.CompletionTime.Equal(&testStamp) {
			t.Errorf("status is %+v", status)
		}
	})
	t.Run("a stop for any other reason is the user's", func(t *testing.T) {
		session := sessionIn(PhasePending, AnnotationDesiredPhase, "Stopped", AnnotationStopReason, "run-finished")
		if got := Next(session, elapsed(), testTiming, testNow).Status.StoppedReason; got != "user" {
			t.Errorf("stoppedReason is %q", got)
		}
	})
	t.Run("a restart takes back the end and keeps what others wrote", func(t *testing.T) {
		restarts := int64(2)
		session := sessionIn(PhaseStopped, AnnotationDesiredPhase, "Running")
		session.Status.CompletionTime, session.Status.LastActivityTime = &testOld, &testOld
		session.Status.StoppedReason = "user"
		session.Status.SDKSessionID, session.Status.SDKRestartCount = "sdk", &restarts
		status := Next(session, elapsed(), testTiming, testNow).Status
		status.Conditions = nil
		want := &Status{
			Phase: PhasePending, ObservedGeneration: 3, StartTime: &testStamp,
			SDKSessionID: "sdk", SDKRestartCount: &restarts,
		}
		if difference := cmp.Diff(want, status); difference != "" {
			t.Errorf("status (-want +got):\n%s", difference)
		}
	})
	t.Run("a condition keeps its transition time while its status stays", func(t *testing.T) {
		session := sessionIn(PhaseRunning, AnnotationDesiredPhase, "Stopped")
		session.Status.Conditions = []Condition{
			{Type: ConditionReady, Status: "True", Reason: "Running", LastTransitionTime: &testOld},
		}
		status := Next(session, elapsed(), testTiming, testNow).Status
		if !status.Conditions[0].LastTransitionTime.Equal(&testStamp) {
			t.Errorf("Ready changed and its time did not: %+v", status.Conditions[0])
		}
		session = sessionIn(PhaseStopping)
		session.Status.Conditions = []Condition{
			{Type: ConditionReady, Status: "False", Reason: "Stopping", LastTransitionTime: &testOld},
		}
		status = Next(session, elapsed(), testTiming, testNow).Status
		if condition := status.Conditions[0]; condition.Reason != "UserStopped" || !condition.LastTransitionTime.Equal(&testOld) {
			t.Errorf("Ready stayed False and became %+v", condition)
		}
	})
}

func TestNextReconcilesTheSpec(t *testing.T) {
	session := sessionIn(PhaseRunning)
	session.Generation = 4
	session.Spec.Repos = []Repository{
		{URL: "https://git.example/a.git", Branch: "one"},
		{URL: "https://git.example/b/"},
		{URL: "https://git.example/a.git", Branch: "two"},
	}
	session.Spec.ActiveWorkflow = &Workflow{GitURL: "https://git.example/w", Path: "p"}
	status := Next(session, elapsed(), testTiming, testNow).Status
	if status == nil {
		t.Fatal("a changed generation was not acted on")
	}
	repos := []ReconciledRepo{
		{URL: "https://git.example/a.git", Name: "a", Branch: "two", Status: "Ready", ClonedAt: &testStamp},
		{URL: "https://git.example/b/", Name: "b", Branch: "main", Status: "Ready", ClonedAt: &testStamp},
	}
	if difference := cmp.Diff(repos, status.ReconciledRepos); difference != "" {
		t.Errorf("reconciledRepos (-want +got):\n%s", difference)
	}
	workflow := &ReconciledWorkflow{GitURL: "https://git.example/w", Branch: "main", Path: "p", Status: "Active", AppliedAt: &testStamp}
	if difference := cmp.Diff(workflow, status.ReconciledWorkflow); difference != "" {
		t.Errorf("reconciledWorkflow (-want +got):\n%s", difference)
	}
	checkCondition(t, status, "Reconciled=True/SpecApplied")
	if status.ObservedGeneration != 4 {
		t.Errorf("observedGeneration is %d, want 4", status.ObservedGeneration)
	}

	session.Status = *status
	if again := Next(session, elapsed(), testTiming, testNow.Add(time.Hour)); again.Status != nil {
		t.Errorf("the same generation was acted on twice: %+v", again.Status)
	}
	session.Generation, session.Spec.Repos, session.Spec.ActiveWorkflow = 5, nil, nil
	status = Next(session, elapsed(), testTiming, testNow).Status
	if status.ReconciledRepos != nil || status.ReconciledWorkflow != nil {
		t.Errorf("what left the spec stayed in the status: %+v", status)
	}
	checkCondition(t, status, "ReposReconciled=True/NoRepos")
	checkCondition(t, status, "WorkflowReconciled=True/NotConfigured")
}
