package api

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// unwritten runs an action and fails the test if it wrote the session's row: the
// upstream changes updated_at at every write, even at one that changes nothing.
func unwritten(t *testing.T, id string, action func()) {
	t.Helper()
	before := stand.Upstream.Session(t, id).GetMetadata().GetUpdatedAt().AsTime()
	action()
	if after := stand.Upstream.Session(t, id).GetMetadata().GetUpdatedAt().AsTime(); !after.Equal(before) {
		t.Errorf("the row was written at %s; before, the last time was %s", after, before)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	manifest := sessionManifest(project, "fresh")
	harness.Contains(t, stand.KubectlWithInput(t, manifest, "create", "-f", "-").Stdout, "session.ambient.io/fresh created")
	rowOf(t, project, "fresh")
	harness.Contains(t, stand.KubectlFails(t, manifest, "create", "-f", "-").Stderr, "AlreadyExists", `"fresh" already exists`)
	rowOf(t, project, "fresh")

	generated := strings.Replace(manifest, "name: fresh", "generateName: many-", 1)
	for range 2 {
		harness.Contains(t, stand.KubectlWithInput(t, generated, "create", "-f", "-").Stdout, "session.ambient.io/many-")
	}
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 3 {
		t.Errorf("%d rows, want 3", len(rows))
	}
}

func TestApplyTwice(t *testing.T) {
	t.Parallel()
	for name, further := range map[string][]string{"client side": nil, "server side": {"--server-side"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			project := newProject(t)
			apply := func(manifest string) string {
				return stand.KubectlWithInput(t, manifest, append([]string{"apply", "-f", "-"}, further...)...).Stdout
			}
			manifest := sessionManifest(project, "twice", "displayName: Twice", "environment: {A: b}")
			apply(manifest)
			id := rowOf(t, project, "Twice").GetMetadata().GetId()
			version := getSession(t, project, "twice").ResourceVersion
			unwritten(t, id, func() {
				output := apply(manifest)
				if further == nil {
					harness.Contains(t, output, "session.ambient.io/twice unchanged")
				}
			})
			if after := getSession(t, project, "twice"); after.ResourceVersion != version {
				t.Errorf("the resourceVersion was %s and is %s", version, after.ResourceVersion)
			}

			apply(sessionManifest(project, "twice", "displayName: Twice", "environment: {A: c}"))
			if after := getSession(t, project, "twice"); after.Spec.Environment["A"] != "c" || after.Generation != 2 {
				t.Errorf("environment %v, generation %d", after.Spec.Environment, after.Generation)
			}
			if row := stand.Upstream.Session(t, id); row.GetEnvironmentVariables() != `{"A":"c"}` {
				t.Errorf("the row's environment is %s", row.GetEnvironmentVariables())
			}
			apply(sessionManifest(project, "twice", "displayName: Twice"))
			if after := getSession(t, project, "twice"); len(after.Spec.Environment) != 0 {
				t.Errorf("what is no longer applied is still there: %v", after.Spec.Environment)
			}
		})
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "real").Status.SessionID
	unwritten(t, id, func() {
		dry := func(input string, arguments ...string) string {
			return stand.KubectlWithInput(t, input, append(arguments, "--dry-run=server")...).Stdout
		}
		harness.Contains(t, dry(sessionManifest(project, "new"), "create", "-f", "-", "-o", "yaml"), "name: new", "generation: 1")
		harness.Contains(t, dry(sessionManifest(project, "real", "displayName: Other"), "apply", "-f", "-"), "session.ambient.io/real configured (server dry run)")
		harness.Contains(t, dry(sessionManifest(project, "new"), "apply", "--server-side", "-f", "-"), "serverside-applied (server dry run)")
		harness.Contains(t, dry("", "patch", "sessions.ambient.io", "real", "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"x"}}`, "-o", "jsonpath={.spec.prompt}"), "x")
		harness.Contains(t, dry("", "delete", "sessions.ambient.io", "real", "-n", project), "deleted")
		harness.Contains(t, dry(projectManifest(project+"-dry", "Dry"), "create", "-f", "-"), "created (server dry run)")
		harness.Contains(t, dry(settingsManifest(project, "g", "view"), "create", "-f", "-"), "created (server dry run)")
	})
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 1 {
		t.Errorf("%d rows, want 1", len(rows))
	}
	if row := stand.Upstream.SettingsOf(t, project); row != nil {
		t.Errorf("settings were made: %v", row)
	}
	for _, row := range stand.Upstream.AllProjects(t) {
		if row.GetMetadata().GetId() == project+"-dry" {
			t.Error("a project was made")
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	manifest := sessionManifest(project, "same", "llm: {model: opus}")
	stand.KubectlWithInput(t, manifest, "apply", "-f", "-")
	id := getSession(t, project, "same").Status.SessionID
	unwritten(t, id, func() {
		for _, further := range [][]string{nil, {"--server-side", "--force-conflicts"}} {
			if output := stand.TryKubectl(t, manifest, append([]string{"diff", "-f", "-"}, further...)...); further == nil && output.ExitCode != 0 {
				t.Errorf("diff without a difference: exit code %d\n%s%s", output.ExitCode, output.Stdout, output.Stderr)
			}
			changed := strings.Replace(manifest, "opus", "haiku", 1)
			output := stand.TryKubectl(t, changed, append([]string{"diff", "-f", "-"}, further...)...)
			if output.ExitCode != 1 {
				t.Errorf("diff of a difference: exit code %d\n%s", output.ExitCode, output.Stderr)
			}
			harness.Contains(t, output.Stdout, "-    model: opus", "+    model: haiku")
		}
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	created := newSession(t, project, "whole")
	stand.KubectlWithInput(t, sessionManifest(project, "whole", "displayName: New", "assignedUserID: someone"), "replace", "-f", "-")
	row := stand.Upstream.Session(t, created.Status.SessionID)
	if row.GetName() != "New" || row.GetAssignedUserId() != "someone" {
		t.Errorf("the row is %v", row)
	}
	after := getSession(t, project, "whole")
	if after.Status.SessionID != created.Status.SessionID || after.UID != created.UID || after.Spec.CreatedBy != created.Spec.CreatedBy {
		t.Errorf("it became another object: %+v", after)
	}

	// What kubectl get printed, edited by hand, with its old resourceVersion.
	exported := stand.Kubectl(t, "get", "sessions.ambient.io", "whole", "-n", project, "-o", "yaml").Stdout
	stand.KubectlWithInput(t, strings.Replace(exported, "displayName: New", "displayName: Edited", 1), "replace", "-f", "-")
	output := stand.KubectlFails(t, strings.Replace(exported, "displayName: New", "displayName: Late", 1), "replace", "-f", "-")
	harness.Contains(t, output.Stderr, "Conflict", "the object has been modified")
	if name := stand.Upstream.Session(t, created.Status.SessionID).GetName(); name != "Edited" {
		t.Errorf("the row's name is %q", name)
	}
}

func TestPatches(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "session")
	stand.KubectlWithInput(t, settingsManifest(project, "first", "view"), "create", "-f", "-")
	kinds := map[string]struct{ name, jsonPatch, mergePatch, applyPatch, path, want string }{
		"sessions": {
			"session", `[{"op":"add","path":"/spec/assignedUserID","value":"a"}]`, `{"spec":{"assignedUserID":"b"}}`,
			`{"apiVersion":"ambient.io/v1alpha1","kind":"Session","metadata":{"name":"session"},"spec":{"assignedUserID":"c"}}`,
			"{.spec.assignedUserID}", "a b c",
		},
		"projects": {
			project, `[{"op":"add","path":"/spec/description","value":"a"}]`, `{"spec":{"description":"b"}}`,
			`{"apiVersion":"ambient.io/v1alpha1","kind":"Project","metadata":{"name":"` + project + `"},"spec":{"description":"c"}}`,
			"{.spec.description}", "a b c",
		},
		"projectsettings": {
			"settings", `[{"op":"replace","path":"/spec/groupAccess/0/role","value":"edit"}]`, `{"spec":{"groupAccess":[{"groupName":"first","role":"admin"}]}}`,
			`{"apiVersion":"ambient.io/v1alpha1","kind":"ProjectSettings","metadata":{"name":"settings"},"spec":{"repositories":[{"url":"https://example.com/r"}]}}`,
			"{.spec.groupAccess[0].role}{.spec.repositories[0].url}", "edit admin adminhttps://example.com/r",
		},
	}
	for kind, test := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			read := func() string {
				return stand.Kubectl(t, "get", kind+".ambient.io", test.name, "-n", project, "-o", "jsonpath="+test.path).Stdout
			}
			var got []string
			for form, patch := range map[string]string{"json": test.jsonPatch} {
				stand.Kubectl(t, "patch", kind+".ambient.io", test.name, "-n", project, "--type="+form, "-p", patch)
				got = append(got, read())
			}
			stand.Kubectl(t, "patch", kind+".ambient.io", test.name, "-n", project, "--type=merge", "-p", test.mergePatch)
			got = append(got, read())
			path := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/" + kind + "/" + test.name
			if kind == "projects" {
				path = "/apis/ambient.io/v1alpha1/projects/" + test.name
			}
			answer := stand.Do(t, harness.Request{Method: "PATCH", Path: path + "?fieldManager=patcher&force=true", ContentType: "application/apply-patch+yaml", Body: test.applyPatch})
			if answer.Code != 200 {
				t.Fatalf("apply patch: %d %s", answer.Code, answer.Body)
			}
			if got = append(got, read()); strings.Join(got, " ") != test.want {
				t.Errorf("after the three patches the value was %q, want %q", got, test.want)
			}
		})
	}
}

func TestLabelAndAnnotate(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "marked").Status.SessionID
	stand.KubectlWithInput(t, settingsManifest(project, "g", "view"), "create", "-f", "-")
	for _, object := range [][]string{{"sessions.ambient.io/marked", "-n", project}, {"projects.ambient.io/" + project}, {"projectsettings.ambient.io/settings", "-n", project}} {
		change := func(verb string, arguments ...string) {
			stand.Kubectl(t, append(append([]string{verb}, object...), arguments...)...)
		}
		read := func() string {
			return stand.Kubectl(t, append(append([]string{"get"}, object...), "-o", "jsonpath={.metadata.labels.tier},{.metadata.annotations.note}")...).Stdout
		}
		change("label", "tier=gold")
		change("annotate", "note=first")
		if got := read(); got != "gold,first" {
			t.Errorf("%v: %q", object, got)
		}
		change("label", "--overwrite", "tier=silver")
		change("annotate", "note-")
		if got := read(); got != "silver," {
			t.Errorf("%v: %q", object, got)
		}
	}
	if labels := stand.Upstream.Session(t, id).GetLabels(); labels != `{"tier":"silver"}` {
		t.Errorf("the row's labels are %s", labels)
	}
	if labels := stand.Upstream.Project(t, project).GetLabels(); labels != `{"tier":"silver"}` {
		t.Errorf("the project row's labels are %s", labels)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	project, other := newProject(t), newProject(t)
	for i := range 4 {
		newSession(t, project, fmt.Sprintf("s-%d", i))
	}
	newSession(t, other, "bystander")
	harness.Contains(t, stand.Kubectl(t, "delete", "sessions.ambient.io", "s-0", "-n", project).Stdout, `session.ambient.io "s-0" deleted`)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 3 {
		t.Errorf("%d rows after one deletion, want 3", len(rows))
	}
	harness.Contains(t, stand.KubectlFails(t, "", "delete", "sessions.ambient.io", "s-0", "-n", project).Stderr, "NotFound")
	stand.Kubectl(t, "delete", "sessions.ambient.io", "--all", "-n", project)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows after the deletion of all, want none", len(rows))
	}
	if names, err := namesIn(t.Context(), project); err != nil || len(names) != 0 {
		t.Errorf("still listed: %v %v", names, err)
	}
	if rows := stand.Upstream.SessionsIn(t, other); len(rows) != 1 {
		t.Errorf("%d rows in another project, want 1", len(rows))
	}
}

func TestDeleteWithPreconditions(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	session := newSession(t, project, "guarded")
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	wrong := session.UID + "x"
	if err := sessions.Delete(t.Context(), "guarded", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}}); !apierrors.IsConflict(err) {
		t.Errorf("deletion of another UID: %v", err)
	}
	stale := session.ResourceVersion
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: session.Status.SessionID, Prompt: &stale}); err != nil {
		t.Fatal(err)
	}
	if err := sessions.Delete(t.Context(), "guarded", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &stale}}); !apierrors.IsConflict(err) {
		t.Errorf("deletion of an old version: %v", err)
	}
	if err := sessions.Delete(t.Context(), "guarded", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &session.UID}}); err != nil {
		t.Errorf("deletion of the right UID: %v", err)
	}
}

// A deletion waits for finalizers, and the row upstream with it.
func TestFinalizersHoldADeletionBack(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "held").Status.SessionID
	finalize := func(list string) {
		stand.Kubectl(t, "patch", "sessions.ambient.io", "held", "-n", project, "--type=merge", "-p", `{"metadata":{"finalizers":`+list+`}}`)
	}
	finalize(`["example.com/hold"]`)
	stand.Kubectl(t, "delete", "sessions.ambient.io", "held", "-n", project, "--wait=false")
	if held := getSession(t, project, "held"); held.DeletionTimestamp == nil || held.Status.SessionID != id {
		t.Errorf("deletionTimestamp %v", held.DeletionTimestamp)
	}
	stand.Upstream.Session(t, id)
	finalize(`null`)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows after the last finalizer went", len(rows))
	}
	if names, err := namesIn(t.Context(), project); err != nil || len(names) != 0 {
		t.Errorf("still listed: %v %v", names, err)
	}
}

func TestWaitForPhase(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "awaited").Status.SessionID
	waiting := stand.StartKubectl(t, "wait", "--for=jsonpath={.status.phase}=Running", "sessions.ambient.io/awaited", "-n", project, "--timeout=60s")
	for _, phase := range []v1alpha1.SessionPhase{v1alpha1.SessionPending, v1alpha1.SessionCreating, v1alpha1.SessionRunning} {
		stand.Upstream.SetPhase(t, id, phase)
	}
	waiting.AwaitLine(t, "session.ambient.io/awaited condition met")
}
