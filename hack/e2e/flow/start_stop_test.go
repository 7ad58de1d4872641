package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
)

// ask is a way to ask for a start or a stop.
type ask func(t *testing.T, project, name, id string, phase v1alpha1.SessionPhase)

var asks = map[string]ask{
	"by the subresources": func(t *testing.T, project, name, _ string, phase v1alpha1.SessionPhase) {
		mustAct(t, project, name, map[v1alpha1.SessionPhase]string{v1alpha1.SessionPending: "start", v1alpha1.SessionStopping: "stop"}[phase])
	},
	"by a phase set upstream": func(t *testing.T, _, _, id string, phase v1alpha1.SessionPhase) {
		stand.Upstream.SetPhase(t, id, phase)
	},
}

func TestStopAndStart(t *testing.T) {
	for way, ask := range asks {
		t.Run(way, func(t *testing.T) {
			project := stand.NewProject(t)
			resources, seen := record(t, agenticSessions, project), record(t, sessions, project)
			const name = "worker"
			id := stand.NewSession(t, project, name).Status.SessionID
			resource := running(t, id)

			ask(t, project, name, id, v1alpha1.SessionStopping)
			awaitPhase(t, id, v1alpha1.SessionStopped)
			stopped := awaitSettled(t, id, v1alpha1.SessionStopped)
			awaitCourse(t, "the AgenticSession", func() []string { return since(resources.phases(resource.GetName()), "Running") }, "Running", "Stopping", "Stopped")
			awaitCourse(t, "the session", func() []string { return since(seen.phases(name), "Stopping") }, "Stopping", "Stopped")
			session := getSession(t, project, name)
			if session.Status.StoppedReason != "user" || session.Status.CompletionTime == nil ||
				session.Status.CompletionTime.UTC().Format("2006-01-02T15:04:05Z") != text(stopped, "status", "completionTime") {
				t.Errorf("it was stopped by %q at %v, and at %s as the operator says", session.Status.StoppedReason, session.Status.CompletionTime, text(stopped, "status", "completionTime"))
			}

			ask(t, project, name, id, v1alpha1.SessionPending)
			awaitPhase(t, id, v1alpha1.SessionRunning)
			again := awaitSettled(t, id, v1alpha1.SessionRunning)
			awaitCourse(t, "the AgenticSession", func() []string { return since(resources.phases(resource.GetName()), "Stopped") }, "Stopped", "Pending", "Creating", "Running")
			harness.Eventually(t, "a watch of the session shows the second run", func() error {
				phases := since(seen.phases(name), "Pending")
				if len(phases) == 0 || phases[len(phases)-1] != "Running" || slices.Contains(phases, "Stopped") {
					return fmt.Errorf("after the start the session went through %v", phases)
				}
				return nil
			})
			for _, phase := range []string{"Stopped", "Running"} {
				if times := resources.requests(resource.GetName(), phase); times != 1 {
					t.Errorf("the operator was asked for %s %d times", phase, times)
				}
			}
			awaitRow(t, id, "tells of the second run", func(row *ambientv1.Session) error {
				if got, want := row.GetStartTime().AsTime().Format("2006-01-02T15:04:05Z"), text(again, "status", "startTime"); got != want {
					return fmt.Errorf("it started at %s, want %s", got, want)
				}
				return nil
			})
			checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 2}})
		})
	}
}

// awaitSettled waits until the AgenticSession is in the phase and bears no request
// and no mark of one.
func awaitSettled(t *testing.T, id string, phase v1alpha1.SessionPhase) *unstructured.Unstructured {
	t.Helper()
	return awaitResourceState(t, id, "is "+string(phase)+" and bears no request", func(resource *unstructured.Unstructured) bool {
		annotations := resource.GetAnnotations()
		for _, key := range []string{"ambient-code.io/desired-phase", "ambient-code.io/start-requested-at", "ambient-code.io/stop-requested-at", "ambient.io/handled-request"} {
			if _, found := annotations[key]; found {
				return false
			}
		}
		return phaseOf(resource) == string(phase)
	})
}

func awaitCourse(t *testing.T, what string, course func() []string, want ...string) {
	t.Helper()
	harness.Eventually(t, what+" is seen to go through all of it", func() error {
		if got := course(); !slices.Equal(got, want) {
			return fmt.Errorf("it went through %v, want %v", got, want)
		}
		return nil
	})
}

func TestRunnersThatEnd(t *testing.T) {
	tests := []struct {
		outcome standin.Outcome
		end     v1alpha1.SessionPhase
	}{
		{standin.OutcomeComplete, v1alpha1.SessionCompleted},
		{standin.OutcomeFail, v1alpha1.SessionFailed},
		{standin.OutcomeCrash, v1alpha1.SessionFailed},
	}
	for _, test := range tests {
		t.Run(string(test.outcome), func(t *testing.T) {
			project := stand.NewProject(t)
			script(t, project, test.outcome)
			resources, seen := record(t, agenticSessions, project), record(t, sessions, project)
			const name = "worker"
			id := stand.NewSession(t, project, name).Status.SessionID
			awaitEnd(t, id, test.end)
			resource := awaitSettled(t, id, test.end)
			if requests := course(resources.states(resource.GetName()), desired); !slices.Equal(requests, []string{""}) {
				t.Errorf("the operator was asked for %q", requests)
			}
			checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 1}})

			// A phase of Pending upstream asks for another run, and not the end of
			// the first run answers it.
			stand.Upstream.SetPhase(t, id, v1alpha1.SessionPending)
			harness.Eventually(t, "the second run ends", func() error {
				if phases := resources.phases(resource.GetName()); count(phases, string(test.end)) != 2 {
					return fmt.Errorf("the AgenticSession went through %v", phases)
				}
				return nil
			})
			awaitEnd(t, id, test.end)
			awaitSettled(t, id, test.end)
			harness.Eventually(t, "a watch of the session shows one end", func() error {
				phases := since(seen.phases(name), "Pending")
				if count(phases, string(test.end)) != 1 || phases[len(phases)-1] != string(test.end) {
					return fmt.Errorf("after the start the session went through %v", phases)
				}
				return nil
			})
			if starts, stops := resources.requests(resource.GetName(), "Running"), resources.requests(resource.GetName(), "Stopped"); starts != 1 || stops != 0 {
				t.Errorf("the operator was asked for %d starts and %d stops", starts, stops)
			}
			checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 2}})
		})
	}
}

// awaitEnd waits until the upstream has the end of the AgenticSession's run.
func awaitEnd(t *testing.T, id string, phase v1alpha1.SessionPhase) {
	t.Helper()
	awaitRow(t, id, "has ended "+string(phase), func(row *ambientv1.Session) error {
		items, err := resourcesOf(t, id)
		if err != nil {
			return err
		}
		if len(items) != 1 {
			return fmt.Errorf("there are %d AgenticSessions", len(items))
		}
		got := row.GetCompletionTime().AsTime().Format("2006-01-02T15:04:05Z")
		if want := text(&items[0], "status", "completionTime"); row.GetPhase() != string(phase) || row.CompletionTime == nil || got != want {
			return fmt.Errorf("it is %s, completed at %s; the AgenticSession at %s", row.GetPhase(), got, want)
		}
		return nil
	})
}

func TestRequestsThatThePhaseForbidsAreRefused(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	running(t, id)
	refused := func(action string, phase v1alpha1.SessionPhase) {
		t.Helper()
		answer := act(t, project, "worker", action)
		if answer.Code != 409 || !strings.Contains(answer.Status.Message, string(phase)) {
			t.Errorf("a %s of a session that is %s: %d %s", action, phase, answer.Code, answer.Body)
		}
	}
	refused("start", v1alpha1.SessionRunning)
	mustAct(t, project, "worker", "stop")
	awaitSettled(t, id, v1alpha1.SessionStopped)
	awaitPhase(t, id, v1alpha1.SessionStopped)
	refused("stop", v1alpha1.SessionStopped)
	checkLaunches(t, project, map[string]launches{strings.ToLower(id): {Prompts: 1, Runners: 1}})
}

// Sessions that have ended before they could be projected are not projected; one
// that was to be stopped is.
func TestSessionsThatHaveEndedGetNoAgenticSession(t *testing.T) {
	// Upstream, a session may belong to a project that does not exist yet.
	project := stand.Name(t)
	resources := record(t, agenticSessions, project)
	ends := []v1alpha1.SessionPhase{v1alpha1.SessionStopped, v1alpha1.SessionCompleted, v1alpha1.SessionFailed, v1alpha1.SessionStopping}
	ids := map[v1alpha1.SessionPhase]string{}
	for _, end := range ends {
		ids[end] = newUpstreamSession(t, project, "Ended "+string(end))
		stand.Upstream.SetPhase(t, ids[end], end)
	}
	fresh := newUpstreamSession(t, project, "Fresh")
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: project}); err != nil {
		t.Fatal(err)
	}
	running(t, fresh)
	awaitPhase(t, ids[v1alpha1.SessionStopping], v1alpha1.SessionStopped)
	for _, end := range ends[:3] {
		if row := stand.Upstream.Session(t, ids[end]); row.GetPhase() != string(end) {
			t.Errorf("a session that was %s is %s", end, row.GetPhase())
		}
	}
	for _, event := range resources.all() {
		if resource := event.Object.(*unstructured.Unstructured); resource.GetLabels()[sessionIDLabel] != fresh {
			t.Errorf("AgenticSession %s was made", resource.GetName())
		}
	}
	checkLaunches(t, project, map[string]launches{strings.ToLower(fresh): {Prompts: 1, Runners: 1}})
}
