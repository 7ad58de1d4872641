package validation

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func TestProjectNamesAreThoseOfTheUpstream(t *testing.T) {
	for name, ok := range map[string]bool{
		"ab": true, "a1": true, "team-a": true, strings.Repeat("a", 63): true,
		"": false, "a": false, "1a": false, "-a": false, "a-": false, "Team": false, "a.b": false, strings.Repeat("a", 64): false,
	} {
		got := problems(ValidateProject(&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		if ok != (len(got) == 0) || !ok && got[0] != "FieldValueInvalid: metadata.name" {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestProjectsAreValidatedWhereTheyChange(t *testing.T) {
	old := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}, Status: v1alpha1.ProjectStatus{UpstreamName: "team-b"}}
	bad := old.DeepCopy()
	bad.Spec.DisplayName = strings.Repeat("x", 256)
	bad.Spec.Description = "\x00"
	bad.Annotations = map[string]string{"ambient.io/kubernetes": "{}"}
	want := []string{"FieldValueForbidden: metadata.annotations[ambient.io/kubernetes]", "FieldValueInvalid: spec.description", "FieldValueTooLong: spec.displayName"}
	expect(t, ValidateProject(bad), want...)
	expect(t, ValidateProjectUpdate(bad, old), want...)
	expect(t, ValidateProjectUpdate(bad, bad))

	status := old.DeepCopy()
	status.Status.UpstreamName, status.Status.ObservedGeneration = "x", -1
	status.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "R"}}
	expect(t, ValidateProjectStatusUpdate(status, old),
		"FieldValueInvalid: status.observedGeneration", "FieldValueInvalid: status.upstreamName", "FieldValueRequired: status.conditions[0].lastTransitionTime")
	expect(t, ValidateProjectStatusUpdate(status, status))
}

func TestProjectSettingsAreValidatedWhereTheyChange(t *testing.T) {
	settings := &v1alpha1.ProjectSettings{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-a"},
		Spec: v1alpha1.ProjectSettingsSpec{
			GroupAccess:  []v1alpha1.GroupAccess{{GroupName: "devs", Role: "edit"}, {GroupName: "devs", Role: "view"}},
			Repositories: []v1alpha1.ProjectRepository{{URL: "https://github.com/o/r", Branch: "main", Provider: "github"}, {URL: "git@gitlab.com:o/r"}},
		},
	}
	expect(t, ValidateProjectSettings(settings))
	named := settings.DeepCopy()
	named.Name = "other"
	expect(t, ValidateProjectSettings(named), "FieldValueInvalid: metadata.name")

	bad := settings.DeepCopy()
	bad.Spec.GroupAccess = append(bad.Spec.GroupAccess,
		v1alpha1.GroupAccess{GroupName: "", Role: "admin"}, v1alpha1.GroupAccess{GroupName: "ops", Role: "cluster-admin"}, v1alpha1.GroupAccess{GroupName: "qa"})
	bad.Spec.Repositories = append(bad.Spec.Repositories,
		v1alpha1.ProjectRepository{URL: ""}, v1alpha1.ProjectRepository{URL: "https://host/x", Provider: "svn", Branch: "a b"})
	want := []string{
		"FieldValueInvalid: spec.repositories[3].branch",
		"FieldValueNotSupported: spec.groupAccess[3].role", "FieldValueNotSupported: spec.repositories[3].provider",
		"FieldValueRequired: spec.groupAccess[2].groupName", "FieldValueRequired: spec.groupAccess[4].role",
		"FieldValueRequired: spec.repositories[2].url",
	}
	expect(t, ValidateProjectSettings(bad), want...)
	expect(t, ValidateProjectSettingsUpdate(bad, settings), want...)
	expect(t, ValidateProjectSettingsUpdate(bad, bad))

	twice := settings.DeepCopy()
	twice.Spec.GroupAccess = append(twice.Spec.GroupAccess, twice.Spec.GroupAccess[0])
	expect(t, ValidateProjectSettings(twice), "FieldValueDuplicate: spec.groupAccess[2]")

	status := settings.DeepCopy()
	status.Status.SettingsID = "x"
	expect(t, ValidateProjectSettingsStatusUpdate(status, settings), "FieldValueInvalid: status.settingsID")
	expect(t, ValidateProjectSettingsStatusUpdate(status, status))
}
