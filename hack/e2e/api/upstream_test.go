package api

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// listed waits until a session with the upstream's id is listed, and returns it.
func listed(t *testing.T, project, id string) *v1alpha1.Session {
	t.Helper()
	var found *v1alpha1.Session
	harness.Eventually(t, "session "+id+" is listed", func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.SessionIDLabel + "=" + id})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 {
			return fmt.Errorf("%d sessions have the id", len(list.Items))
		}
		found = &list.Items[0]
		return nil
	})
	return found
}

// Whatever the upstream's columns hold, the list goes on, the object says which
// column is wrong, and what is wrong is left alone by writes.
func TestMalformedColumnsBreakNoList(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	const broken = `{"not json`
	text := func(value string) *string { return &value }
	for column, test := range map[string]struct {
		request *ambientv1.CreateSessionRequest
		read    func(*ambientv1.Session) string
	}{
		"labels":                {&ambientv1.CreateSessionRequest{Labels: text(broken)}, (*ambientv1.Session).GetLabels},
		"environment_variables": {&ambientv1.CreateSessionRequest{EnvironmentVariables: text(broken)}, (*ambientv1.Session).GetEnvironmentVariables},
		"repos":                 {&ambientv1.CreateSessionRequest{Repos: text(broken)}, (*ambientv1.Session).GetRepos},
		"resource_overrides":    {&ambientv1.CreateSessionRequest{ResourceOverrides: text(broken)}, (*ambientv1.Session).GetResourceOverrides},
		"annotations":           {&ambientv1.CreateSessionRequest{Annotations: text(broken)}, (*ambientv1.Session).GetAnnotations},
	} {
		t.Run(column, func(t *testing.T) {
			test.request.Name, test.request.ProjectId = "broken "+column, &project
			id := stand.Upstream.CreateSession(t, test.request).GetMetadata().GetId()
			session := listed(t, project, id)
			translated := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionTranslated)
			if translated == nil || translated.Status != metav1.ConditionFalse || !strings.Contains(translated.Message, column) {
				t.Errorf("condition Translated is %+v, want False, naming %s", translated, column)
			}
			output := stand.TryKubectl(t, "", "patch", "sessions.ambient.io", session.Name, "-n", project, "--type=merge", "-p", `{"spec":{"assignedUserID":"someone"}}`)
			row := stand.Upstream.Session(t, id)
			if output.ExitCode != 0 || row.GetAssignedUserId() != "someone" {
				t.Errorf("a change of another field: %+v; the row is %v", output, row)
			}
			if got := test.read(row); got != broken {
				t.Errorf("the write changed the column to %q", got)
			}
		})
	}
	if names, err := namesIn(t.Context(), project); err != nil || len(names) != 5 {
		t.Errorf("listed are %v, %v", names, err)
	}
}

// Numbers that JSON lacks, and times that no client can read, break no list and no
// later write either.
func TestValuesThatCannotBeWrittenOutBreakNoList(t *testing.T) {
	t.Parallel()
	project, temperature := newProject(t), math.Inf(1)
	newSession(t, project, "beside")
	id := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "hot", ProjectId: &project, LlmTemperature: &temperature}).GetMetadata().GetId()
	conditions := `[{"type":"A","status":"True","reason":"R","lastTransitionTime":"9999-12-31T23:59:59-01:00"}]`
	if _, err := stand.Upstream.Sessions.UpdateSessionStatus(t.Context(), &ambientv1.UpdateSessionStatusRequest{Id: id, Conditions: &conditions}); err != nil {
		t.Fatal(err)
	}
	name := listed(t, project, id).Name
	harness.Eventually(t, "both are named", func() error {
		translated := meta.FindStatusCondition(getSession(t, project, name).Status.Conditions, v1alpha1.ConditionTranslated)
		if translated == nil || !strings.Contains(translated.Message, "llm_temperature") || !strings.Contains(translated.Message, "conditions[0].lastTransitionTime") {
			return fmt.Errorf("condition Translated is %+v", translated)
		}
		return nil
	})
	if names, err := namesIn(t.Context(), project); err != nil || len(names) != 2 {
		t.Errorf("listed are %v, %v", names, err)
	}
	stand.Kubectl(t, "patch", "sessions.ambient.io", name, "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"new"}}`)
	stand.Kubectl(t, "patch", "sessions.ambient.io", name, "-n", project, "--type=merge", "--subresource=status", "-p", `{"status":{"sdkSessionID":"new"}}`)
	row := stand.Upstream.Session(t, id)
	if row.GetPrompt() != "new" || row.GetSdkSessionId() != "new" || row.GetLlmTemperature() != temperature || row.GetConditions() != conditions {
		t.Errorf("the row is %v", row)
	}
	if generation := getSession(t, project, name).Generation; generation != 2 {
		t.Errorf("generation %d after one change", generation)
	}
}

// What is recorded in annotations outlives a time in which they are no JSON object.
func TestMetadataOutlivesMalformedAnnotations(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	session := newSession(t, project, "held")
	stand.Kubectl(t, "patch", "sessions.ambient.io", "held", "-n", project, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	replace := func(annotations string) {
		if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: session.Status.SessionID, Annotations: &annotations}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(readable bool) {
		harness.Eventually(t, fmt.Sprintf("annotations that are readable: %v", readable), func() error {
			now := getSession(t, project, "held")
			if now.UID != session.UID || !slices.Equal(now.Finalizers, []string{"example.com/hold"}) {
				t.Fatalf("shown is %+v", now.ObjectMeta)
			}
			if (meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionTranslated) == nil) != readable {
				return fmt.Errorf("the conditions are %+v", now.Status.Conditions)
			}
			return nil
		})
	}
	replace("not json")
	expect(false)
	stand.Kubectl(t, "patch", "sessions.ambient.io", "held", "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"new"}}`)
	if row := stand.Upstream.Session(t, session.Status.SessionID); row.GetAnnotations() != "not json" || row.GetPrompt() != "new" {
		t.Errorf("the row is %v", row)
	}
	replace(`{"note":"theirs"}`)
	expect(true)
	harness.Eventually(t, "the record is there again", func() error {
		if text := stand.Upstream.Session(t, session.Status.SessionID).GetAnnotations(); !strings.Contains(text, "example.com/hold") || !strings.Contains(text, `"note":"theirs"`) {
			return fmt.Errorf("the annotations are %s", text)
		}
		return nil
	})
	stand.Kubectl(t, "patch", "sessions.ambient.io", "held", "-n", project, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
}

// A project and settings with malformed columns are served as well.
func TestMalformedProjectsAndSettingsAreServed(t *testing.T) {
	t.Parallel()
	project := stand.Name(t)
	broken := `[1, 2`
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: project, Labels: &broken}); err != nil {
		t.Fatal(err)
	}
	if _, err := stand.Upstream.Settings.CreateProjectSettings(t.Context(), &ambientv1.CreateProjectSettingsRequest{ProjectId: project, GroupAccess: &broken}); err != nil {
		t.Fatal(err)
	}
	for _, object := range [][]string{{"projects.ambient.io", project}, {"projectsettings.ambient.io", "settings", "-n", project}} {
		harness.Eventually(t, object[0]+" says what is wrong", func() error {
			output := stand.TryKubectl(t, "", append(append([]string{"get"}, object...), "-o", `jsonpath={.status.conditions[?(@.type=="Translated")].status}`)...)
			if output.Stdout != "False" {
				return fmt.Errorf("%+v", output)
			}
			return nil
		})
		stand.Kubectl(t, append(append([]string{"annotate"}, object...), "still=writable")...)
	}
	if row := stand.Upstream.Project(t, project); row.GetLabels() != broken {
		t.Errorf("the write changed the labels to %q", row.GetLabels())
	}
	if row := stand.Upstream.SettingsOf(t, project); row.GetGroupAccess() != broken {
		t.Errorf("the write changed group_access to %q", row.GetGroupAccess())
	}
}

// Labels that Kubernetes would refuse are left out, named and kept (decision 14).
func TestDecision14LabelsThatKubernetesRefuses(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	labels := `{"good":"yes","not a key!":"x","bad-value":"white space"}`
	id := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "odd", ProjectId: &project, Labels: &labels}).GetMetadata().GetId()
	session := listed(t, project, id)
	if len(session.Labels) != 2 || session.Labels["good"] != "yes" {
		t.Errorf("shown labels: %v", session.Labels)
	}
	stand.Kubectl(t, "label", "sessions.ambient.io", session.Name, "-n", project, "new=too")
	if got := stand.Upstream.Session(t, id).GetLabels(); !strings.Contains(got, `"not a key!":"x"`) || !strings.Contains(got, `"bad-value":"white space"`) || !strings.Contains(got, `"new":"too"`) {
		t.Errorf("the row's labels are %s", got)
	}
}

// Sessions without a usable project are shown, in a namespace of their own.
func TestSessionsWithoutAProject(t *testing.T) {
	t.Parallel()
	odd := "No_Such Project!"
	for _, request := range []*ambientv1.CreateSessionRequest{{Name: "homeless"}, {Name: "lost", ProjectId: &odd}} {
		id := stand.Upstream.CreateSession(t, request).GetMetadata().GetId()
		session := listed(t, "ambient-unassigned", id)
		if session.Spec.DisplayName != request.GetName() || session.Status.ProjectID != request.GetProjectId() {
			t.Errorf("%+v", session)
		}
		stand.Kubectl(t, "delete", "sessions.ambient.io", session.Name, "-n", "ambient-unassigned")
	}
	harness.Contains(t, stand.KubectlFails(t, sessionManifest("ambient-unassigned", "a"), "create", "-f", "-").Stderr, "without a project")
}

// Two rows that want one name are two objects, and the older one has the name
// (decision 13).
func TestDecision13ACollisionOfNamesMergesNothing(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	first := newSession(t, project, "wanted")
	copied := stand.Upstream.Session(t, first.Status.SessionID).GetAnnotations()
	id := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "copy", ProjectId: &project, Annotations: &copied}).GetMetadata().GetId()
	second := listed(t, project, id)
	if !strings.HasPrefix(second.Name, "wanted-") || second.UID == first.UID || !meta.IsStatusConditionTrue(second.Status.Conditions, v1alpha1.ConditionNameConflict) {
		t.Errorf("the second one: %+v", second)
	}
	if still := getSession(t, project, "wanted"); still.Status.SessionID != first.Status.SessionID {
		t.Errorf("the name went to %s", still.Status.SessionID)
	}
	stand.Kubectl(t, "delete", "sessions.ambient.io", "wanted", "-n", project)
	harness.Eventually(t, "the second one gets the name", func() error {
		session, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Get(t.Context(), "wanted", metav1.GetOptions{})
		if err == nil && session.Status.SessionID != id {
			err = fmt.Errorf("it is %s", session.Status.SessionID)
		}
		return err
	})
}
