package bench

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// BenchmarkReconcilerMemory starts the reconciler on 100,000 sessions that have ended,
// has it project a hundredth as many new ones, and starts it again on all of them.
func BenchmarkReconcilerMemory(b *testing.B) {
	n := size(b, "AMBIENT_BENCH_HISTORY", 100000)
	stand := start(b, stack.Options{})
	newProject(b, stand, project)
	// It need not follow along.
	stop(b, stand.Stack.Extension)
	fill(b, stand, project, n, v1alpha1.SessionCompleted)
	restart(b, stand, stand.Stack.Extension)
	calls := stand.Upstream.Calls(b)
	if err := stand.Stack.StartReconciler(b.Context()); err != nil {
		b.Fatal(err)
	}
	atRest(b, stand)
	rest, first := memory(b, stand.Stack.Reconciler)
	written := difference(calls, stand.Upstream.Calls(b))["UpdateSessionStatus"]

	fresh := max(1, n/100)
	there := newTally(fresh)
	watching := watchPhase(b, stand, resourcesPath, "", there)
	fill(b, stand, project, fresh, "")
	there.wait(b, "AgenticSessions")
	watching.close()
	atRest(b, stand)
	restart(b, stand, stand.Stack.Reconciler)
	atRest(b, stand)
	_, again := memory(b, stand.Stack.Reconciler)

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rest, "rest-MiB")
	b.ReportMetric(first, "first-MiB")
	b.ReportMetric(again, "again-MiB")
	b.ReportMetric(float64(written), "status-writes")
	row(b, fmt.Sprintf("resident memory of the reconciler with %d sessions of 1 KB", n), "≤ 700 MiB",
		fmt.Sprintf("%.0f MiB at most at its first start, %.0f afterwards, %.0f at most when started again with %d AgenticSessions; %d status writes for what had ended",
			first, rest, again, fresh, written), max(first, again) <= 700)
}

// atRest waits until the reconciler has seen everything and nothing waits for it.
func atRest(b *testing.B, stand *harness.Stand) {
	b.Helper()
	harness.Within(b, patience, "the namespace is there", func() error {
		_, err := stand.Kubernetes.CoreV1().Namespaces().Get(b.Context(), project, metav1.GetOptions{})
		return err
	})
	harness.Within(b, patience, "nothing waits for the reconciler", func() error {
		text, err := stand.ReconcilerMetrics(b.Context())
		if err != nil {
			return err
		}
		for _, line := range []string{`ambient_kube_reconciler_leader 1`, `ambient_kube_reconciler_queue_depth{queue="sessions"} 0`, `ambient_kube_reconciler_queue_oldest_unsettled_seconds{queue="sessions"} 0`} {
			if !strings.Contains(text, line+"\n") {
				return fmt.Errorf("the metrics lack %s", line)
			}
		}
		return nil
	})
}
