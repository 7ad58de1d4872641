package outage

import (
	"fmt"
	"testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// Each part is killed in turn, changes are made upstream while it is away, and
// the informer that was open the whole time ends equal to the upstream.
func TestCrashes(t *testing.T) {
	project := stand.NewProject(t)
	mirror := stand.NewMirror(t)
	crashes := []struct {
		name      string
		processes []*process.Process
	}{
		{"the upstream", []*process.Process{stand.Stack.Upstream}},
		{"our server", []*process.Process{stand.Stack.Extension}},
		{"kube-apiserver", []*process.Process{stand.Stack.APIServer}},
		{"our server and kube-apiserver", []*process.Process{stand.Stack.Extension, stand.Stack.APIServer}},
	}
	for _, crash := range crashes {
		t.Run(crash.name, func(t *testing.T) {
			// It counts the listings, too.
			stand.NeedsEmbeddedUpstream(t)
			changed, removed := rows(t, project), rows(t, project)
			mirror.AwaitEqual(t)
			listed(t, 2)
			for _, p := range crash.processes {
				harness.Kill(t, p)
			}
			upstreamIsThere := crash.processes[0] != stand.Stack.Upstream
			change := func() {
				for _, id := range changed {
					stand.Upstream.SetPhase(t, id, v1alpha1.SessionRunning)
				}
				for _, id := range removed {
					stand.Upstream.DeleteSession(t, id)
				}
				rows(t, project)
			}
			if upstreamIsThere {
				change()
			}
			// The first one killed is the last one back: kube-apiserver is needed
			// by our server.
			for i := len(crash.processes) - 1; i >= 0; i-- {
				harness.Restart(t, crash.processes[i])
			}
			if !upstreamIsThere {
				change()
			}
			mirror.AwaitEqual(t)
			for _, id := range changed {
				if session := mirror.Session(id); session == nil || session.Status.Phase != v1alpha1.SessionRunning {
					t.Errorf("session %s is %+v", id, session)
				}
			}
			// And it goes on, in both directions.
			name := stand.Name(t)
			harness.Eventually(t, "a session can be created", func() error {
				output := stand.TryKubectl(t, body(name), "create", "-n", project, "-f", "-")
				if output.ExitCode != 0 {
					return fmt.Errorf("%s", output.Stderr)
				}
				return nil
			})
			rows(t, project)
			mirror.AwaitEqual(t)
		})
	}
}

// rows creates some sessions upstream and returns their ids.
func rows(t *testing.T, project string) []string {
	t.Helper()
	var ids []string
	for range 5 {
		row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: stand.Name(t), ProjectId: &project})
		ids = append(ids, row.GetMetadata().GetId())
	}
	return ids
}

// A kubectl get -w that was open all the time sees a change that was made after
// the upstream had crashed.
func TestAnOpenWatchOutlivesTheUpstream(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	session := stand.NewSession(t, project, "watched")
	watching := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", project, "-w", "--output-watch-events", "--no-headers")
	watching.AwaitLine(t, "ADDED", "watched")
	for _, phase := range []v1alpha1.SessionPhase{v1alpha1.SessionRunning, v1alpha1.SessionCompleted} {
		harness.Kill(t, stand.Stack.Upstream)
		harness.Restart(t, stand.Stack.Upstream)
		stand.Upstream.SetPhase(t, session.Status.SessionID, phase)
		watching.AwaitLine(t, "MODIFIED", "watched", string(phase))
	}
}
