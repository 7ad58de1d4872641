package flow

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// oldProject holds the sessions that were there before the reconciler first
// started, and old how many there are in each phase.
const oldProject = "old-times"

var old = map[v1alpha1.SessionPhase]int{
	"":                        40,
	v1alpha1.SessionStopping:  15,
	v1alpha1.SessionRunning:   5,
	v1alpha1.SessionStopped:   20,
	v1alpha1.SessionCompleted: 10,
	v1alpha1.SessionFailed:    10,
}

// prepare fills the upstream with old sessions and starts the reconciler for the
// first time.
func prepare(ctx context.Context, stand *harness.Stand) error {
	var err error
	if dynamicClient, err = dynamic.NewForConfig(stand.Stack.Config()); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if _, err := stand.Upstream.Projects.CreateProject(ctx, &ambientv1.CreateProjectRequest{Name: oldProject}); err != nil {
		return fmt.Errorf("creating project %s: %w", oldProject, err)
	}
	project, prompt := oldProject, "This was done long ago"
	for phase, number := range old {
		for range number {
			row, err := stand.Upstream.Sessions.CreateSession(ctx, &ambientv1.CreateSessionRequest{
				Name: "was " + string(phase), Prompt: &prompt, ProjectId: &project,
			})
			if err != nil {
				return fmt.Errorf("creating an old session: %w", err)
			}
			if phase == "" {
				continue
			}
			text := string(phase)
			request := &ambientv1.UpdateSessionStatusRequest{Id: row.GetMetadata().GetId(), Phase: &text}
			if _, err := stand.Upstream.Sessions.UpdateSessionStatus(ctx, request); err != nil {
				return fmt.Errorf("setting the phase of an old session: %w", err)
			}
		}
	}
	return stand.Stack.StartReconciler(ctx)
}

func TestHistoryIsNotRunAgain(t *testing.T) {
	want := map[string]int{
		// Nobody asked for a start.
		`"" CreatedBeforeInstall`: old[""],
		// What was to be stopped is.
		`"Stopped" StoppedBeforeStart`: old[v1alpha1.SessionStopping],
		// What ran elsewhere can't be found.
		`"Stopped" CustomResourceLost`: old[v1alpha1.SessionRunning],
		// Nothing is said of what had ended.
		`"Stopped" `:   old[v1alpha1.SessionStopped],
		`"Completed" `: old[v1alpha1.SessionCompleted],
		`"Failed" `:    old[v1alpha1.SessionFailed],
	}
	var neverStarted *v1alpha1.Session
	harness.Eventually(t, "the old sessions are as they should be", func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(oldProject).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		got := map[string]int{}
		for i := range list.Items {
			session := &list.Items[i]
			got[fmt.Sprintf("%q %s", session.Status.Phase, reasonNotProjected(session))]++
			if session.Status.Phase == "" {
				neverStarted = session
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("they are %v, want %v", got, want)
		}
		for key, number := range want {
			if got[key] != number {
				return fmt.Errorf("they are %v, want %v", got, want)
			}
		}
		return nil
	})
	list, err := dynamicClient.Resource(agenticSessions).Namespace(oldProject).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 0 {
		t.Errorf("%d AgenticSessions were made", len(list.Items))
	}
	for phase, number := range old {
		rows := 0
		for _, row := range stand.Upstream.SessionsIn(t, oldProject) {
			if row.GetName() == "was "+string(phase) && (row.GetPhase() == string(phase)) {
				rows++
			}
		}
		changed := phase == v1alpha1.SessionStopping || phase == v1alpha1.SessionRunning
		if !changed && rows != number {
			t.Errorf("%d of %d rows that were %q are so no more", number-rows, number, phase)
		}
	}

	// A request is a request, however old the session is.
	mustAct(t, oldProject, neverStarted.Name, "start")
	resource := running(t, neverStarted.Status.SessionID)
	checkLaunches(t, oldProject, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 1}})
}

func reasonNotProjected(session *v1alpha1.Session) string {
	for _, condition := range session.Status.Conditions {
		if condition.Type == "Projected" && condition.Status == metav1.ConditionFalse {
			return condition.Reason
		}
	}
	return ""
}
