package bench

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// noController leaves out what would only take processor time.
var noController = stack.Options{Without: []string{controlplane.ControllerManagerName}}

// newNamespace makes a namespace; adopted ones show sessions, and may become the
// reconciler's.
func newNamespace(b *testing.B, stand *harness.Stand, name string, adopt bool) {
	b.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if adopt {
		namespace.Annotations = map[string]string{v1alpha1.AdoptAnnotation: "true"}
	}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(b.Context(), namespace, metav1.CreateOptions{}); err != nil {
		b.Fatalf("creating namespace %s: %v", name, err)
	}
}

// reportPhase says as the operator does in which phase an AgenticSession is.
func reportPhase(ctx context.Context, client dynamic.ResourceInterface, name string, phase v1alpha1.SessionPhase) error {
	if _, err := client.ApplyStatus(ctx, name, statusOf(name, phase), metav1.ApplyOptions{FieldManager: "operator", Force: true}); err != nil {
		return fmt.Errorf("writing the status of an AgenticSession: %w", err)
	}
	return nil
}
