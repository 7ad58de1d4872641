package api

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// A namespace that belongs to somebody else must not show a project's sessions to
// its users, until it is given to the project.
func TestDecision18SessionsStayOutOfANamespaceThatIsNotAdopted(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "secretive")
	sessions := stand.Ambient.AmbientV1alpha1()
	namespaces := stand.Kubernetes.CoreV1().Namespaces()
	if _, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	harness.Eventually(t, "the session is served in the fallback namespace", func() error {
		session, err := sessions.Sessions("ambient-unassigned").Get(t.Context(), "secretive", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionNamespaceNotAdopted) {
			return fmt.Errorf("its conditions are %+v", session.Status.Conditions)
		}
		return nil
	})
	if _, err := sessions.Sessions(project).Get(t.Context(), "secretive", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the foreign namespace still shows it: %v", err)
	}
	another := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "another", Namespace: project}}
	if _, err := sessions.Sessions(project).Create(t.Context(), another, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("creating a session there: %v, want 403", err)
	}

	adopt := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"true"}}}`, v1alpha1.AdoptAnnotation)
	if _, err := namespaces.Patch(t.Context(), project, types.MergePatchType, adopt, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the adopted namespace shows the session", func() error {
		_, err := sessions.Sessions(project).Get(t.Context(), "secretive", metav1.GetOptions{})
		return err
	})
	if _, err := sessions.Sessions("ambient-unassigned").Get(t.Context(), "secretive", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the fallback namespace still shows it: %v", err)
	}
}
