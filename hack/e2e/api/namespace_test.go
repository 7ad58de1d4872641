package api

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// newNamespace makes a namespace that a project of its name may use.
func newNamespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: labels, Annotations: map[string]string{v1alpha1.AdoptAnnotation: "true"},
	}}
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

// The end of a namespace must not delete the system of record; the namespace says
// why it stays, and what lets it go.
func TestDecision16ATerminatingNamespaceDeletesNothingUpstream(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newNamespace(t, project, nil)
	newSession(t, project, "kept")
	stand.KubectlWithInput(t, settingsManifest(project, "g", "view"), "create", "-f", "-")
	stand.Kubectl(t, "delete", "namespace", project, "--wait=false")

	harness.Eventually(t, "the namespace says why it stays", func() error {
		namespace, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range namespace.Status.Conditions {
			if condition.Type == corev1.NamespaceDeletionContentFailure && condition.Status == corev1.ConditionTrue &&
				strings.Contains(condition.Message, "kubectl annotate namespace "+project+" ambient.io/allow-cascade=true") {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", namespace.Status.Conditions)
	})

	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	settings := stand.Ambient.AmbientV1alpha1().ProjectSettings(project)
	for what, err := range map[string]error{
		"deleting a session":      sessions.Delete(t.Context(), "kept", metav1.DeleteOptions{}),
		"deleting all sessions":   sessions.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}),
		"deleting the settings":   settings.Delete(t.Context(), "settings", metav1.DeleteOptions{}),
		"deleting all settings":   settings.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}),
		"deleting as a dry run":   sessions.Delete(t.Context(), "kept", metav1.DeleteOptions{DryRun: []string{"All"}}),
		"deleting all, a dry run": sessions.DeleteCollection(t.Context(), metav1.DeleteOptions{DryRun: []string{"All"}}, metav1.ListOptions{}),
	} {
		if !apierrors.IsForbidden(err) || !strings.Contains(fmt.Sprint(err), "allow-cascade") {
			t.Errorf("%s: %v, want 403", what, err)
		}
	}
	_, err := sessions.Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("a creation: %v, want 403 because the namespace is being terminated", err)
	}
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 1 || !strings.Contains(stand.Upstream.SettingsOf(t, project).GetGroupAccess(), `"g"`) {
		t.Fatalf("the upstream holds %d sessions and %v", len(rows), stand.Upstream.SettingsOf(t, project))
	}
	// What only changes objects goes on.
	stand.Kubectl(t, "label", "sessions.ambient.io", "kept", "-n", project, "still=writable")

	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	harness.Eventually(t, "the namespace goes", namespaceGone(t, project))
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows are left", len(rows))
	}
	stand.Upstream.Project(t, project)
}

func TestDecision16TheClusterItselfGuardsNamespacesOfProjects(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newNamespace(t, project, map[string]string{v1alpha1.ProjectIDLabel: project})
	newSession(t, project, "kept")
	// A policy takes effect a moment after it was made.
	harness.Eventually(t, "the deletion of the namespace is refused", func() error {
		output := stand.TryKubectl(t, "", "delete", "namespace", project, "--wait=false", "--dry-run=server")
		if output.ExitCode == 0 || !strings.Contains(output.Stderr, "allow-cascade=true") {
			return fmt.Errorf("%+v", output)
		}
		return nil
	})
	harness.Contains(t, stand.KubectlFails(t, "", "delete", "namespace", project).Stderr, "Delete the project instead")
	harness.Contains(t, stand.KubectlFails(t, "", "label", "namespace", project, v1alpha1.ProjectIDLabel+"-").Stderr, "guards the project's sessions")
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	stand.Kubectl(t, "delete", "namespace", project)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows are left", len(rows))
	}
}

// Namespaces that have nothing to do with us are deleted as ever.
func TestUnrelatedNamespacesAreDeleted(t *testing.T) {
	t.Parallel()
	name := stand.Name(t)
	newNamespace(t, name, nil)
	stand.Kubectl(t, "delete", "namespace", name, "--wait=false")
	harness.Within(t, 30*time.Second, "the namespace goes", namespaceGone(t, name))
}
