package outage

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// The prompts of one tenant are more than our server takes in one message. It
// lists them nevertheless, notices what no event tells, and starts again.
func TestSessionsThatDoNotFitIntoOneMessage(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	stand.Upstream.Fault(t, `{"silent":true}`)
	prompt := strings.Repeat("x", 1<<20)
	var ids []string
	defer func() {
		// With events: so many absences would be doubted.
		stand.Upstream.Heal(t)
		for _, id := range ids {
			stand.Upstream.DeleteSession(t, id)
		}
		served(t, project, 0)
	}()
	for range 70 { // and 64 fit
		row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "long", ProjectId: &project, Prompt: &prompt})
		ids = append(ids, row.GetMetadata().GetId())
	}
	served(t, project, len(ids))
	stand.Upstream.DeleteSession(t, ids[0])
	ids = slices.Delete(ids, 0, 1)
	// Which asks for a listing: after one that takes seconds, the pause is long.
	stand.Upstream.Act(t, "eof")
	served(t, project, len(ids))
	harness.Kill(t, stand.Stack.Extension)
	harness.Restart(t, stand.Stack.Extension)
	served(t, project, len(ids))
}

// served waits until a project has so many sessions to kubectl.
func served(t *testing.T, project string, count int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%d sessions are served", count), func() error {
		output := stand.TryKubectl(t, "", "get", "sessions.ambient.io", "-n", project, "--no-headers", "--ignore-not-found")
		if served := strings.Count(output.Stdout, "\n"); output.ExitCode != 0 || served != count {
			return fmt.Errorf("%d are: %s", served, output.Stderr)
		}
		return nil
	})
}
