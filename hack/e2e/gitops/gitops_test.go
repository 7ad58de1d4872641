// Package gitops runs the tests of module hack/gitops, which drive the libraries of
// GitOps tools, against a stand: those have dependencies that the main module's must
// not meet.
package gitops

import (
	"os"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var stand *harness.Stand

func TestMain(m *testing.M) {
	allowed := []harness.Allowed{
		{Process: stack.APIServerName, Pattern: harness.Abandoned, Why: "Flux's library gives up its other requests when one is refused"},
	}
	os.Exit(harness.Main(m, harness.Options{Allowed: allowed}, func(s *harness.Stand) { stand = s }))
}

func TestToolsThatKeepAClusterAsGitSays(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	harness.TestModule(t, "gitops", []string{
		"AMBIENT_GITOPS_KUBECONFIG=" + stand.Stack.Kubeconfig(),
		"AMBIENT_GITOPS_COUNTERS=http://" + stand.Stack.UpstreamControlAddress() + "/counters",
	}, "TestEveryPhaseHasItsHealth", "TestASecondSyncWritesNothing", "TestPruningDeletes")
}
