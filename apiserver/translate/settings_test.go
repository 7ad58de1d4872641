package translate

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func updateSettings(t *testing.T, row *ambientv1.ProjectSettings, on *ambientv1.Project, change func(*v1alpha1.ProjectSettings)) (*ambientv1.UpdateProjectSettingsRequest, *ambientv1.UpdateProjectRequest) {
	t.Helper()
	current := translator.ProjectSettings(row, on, 0)
	desired := throughJSON(t, current)
	change(desired)
	own, onProject, err := translator.ProjectSettingsUpdate(row, on, current, desired)
	if err != nil {
		t.Fatal(err)
	}
	return own, onProject
}

func TestGroupAccessHasFourShapes(t *testing.T) {
	row := settingsRow(`[{"group":"a","role":"admin"},{"groupName":"b","role":"edit"},{"group_name":"c","role":"odd"},"d",
		{"group":"e"},{"group":"a","role":"admin","note":1},{"group":"a","role":"view"},7,{"role":"view"},""]`,
		`[{"url":"u","branch":"b","provider":"github"},"v"]`)
	got := translator.ProjectSettings(row, nil, 0)
	same(t, "access", got.Spec.GroupAccess, []v1alpha1.GroupAccess{
		{GroupName: "a", Role: "admin"}, {GroupName: "b", Role: "edit"}, {GroupName: "c", Role: "odd"}, {GroupName: "d", Role: "view"},
		{GroupName: "e", Role: "view"}, {GroupName: "a", Role: "view"},
	})
	same(t, "repositories", got.Spec.Repositories, []v1alpha1.ProjectRepository{{URL: "u", Branch: "b", Provider: "github"}, {URL: "v"}})
	if c := condition(got.Status.Conditions, "Translated"); c.Message != "Upstream data that cannot be shown is left out: group_access[7] has the wrong type; group_access[8] has the wrong type; group_access[9] has the wrong type" {
		t.Errorf("Translated: %+v", c)
	}
	got.Status.Conditions = nil
	same(t, "status", got.Status, v1alpha1.ProjectSettingsStatus{SettingsID: row.GetMetadata().GetId()})
	same(t, "metadata", got.ObjectMeta, metav1.ObjectMeta{
		Name: "settings", Namespace: "team-a", Generation: 1, CreationTimestamp: *seconds(created),
		UID: UID("ProjectSettings", row.GetMetadata().GetId(), "team-a"),
	})
}

func TestSettingsOfUnusableProjectsHaveNamesOfTheirOwn(t *testing.T) {
	row := settingsRow("", "")
	row.ProjectId = "Not A Label"
	got := translator.ProjectSettings(row, nil, 0)
	if got.Namespace != DefaultUnassignedNamespace || got.Name != CollisionName("settings", row.GetMetadata().GetId()) {
		t.Errorf("got %s/%s", got.Namespace, got.Name)
	}
}

func TestGroupAccessIsRewrittenInItsStyle(t *testing.T) {
	for _, test := range []struct {
		name, held string
		change     func([]v1alpha1.GroupAccess) []v1alpha1.GroupAccess
		want       string
	}{
		{"a changed role keeps the rest", `[ {"group":"a","role":"view","note": 1}, "b" ]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess { g[0].Role = "admin"; return g },
			`[ {"group":"a","role":"admin","note": 1}, "b" ]`},
		{"a bare string becomes an object of the style in use", `["b",{"group_name":"a","role":"view"}]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess { g[0].Role = "admin"; return g },
			`[{"group_name":"b","role":"admin"},{"group_name":"a","role":"view"}]`},
		{"a new one takes the style in use", `[{"group":"a","role":"view"}]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess {
				return append(g, v1alpha1.GroupAccess{GroupName: "b", Role: "edit"})
			},
			`[{"group":"a","role":"view"},{"group":"b","role":"edit"}]`},
		{"the first one takes the style of the platform", ``,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess {
				return append(g, v1alpha1.GroupAccess{GroupName: "b", Role: "edit"})
			},
			`[{"groupName":"b","role":"edit"}]`},
		{"a removed one takes its repetition along", `["a","b",{"group":"a","role":"view"}]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess { return g[1:] }, `["b"]`},
		{"a repetition stays with what stays", `["a","b",{"group":"a","role":"view"}]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess { return g[:1] }, `["a",{"group":"a","role":"view"}]`},
		{"what cannot be shown stays", `[7,"a",8,"b"]`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess { return g[1:] }, `[7,"b",8]`},
		{"nothing left", `["a"]`, func([]v1alpha1.GroupAccess) []v1alpha1.GroupAccess { return nil }, `[]`},
		{"malformed", `oops`,
			func(g []v1alpha1.GroupAccess) []v1alpha1.GroupAccess {
				return append(g, v1alpha1.GroupAccess{GroupName: "b", Role: "edit"})
			},
			`[{"groupName":"b","role":"edit"}]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			own, onProject := updateSettings(t, settingsRow(test.held, ""), project(""), func(s *v1alpha1.ProjectSettings) {
				s.Spec.GroupAccess = test.change(s.Spec.GroupAccess)
			})
			if own.GetGroupAccess() != test.want || own.Repositories != nil {
				t.Errorf("got %s, want %s (repositories %v)", own.GetGroupAccess(), test.want, own.Repositories)
			}
			if onProject == nil {
				t.Error("the generation was not recorded")
			}
		})
	}
}

func TestDecision11SettingsMetadataRidesOnTheProject(t *testing.T) {
	row, on := settingsRow(`["a"]`, ""), project(`{"odd": 1}`)
	if own, onProject := updateSettings(t, row, on, func(*v1alpha1.ProjectSettings) {}); own != nil || onProject != nil {
		t.Errorf("nothing changed, but %v, %v", own, onProject)
	}
	conditions := []metav1.Condition{{Type: "Ready", Status: "True", Reason: "R", LastTransitionTime: *seconds(created)}}
	own, onProject := updateSettings(t, row, on, func(s *v1alpha1.ProjectSettings) {
		s.Labels, s.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d", "ambient.io/kubernetes": "forged"}
		s.Finalizers, s.ManagedFields = []string{"example.com/hold"}, metadata().ManagedFields
		s.Status.ObservedGeneration, s.Status.Conditions = 1, conditions
	})
	if own != nil {
		t.Errorf("the settings' row was written: %v", own)
	}
	if !strings.HasPrefix(onProject.GetAnnotations(), `{"odd": 1,"ambient.io/project-settings": "`) || strings.Join(columns(onProject), " ") != "annotations" {
		t.Errorf("on the project: %v", onProject)
	}
	on = apply(on, onProject)
	got := translator.ProjectSettings(row, on, 0)
	same(t, "labels", got.Labels, map[string]string{"a": "b"})
	same(t, "annotations", got.Annotations, map[string]string{"c": "d"})
	same(t, "finalizers", got.Finalizers, []string{"example.com/hold"})
	same(t, "managed fields", got.ManagedFields, metadata().ManagedFields)
	same(t, "conditions", got.Status.Conditions, conditions)
	if got.Status.ObservedGeneration != 1 || got.Generation != 1 {
		t.Errorf("generations: %d, observed %d", got.Generation, got.Status.ObservedGeneration)
	}

	own, onProject = updateSettings(t, row, on, func(s *v1alpha1.ProjectSettings) { s.Spec.GroupAccess = nil })
	row, on = apply(row, own), apply(on, onProject)
	if got := translator.ProjectSettings(row, on, 0); got.Generation != 2 || got.Spec.GroupAccess != nil {
		t.Errorf("after a change of the spec: %+v", got)
	}
	row = settingsRow(`["changed upstream"]`, "")
	if got := translator.ProjectSettings(row, on, 0).Generation; got != 3 {
		t.Errorf("after a change upstream: %d", got)
	}
}

func TestSettingsCreateReadsBack(t *testing.T) {
	desired := &v1alpha1.ProjectSettings{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-a", Labels: map[string]string{"a": "b"}},
		Spec: v1alpha1.ProjectSettingsSpec{
			GroupAccess:  []v1alpha1.GroupAccess{{GroupName: "g", Role: "admin"}},
			Repositories: []v1alpha1.ProjectRepository{{URL: "u", Branch: "b", Provider: "gitlab"}},
		},
	}
	request, onProject, err := translator.ProjectSettingsCreate(desired, project(`{"ambient.io/project-settings":"{\"deleted\":true}"}`))
	if err != nil {
		t.Fatal(err)
	}
	row, on := apply(&ambientv1.ProjectSettings{}, request), apply(project(""), onProject)
	got := translator.ProjectSettings(row, on, 0)
	same(t, "spec", got.Spec, desired.Spec)
	same(t, "labels", got.Labels, desired.Labels)
	if got.Namespace != "team-a" || got.Generation != 1 || SettingsDeleted(row, on) {
		t.Errorf("read back: %+v", got)
	}
	if _, onProject, err := translator.ProjectSettingsCreate(desired, nil); onProject != nil || err != nil {
		t.Errorf("without a project: %v, %v", onProject, err)
	}
}

func TestDecision28DeletedSettingsAreEmptiedAndMarked(t *testing.T) {
	row, on := settingsRow(`["a"]`, `["u"]`), project(`{"note":"x","ambient.io/project-settings":"{\"labels\":{\"a\":\"b\"}}"}`)
	if SettingsDeleted(row, on) {
		t.Fatal("deleted before it was deleted")
	}
	own, onProject, err := translator.ProjectSettingsEmpty(row, on)
	if err != nil {
		t.Fatal(err)
	}
	row, on = apply(row, own), apply(on, onProject)
	if !SettingsDeleted(row, on) || row.GetGroupAccess() != "[]" || row.GetRepositories() != "[]" {
		t.Fatalf("not deleted: %v, %v", row, on)
	}
	if !SettingsDeleted(row, nil) || SettingsDeleted(row, project("")) {
		t.Error("deleted without a mark")
	}
	filled := settingsRow(`["b"]`, "")
	if SettingsDeleted(filled, on) {
		t.Error("settings that somebody filled again are hidden")
	}
	if got := translator.ProjectSettings(filled, on, 0); got.Labels != nil {
		t.Errorf("what was deleted came back: %v", got.Labels)
	}

	// A creation, even of nothing, takes the mark away.
	own2, onProject := updateSettings(t, row, on, func(*v1alpha1.ProjectSettings) {})
	if own2 != nil || onProject == nil {
		t.Fatalf("created again: %v, %v", own2, onProject)
	}
	if on = apply(on, onProject); SettingsDeleted(row, on) {
		t.Errorf("still deleted: %s", on.GetAnnotations())
	}
}

func TestSettingsWithoutAProjectAreRead(t *testing.T) {
	row := settingsRow(`["a"]`, "")
	own, onProject, err := translator.ProjectSettingsUpdate(row, nil, translator.ProjectSettings(row, nil, 0), &v1alpha1.ProjectSettings{})
	if err != nil || onProject != nil || own.GetGroupAccess() != "[]" {
		t.Errorf("%v, %v, %v", own, onProject, err)
	}
	bad := project(`{"ambient.io/project-settings":"x"}`)
	if c := condition(translator.ProjectSettings(row, bad, 0).Status.Conditions, "Translated"); !strings.Contains(c.Message, `project.annotations["ambient.io/project-settings"]`) {
		t.Errorf("Translated: %+v", c)
	}
}
