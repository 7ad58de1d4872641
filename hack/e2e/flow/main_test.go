// Package flow tests the whole: upstream, our API server, the reconciler and a
// stand-in for the platform's operator, on a real control plane. A session goes
// down to an AgenticSession, what the operator says goes up, and nothing is lost
// or run twice while parts of the system are killed.
//
// Each test has a project of its own. What the tests expect of AgenticSessions is
// spelled out here as the platform's contract has it, not taken from the code
// under test.
package flow

import (
	"os"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// stand is the system that all tests of the package share, and dynamicClient the
// client for what has no types here.
var (
	stand         *harness.Stand
	dynamicClient dynamic.Interface
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{
		Stack: stack.Options{
			// It starts when there is some history: see prepare.
			Without:   []string{stack.ReconcilerName},
			Audit:     true,
			Arguments: map[string][]string{stack.OperatorName: {"--run-duration=500ms"}},
		},
		Prepare: prepare,
		Allowed: allowed,
	}, func(s *harness.Stand) { stand = s }))
}
