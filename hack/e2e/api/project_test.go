package api

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// Nothing exists, not even the namespace, and one file makes all of it.
func TestOneFileMakesEverything(t *testing.T) {
	t.Parallel()
	for name, further := range map[string][]string{"client side": nil, "server side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := stand.Name(t)
			manifest := strings.Join([]string{projectManifest(project, "All at once"), settingsManifest(project, "developers", "edit"), sessionManifest(project, "first")}, "---\n")
			output := stand.KubectlWithInput(t, manifest, append([]string{"apply", "-f", "-"}, further...)...).Stdout
			harness.Contains(t, output, "project.ambient.io/"+project, "projectsettings.ambient.io/settings", "session.ambient.io/first")
			if _, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("the namespace: %v, want that it does not exist", err)
			}
			rowOf(t, project, "first")
			if row := stand.Upstream.SettingsOf(t, project); !strings.Contains(row.GetGroupAccess(), "developers") {
				t.Errorf("the settings' row is %v", row)
			}
		})
	}
}

func TestMissingProjectIsNamed(t *testing.T) {
	t.Parallel()
	project := stand.Name(t)
	for _, manifest := range []string{sessionManifest(project, "orphan"), settingsManifest(project, "g", "view")} {
		output := stand.KubectlFails(t, manifest, "create", "-f", "-")
		harness.Contains(t, output.Stderr, "metadata.namespace", "there is no project", "create it first")
	}
	// A namespace alone is no project.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "orphan", Namespace: project}}
	if _, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Create(t.Context(), session, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a session in a namespace without a project: %v, want 422", err)
	}
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows were made", len(rows))
	}
}

// A project that the upstream made a moment ago is known at once, before any
// event or listing tells of it.
func TestAProjectMadeUpstreamIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	project := stand.Name(t)
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: project}); err != nil {
		t.Fatal(err)
	}
	newSession(t, project, "quick")
}

func TestAProjectWithSessionsStays(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "one")
	newSession(t, project, "two")
	output := stand.KubectlFails(t, "", "delete", "projects.ambient.io", project)
	harness.Contains(t, output.Stderr, "Conflict", "still has 2 sessions", "ambient.io/allow-cascade=true")
	stand.Upstream.Project(t, project)

	stand.Kubectl(t, "annotate", "projects.ambient.io", project, "ambient.io/allow-cascade=true")
	// A finalizer holds a session, whoever deletes it.
	hold := func(finalizers string) {
		t.Helper()
		stand.Kubectl(t, "-n", project, "patch", "sessions.ambient.io", "two", "--type=merge", `--patch={"metadata":{"finalizers":`+finalizers+`}}`)
	}
	hold(`["example.com/hold"]`)
	held := stand.KubectlFails(t, "", "delete", "projects.ambient.io", project)
	harness.Contains(t, held.Stderr, "Conflict", project+"/two", "example.com/hold")
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 2 {
		t.Errorf("%d sessions are left of a project that is held, want 2", len(rows))
	}
	hold("null")
	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d sessions outlived their project", len(rows))
	}
	if _, err := stand.Ambient.AmbientV1alpha1().Projects().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the project: %v, want that it is gone", err)
	}
}

// A session that was made upstream a moment ago counts, too.
func TestAProjectWithASessionThatWasJustMadeUpstreamStays(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "just now", ProjectId: &project})
	harness.Eventually(t, "the session is shown", func() error {
		names, err := namesIn(t.Context(), project)
		if err == nil && len(names) == 0 {
			err = errNotYet
		}
		return err
	})
	harness.Contains(t, stand.KubectlFails(t, "", "delete", "projects.ambient.io", project).Stderr, "Conflict", "still has 1 session")
	stand.Upstream.Session(t, row.GetMetadata().GetId())
}

func TestDecision28ABurntProjectNameIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	output := stand.Kubectl(t, "delete", "projects.ambient.io", project)
	harness.Contains(t, output.Stderr, "Warning:", "can never be used again")
	for _, verb := range [][]string{{"create"}, {"apply"}, {"apply", "--server-side"}} {
		refused := stand.KubectlFails(t, projectManifest(project, "Again"), append(verb, "-f", "-")...)
		harness.Contains(t, refused.Stderr, "the upstream keeps the names of deleted projects")
	}
	answer := stand.Do(t, harness.Request{
		Method: "POST", Path: "/apis/ambient.io/v1alpha1/projects",
		Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"Project","metadata":{"name":"` + project + `"}}`,
	})
	if answer.Code != 409 || answer.Status.Reason != metav1.StatusReasonAlreadyExists {
		t.Errorf("re-creation: %d %s", answer.Code, answer.Status.Reason)
	}
}

func TestDecision28SettingsAreEmptiedAndMadeAgain(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	stand.KubectlWithInput(t, settingsManifest(project, "first", "admin"), "apply", "-f", "-")
	stand.Kubectl(t, "label", "projectsettings.ambient.io", "settings", "-n", project, "old=yes")
	id := stand.Upstream.SettingsOf(t, project).GetMetadata().GetId()

	output := stand.Kubectl(t, "delete", "projectsettings.ambient.io", "settings", "-n", project)
	harness.Contains(t, output.Stderr, "Warning:", "emptied, not deleted")
	harness.Contains(t, stand.KubectlFails(t, "", "get", "projectsettings.ambient.io", "settings", "-n", project).Stderr, "NotFound")
	if row := stand.Upstream.SettingsOf(t, project); row == nil || strings.Contains(row.GetGroupAccess(), "first") {
		t.Errorf("after the deletion the row is %v, want an empty one", row)
	}
	harness.Contains(t, stand.KubectlFails(t, "", "delete", "projectsettings.ambient.io", "settings", "-n", project).Stderr, "NotFound")

	stand.KubectlWithInput(t, settingsManifest(project, "second", "view"), "apply", "-f", "-")
	again, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(project).Get(t.Context(), "settings", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Spec.GroupAccess) != 1 || again.Spec.GroupAccess[0].GroupName != "second" || again.Labels["old"] != "" || again.Status.SettingsID != id {
		t.Errorf("made again: %+v", again)
	}
	if second := stand.KubectlFails(t, settingsManifest(project, "third", "view"), "create", "-f", "-"); !strings.Contains(second.Stderr, "AlreadyExists") {
		t.Errorf("second settings: %s", second.Stderr)
	}

	// Only who says so burns them.
	stand.Kubectl(t, "annotate", "projectsettings.ambient.io", "settings", "-n", project, "ambient.io/allow-burn=true")
	stand.Kubectl(t, "delete", "projectsettings.ambient.io", "settings", "-n", project)
	if row := stand.Upstream.SettingsOf(t, project); row != nil {
		t.Errorf("after the burning there is a row: %v", row)
	}
	harness.Contains(t, stand.KubectlFails(t, settingsManifest(project, "fourth", "view"), "create", "-f", "-").Stderr, "allows no second ones")
}

// Settings whose project is gone can be read, and nothing else.
func TestSettingsWithoutAProjectAreReadOnly(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	stand.KubectlWithInput(t, settingsManifest(project, "left", "view"), "create", "-f", "-")
	if _, err := stand.Upstream.Projects.DeleteProject(t.Context(), &ambientv1.DeleteProjectRequest{Id: project}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the project is gone", func() error {
		if _, err := stand.Ambient.AmbientV1alpha1().Projects().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errNotYet
		}
		return nil
	})
	harness.Contains(t, stand.Kubectl(t, "get", "projectsettings.ambient.io", "settings", "-n", project, "-o", "yaml").Stdout, "groupName: left")
	refused := stand.KubectlFails(t, "", "label", "projectsettings.ambient.io", "settings", "-n", project, "a=b")
	harness.Contains(t, refused.Stderr, "Forbidden", "can only be read")
}
