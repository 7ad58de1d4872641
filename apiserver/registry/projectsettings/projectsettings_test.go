package projectsettings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

var base = resource.NewBase(runtime.NewScheme(), true)

func settings() *v1alpha1.ProjectSettings {
	return &v1alpha1.ProjectSettings{
		ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: "team-a", Generation: 2, Labels: map[string]string{"a": "b"}},
		Spec:       v1alpha1.ProjectSettingsSpec{GroupAccess: []v1alpha1.GroupAccess{{GroupName: "devs", Role: "edit"}}},
		Status:     v1alpha1.ProjectSettingsStatus{SettingsID: "2Set", ObservedGeneration: 1},
	}
}

func TestCreatedSettingsStartAfresh(t *testing.T) {
	created := settings()
	s := strategy{Base: base}
	s.PrepareForCreate(context.Background(), created)
	if created.Generation != 1 || created.Status.SettingsID != "" {
		t.Errorf("the settings are %+v", created)
	}
	created.Name = "other"
	if errs := s.Validate(context.Background(), created); len(errs) != 1 || errs[0].Field != "metadata.name" {
		t.Errorf("another name: %v", errs)
	}
	if !s.NamespaceScoped() {
		t.Error("settings are served cluster-wide")
	}
}

func TestSpecAndStatusOfSettingsChangeApart(t *testing.T) {
	old, changed := settings(), settings()
	changed.Spec.GroupAccess[0].Role, changed.Status.ObservedGeneration, changed.Status.SettingsID, changed.Labels = "view", 2, "", nil

	updated := changed.DeepCopy()
	strategy{Base: base}.PrepareForUpdate(context.Background(), updated, old)
	if updated.Generation != 3 || updated.Spec.GroupAccess[0].Role != "view" || updated.Labels != nil || updated.Status.ObservedGeneration != 1 {
		t.Errorf("an update gives %+v", updated)
	}
	status := changed.DeepCopy()
	statusStrategy{Base: base}.PrepareForUpdate(context.Background(), status, old)
	if status.Generation != 2 || status.Spec.GroupAccess[0].Role != "edit" || status.Labels["a"] != "b" || status.Status.ObservedGeneration != 2 || status.Status.SettingsID != "2Set" {
		t.Errorf("an update of the status gives %+v", status)
	}
	emptied := settings()
	emptied.Spec.Repositories = []v1alpha1.ProjectRepository{}
	strategy{Base: base}.PrepareForUpdate(context.Background(), emptied, old)
	if emptied.Generation != 2 {
		t.Error("an empty list counts as a change")
	}
}

func TestWhoeverDeletesSettingsIsToldWhatHappens(t *testing.T) {
	if got := deleteWarning(settings()); !strings.Contains(got, "emptied") || !strings.Contains(got, "ambient.io/allow-burn=true") {
		t.Errorf("warned %q", got)
	}
	burnt := settings()
	burnt.Annotations = map[string]string{v1alpha1.AllowBurnAnnotation: "true"}
	if got := deleteWarning(burnt); strings.Contains(got, "emptied") {
		t.Errorf("warned %q", got)
	}
}

func TestTheTableOfSettings(t *testing.T) {
	many := settings()
	for i := range 4 {
		many.Spec.GroupAccess = append(many.Spec.GroupAccess, v1alpha1.GroupAccess{GroupName: fmt.Sprint("g", i), Role: "view"})
	}
	many.Spec.Repositories = []v1alpha1.ProjectRepository{{URL: "https://a"}, {URL: "https://b"}}
	table, err := newTable(time.Now).ConvertToTable(context.Background(), &v1alpha1.ProjectSettingsList{Items: []v1alpha1.ProjectSettings{*many, {}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, column := range table.ColumnDefinitions {
		columns = append(columns, column.Name)
	}
	if !slices.Equal(columns, []string{"Name", "Groups", "Repositories", "Age"}) {
		t.Errorf("columns are %q", columns)
	}
	if got, want := fmt.Sprint(table.Rows[0].Cells...), fmt.Sprint("settings", "devs=edit,g0=view,g1=view,+ 2 more", "2", "<unknown>"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
	if got, want := fmt.Sprint(table.Rows[1].Cells...), fmt.Sprint("", "<none>", "0", "<unknown>"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
}
