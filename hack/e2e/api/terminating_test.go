package api

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// A project that waits for its finalizers takes nothing new, lets go on what it has, and
// is not deleted under it.
func TestAProjectThatIsBeingDeletedTakesNothingNew(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	finalize := []string{"patch", "projects.ambient.io", project, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`}
	release := []string{"patch", "projects.ambient.io", project, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`}
	stand.Kubectl(t, finalize...)
	stand.Kubectl(t, "delete", "projects.ambient.io", project, "--wait=false")

	api := stand.Ambient.AmbientV1alpha1()
	_, sessionErr := api.Sessions(project).Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{})
	settings := &v1alpha1.ProjectSettings{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProjectSettingsName}}
	_, settingsErr := api.ProjectSettings(project).Create(t.Context(), settings, metav1.CreateOptions{})
	for what, err := range map[string]error{"a session": sessionErr, "settings": settingsErr} {
		if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			t.Errorf("%s: %v, want 403 because the project is being deleted", what, err)
		}
	}
	applied := stand.KubectlFails(t, sessionManifest(project, "new"), "apply", "--server-side", "-f", "-")
	harness.Contains(t, applied.Stderr, "Forbidden", "in project "+project+" because it is being deleted")

	// Who works at the upstream itself knows nothing of that.
	id := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "theirs", ProjectId: &project}).GetMetadata().GetId()
	var name string
	harness.Eventually(t, "the session is shown", func() error {
		names, err := namesIn(t.Context(), project)
		if err != nil || len(names) != 1 {
			return fmt.Errorf("%q, %w", names, err)
		}
		name = names[0]
		return nil
	})
	if started := act(t, project, name, "start", "", ""); started.Code/100 != 2 {
		t.Errorf("a start: %d %s", started.Code, started.Body)
	}
	if stopped := act(t, project, name, "stop", "", ""); stopped.Code/100 != 2 {
		t.Errorf("a stop: %d %s", stopped.Code, stopped.Body)
	}
	stand.Kubectl(t, "label", "sessions.ambient.io", name, "-n", project, "still=writable")

	harness.Contains(t, stand.KubectlFails(t, "", release...).Stderr, "still has 1 session", "ambient.io/allow-cascade=true")
	stand.Upstream.Project(t, project)
	stand.Upstream.Session(t, id)
	stand.Kubectl(t, "delete", "sessions.ambient.io", name, "-n", project)
	stand.Kubectl(t, release...)
	if _, err := api.Projects().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the project: %v, want that it is gone", err)
	}
}
