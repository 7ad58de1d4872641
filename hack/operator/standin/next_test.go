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
