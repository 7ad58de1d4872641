package standin

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	testNow    = time.Date(2026, 3, 5, 12, 0, 0, 123456789, time.UTC)
	testStamp  = metav1.NewTime(testNow.Truncate(time.Second))
	testOld    = metav1.NewTime(testNow.Add(-time.Hour).Truncate(time.Second))
	testTiming = Timing{Step: time.Second, Run: 10 * time.Second}
)

// elapsed are facts of a session that has been in its phase long enough for
// every transition.
func elapsed() Facts {
	return Facts{RunnerSecret: true, Outcome: OutcomeRun, Since: testNow.Add(-time.Hour)}
}

func sessionIn(phase Phase, annotations ...string) Session {
	session := Session{
		Namespace:   "alpha",
		Name:        "s",
		UID:         "u",
		Generation:  3,
		Annotations: map[string]string{},
		Spec:        Spec{InitialPrompt: "do it"},
		Status:      Status{Phase: phase},
	}
	if phase != "" {
		session.Status.StartTime = &testOld
		session.Status.ObservedGeneration = 3
	}
	for i := 0; i < len(annotations); i += 2 {
		session.Annotations[annotations[i]] = annotations[i+1]
	}
	return session
}

func TestNextTransitions(t *testing.T) {
	fresh := elapsed()
	fresh.Fresh = true
	noSecret := elapsed()
	noSecret.RunnerSecret = false
	lostSecret := noSecret
	lostSecret.Fresh = true
	pod := elapsed()
	pod.PodExists = true
	early := elapsed()
	early.Since = testNow.Add(-300 * time.Millisecond)
	earlyFresh := early
	earlyFresh.Fresh = true
	outcome := func(outcome Outcome) Facts {
		facts := elapsed()
		facts.Outcome = outcome
		return facts
	}
	earlyComplete := early
	earlyComplete.Outcome = OutcomeComplete

	// "" for a phase or a condition means that the status is left alone.
	type want struct {
		phase     Phase
		condition string // type=status/reason
		decision  Decision
	}
	startRequest := []string{AnnotationDesiredPhase, AnnotationStartRequestedAt}
	stopRequest := []string{AnnotationStopRequestedAt, AnnotationStopReason, AnnotationDesiredPhase}
	tests := map[string]struct {
		session Session
		facts   Facts
		want    want
	}{
		"a new session becomes pending and its run is fresh": {
			sessionIn(""), elapsed(),
			want{PhasePending, "", Decision{Fresh: true, After: time.Second}},
		},
		"a new session without runner secret is pending and retried": {
			sessionIn(""), noSecret,
			want{PhasePending, "SecretsReady=False/RunnerSecretMissing", Decision{Err: errRunnerSecretMissing}},
		},
		"the secret that vanishes before the launch ends the fresh run": {
			sessionIn(PhasePending), lostSecret,
			want{PhasePending, "SecretsReady=False/RunnerSecretMissing", Decision{Err: errRunnerSecretMissing}},
		},
		"pending lasts a step and the run stays fresh": {
			sessionIn(PhasePending), earlyFresh,
			want{"", "", Decision{Fresh: true, After: 700 * time.Millisecond}},
		},
		"a fresh run sends the prompt": {
			sessionIn(PhasePending), fresh,
			want{PhaseCreating, "PodCreated=True/PodCreated", Decision{Launch: &Launch{Prompt: true}, After: time.Second}},
		},
		"a run that has a start time from before is a resume without prompt": {
			sessionIn(PhasePending), elapsed(),
			want{PhaseCreating, "SecretsReady=True/AllRequiredSecretsFound", Decision{Launch: &Launch{}, After: time.Second}},
		},
		"a forced resume sends the prompt and uses up the force": {
			sessionIn(PhasePending, AnnotationForceExecutePrompt, "true"), elapsed(),
			want{PhaseCreating, "PodCreated=True/PodCreated", Decision{
				ClearBefore: []string{AnnotationForceExecutePrompt}, Launch: &Launch{Prompt: true}, After: time.Second,
			}},
		},
		"a pod that exists is not launched twice": {
			sessionIn(PhasePending), pod,
			want{PhaseCreating, "PodCreated=True/PodExists", Decision{After: time.Second}},
		},
		"the launch of a restart clears the request": {
			sessionIn(PhasePending, AnnotationDesiredPhase, "Running"), elapsed(),
			want{PhaseCreating, "PodCreated=True/PodCreated", Decision{
				Launch: &Launch{}, ClearAfter: startRequest, After: time.Second,
			}},
		},
		"a pending session is stopped at once": {
			sessionIn(PhasePending, AnnotationDesiredPhase, "Stopped"), earlyFresh,
			want{PhaseStopped, "Ready=False/UserStopped", Decision{ClearAfter: stopRequest}},
		},
		"a pending session without secret can be stopped": {
			sessionIn(PhasePending, AnnotationDesiredPhase, "Stopped"), noSecret,
			want{PhaseStopped, "Ready=False/UserStopped", Decision{ClearAfter: stopRequest}},
		},
		"creating lasts a step": {
			sessionIn(PhaseCreating), early,
			want{"", "", Decision{After: 700 * time.Millisecond}},
		},
		"creating becomes running": {
			sessionIn(PhaseCreating), elapsed(),
			want{PhaseRunning, "Ready=True/Running", Decision{}},
		},
		"creating is stopped by way of stopping": {
			sessionIn(PhaseCreating, AnnotationDesiredPhase, "Stopped"), early,
			want{PhaseStopping, "Ready=False/Stopping", Decision{After: time.Second}},
		},
		"creating clears what is left of the start request": {
			sessionIn(PhaseCreating, AnnotationDesiredPhase, "Running"), early,
			want{"", "", Decision{ClearAfter: startRequest, After: 700 * time.Millisecond}},
		},
		"a runner that crashes fails without having run": {
			sessionIn(PhaseCreating), outcome(OutcomeCrash),
			want{PhaseFailed, "Ready=False/CrashLoopBackOff", Decision{}},
		},
		"running goes on": {
			sessionIn(PhaseRunning), elapsed(),
			want{"", "", Decision{}},
		},
		"a desired phase of Running is not acted on by a running session": {
			sessionIn(PhaseRunning, AnnotationDesiredPhase, "Running"), elapsed(),
			want{"", "", Decision{}},
		},
		"running is stopped by way of stopping": {
			sessionIn(PhaseRunning, AnnotationDesiredPhase, "Stopped"), outcome(OutcomeComplete),
			want{PhaseStopping, "Ready=False/Stopping", Decision{After: time.Second}},
		},
		"a run lasts its duration": {
			sessionIn(PhaseRunning), earlyComplete,
			want{"", "", Decision{After: 9700 * time.Millisecond}},
		},
		"a runner that finishes completes the session": {
			sessionIn(PhaseRunning), outcome(OutcomeComplete),
			want{PhaseCompleted, "Ready=False/Completed", Decision{}},
		},
		"a runner that fails fails the session": {
			sessionIn(PhaseRunning), outcome(OutcomeFail),
			want{PhaseFailed, "Ready=False/RunnerExit", Decision{}},
		},
		"a lost pod sends the session back to pending": {
			sessionIn(PhaseRunning), outcome(OutcomeLose),
			want{PhasePending, "PodCreated=False/PodMissing", Decision{After: time.Second}},
		},
		"stopping lasts a step": {
			sessionIn(PhaseStopping, AnnotationDesiredPhase, "Stopped"), early,
			want{"", "", Decision{After: 700 * time.Millisecond}},
		},
		"stopping becomes stopped and clears the request": {
			sessionIn(PhaseStopping, AnnotationDesiredPhase, "Stopped"), elapsed(),
			want{PhaseStopped, "RunnerStarted=False/UserStopped", Decision{ClearAfter: stopRequest}},
		},
		"a stop for inactivity says so": {
			sessionIn(PhaseStopping, AnnotationDesiredPhase, "Stopped", AnnotationStopReason, "inactivity"), elapsed(),
			want{PhaseStopped, "Ready=False/InactivityTimeout", Decision{ClearAfter: stopRequest}},
		},
		"a start asked for while stopping outlives the stop": {
			sessionIn(PhaseStopping, AnnotationDesiredPhase, "Running"), elapsed(),
			want{PhaseStopped, "Ready=False/UserStopped", Decision{ClearAfter: stopRequest[:2]}},
		},
		"stopped clears what is left of the stop request": {
			sessionIn(PhaseStopped, AnnotationDesiredPhase, "Stopped"), elapsed(),
			want{"", "", Decision{ClearAfter: stopRequest}},
		},
		"a stop request on a completed session is left alone": {
			sessionIn(PhaseCompleted, AnnotationDesiredPhase, "Stopped"), elapsed(),
			want{"", "", Decision{}},
		},
		"stopped without request rests":   {sessionIn(PhaseStopped), elapsed(), want{}},
		"completed without request rests": {sessionIn(PhaseCompleted), elapsed(), want{}},
		"failed without request rests":    {sessionIn(PhaseFailed), elapsed(), want{}},
	}
	for _, phase := range []Phase{PhaseStopped, PhaseCompleted, PhaseFailed} {
		test := tests["stopped without request rests"]
		test.session = sessionIn(phase, AnnotationDesiredPhase, "Running")
		test.want = want{PhasePending, "Ready=False/Restarting", Decision{
			ClearAfter: []string{AnnotationStartRequestedAt, AnnotationStopReason}, After: time.Second,
		}}
		tests["a start request restarts a session that is "+string(phase)] = test
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := test.session.Status.deepCopy()
			decision := Next(test.session, test.facts, testTiming, testNow)
			if difference := cmp.Diff(before, &test.session.Status); difference != "" {
				t.Errorf("Next changed what it was given:\n%s", difference)
			}
			if decision.Status == nil {
				if test.want.phase != "" {
					t.Fatalf("status left alone, want phase %s", test.want.phase)
				}
			} else {
				if decision.Status.Phase != test.want.phase {
					t.Errorf("phase is %q, want %q", decision.Status.Phase, test.want.phase)
				}
				checkCondition(t, decision.Status, test.want.condition)
			}
			if !errors.Is(decision.Err, test.want.decision.Err) {
				t.Errorf("error is %v, want %v", decision.Err, test.want.decision.Err)
			}
			decision.Status, decision.Err, test.want.decision.Err = nil, nil, nil
			if difference := cmp.Diff(test.want.decision, decision); difference != "" {
				t.Errorf("decision (-want +got):\n%s", difference)
			}
		})
	}
}

func checkCondition(t *testing.T, status *Status, want string) {
	t.Helper()
	if want == "" {
		return
	}
	for _, condition := range status.Conditions {
		if condition.Type+"="+condition.Status+"/"+condition.Reason == want {
			return
		}
	}
	t.Errorf("no condition %s among %+v", want, status.Conditions)
}

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
