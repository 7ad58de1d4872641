package project

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

var base = resource.NewBase(runtime.NewScheme(), false)

func TestACreatedProjectStartsAfresh(t *testing.T) {
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 9}, Status: v1alpha1.ProjectStatus{Phase: "x"}}
	s := strategy{Base: base}
	s.PrepareForCreate(context.Background(), project)
	if project.Generation != 1 || project.Status.Phase != "" {
		t.Errorf("the project is %+v", project)
	}
	if errs := s.Validate(context.Background(), project); len(errs) != 1 || errs[0].Field != "metadata.name" {
		t.Errorf("a name of one letter: %v", errs)
	}
	if s.NamespaceScoped() || s.AllowCreateOnUpdate(context.Background()) || !s.AllowUnconditionalUpdate(context.Background()) {
		t.Error("a Project is served like something else")
	}
}

func TestSpecAndStatusOfAProjectChangeApart(t *testing.T) {
	old := &v1alpha1.Project{
		ObjectMeta: metav1.ObjectMeta{Name: "ab", Generation: 2, ResourceVersion: "5", Labels: map[string]string{"a": "b"}},
		Spec:       v1alpha1.ProjectSpec{Description: "old"},
		Status:     v1alpha1.ProjectStatus{UpstreamName: "was", Phase: "old"},
	}
	changed := old.DeepCopy()
	changed.Spec.Description, changed.Status.Phase, changed.Labels = "new", "new", nil

	updated := changed.DeepCopy()
	strategy{Base: base}.PrepareForUpdate(context.Background(), updated, old)
	if updated.Generation != 3 || updated.Spec.Description != "new" || updated.Labels != nil || updated.Status.Phase != "old" {
		t.Errorf("an update gives %+v", updated)
	}
	status := changed.DeepCopy()
	status.Status.UpstreamName = ""
	statusStrategy{Base: base}.PrepareForUpdate(context.Background(), status, old)
	if status.Generation != 2 || status.Spec.Description != "old" || status.Labels["a"] != "b" || status.Status.Phase != "new" || status.Status.UpstreamName != "was" || status.ResourceVersion != "5" {
		t.Errorf("an update of the status gives %+v", status)
	}
	if errs := (strategy{}).ValidateUpdate(context.Background(), updated, old); len(errs) != 0 {
		t.Errorf("refused: %v", errs)
	}
	status.Status.UpstreamName = "x"
	if errs := (statusStrategy{}).ValidateUpdate(context.Background(), status, old); len(errs) != 1 {
		t.Errorf("another upstream name: %v", errs)
	}
}

func TestThePhaseOfAProjectSaysWhetherItIsReady(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason string) v1alpha1.ProjectStatus {
		return v1alpha1.ProjectStatus{Phase: "active", Conditions: []metav1.Condition{{Type: "Ready", Status: status, Reason: reason}}}
	}
	now := metav1.Now()
	for want, project := range map[string]*v1alpha1.Project{
		"active":               {Status: v1alpha1.ProjectStatus{Phase: "active"}},
		"Ready":                {Status: ready(metav1.ConditionTrue, "NamespaceActive")},
		"NamespaceTerminating": {Status: ready(metav1.ConditionFalse, "NamespaceTerminating")},
		"NotReady":             {Status: ready(metav1.ConditionUnknown, "")},
		"Terminating":          {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Status: ready(metav1.ConditionTrue, "")},
	} {
		if got := phase(project); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTheTableOfProjects(t *testing.T) {
	created := time.Now()
	table, err := newTable(func() time.Time { return created.Add(time.Hour) }).ConvertToTable(context.Background(), &v1alpha1.ProjectList{Items: []v1alpha1.Project{{
		ObjectMeta: metav1.ObjectMeta{Name: "team-a", CreationTimestamp: metav1.NewTime(created)},
		Spec:       v1alpha1.ProjectSpec{DisplayName: "Team A"},
		Status:     v1alpha1.ProjectStatus{Phase: "active", Namespace: "team-a"},
	}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, column := range table.ColumnDefinitions {
		columns = append(columns, fmt.Sprintf("%s/%d", column.Name, column.Priority))
	}
	if !slices.Equal(columns, []string{"Name/0", "Display Name/0", "Phase/0", "Age/0", "Namespace/1"}) {
		t.Errorf("columns are %q", columns)
	}
	if got, want := fmt.Sprint(table.Rows[0].Cells...), fmt.Sprint("team-a", "Team A", "active", "60m", "team-a"); got != want {
		t.Errorf("the row is %q, want %q", got, want)
	}
}
