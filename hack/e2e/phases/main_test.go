// Package phases brings real sessions and AgenticSessions into every pair of
// phases while the reconciler is away, starts it, and compares what becomes of
// them with the table that was written by hand: hack/phases/table/phases.yaml.
//
// The operator's stand-in does not run, so that an AgenticSession's phase is what
// the test gave it. The reconciler of an earlier life made the AgenticSessions, as
// it would have.
package phases

import (
	"os"
	"testing"

	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/phases/table"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var (
	stand *harness.Stand
	// dynamicClient acts as the administrator, and reconcilerClient as the
	// reconciler did in the past that a test makes up.
	dynamicClient, reconcilerClient dynamic.Interface
	phases                          *table.Table
)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{
		Stack: stack.Options{Without: []string{stack.OperatorName}},
	}, func(s *harness.Stand) { stand = s }))
}
