// Package outage tests what happens to the API when parts of the system stop, are
// killed and come back: the upstream, our API server, kube-apiserver. Its tests
// run one after the other on a stand of their own.
package outage

import (
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// maxStaleness is short, so that tests see what happens beyond it.
const maxStaleness = "4s"

var stand *harness.Stand

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{
		Stack: stack.Options{
			Without:   []string{stack.OperatorName, stack.ReconcilerName},
			Arguments: map[string][]string{stack.APIServerName: {"--max-staleness=" + maxStaleness}},
		},
		Allowed: harness.Outages(),
	}, func(s *harness.Stand) { stand = s }))
}

func newNamespace(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{v1alpha1.AdoptAnnotation: "true"}}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating namespace %s: %v", name, err)
	}
}

func namespaceGone(t *testing.T, name string) func() error {
	return func() error {
		namespace, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		default:
			return fmt.Errorf("it is still there: %+v", namespace.Status)
		}
	}
}

// listed waits until our server has listed everything some times more. What it
// has seen in two listings it takes for established: rows that vouch for the
// upstream being the same after a restart.
func listed(t *testing.T, times int64) {
	t.Helper()
	count := func() int64 {
		calls := stand.Upstream.Calls(t)
		return min(calls["ListSessions"], calls["ListProjects"])
	}
	begun := count()
	harness.Eventually(t, "our server lists", func() error {
		if now := count(); now < begun+times {
			return fmt.Errorf("%d of %d times", now-begun, times)
		}
		return nil
	})
}

func path(project string) string {
	return "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
}

func body(name string) string {
	return fmt.Sprintf(`{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":%q}}`, name)
}
