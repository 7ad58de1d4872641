// Package project owns how Projects are served: what happens to one that is
// created or updated, what it looks like in a table, and the subresource status.
//
// It must not know the upstream: objects go to whatever storage the options
// getter provides.
package project

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

// Hooks refuse creations and deletions.
type Hooks = resource.Hooks

// Storage holds what serves each path of the resource.
type Storage struct {
	Project rest.StandardStorage
	Status  rest.Storage
}

// NewREST returns the storage of Projects. The scheme must know the group.
func NewREST(scheme *runtime.Scheme, getter generic.RESTOptionsGetter, hooks Hooks) (Storage, error) {
	base := resource.NewBase(scheme, false)
	projects, status, err := resource.New(resource.Definition{
		Plural: "projects", Singular: "project", ShortNames: []string{"proj"},
		New:            func() runtime.Object { return &v1alpha1.Project{} },
		NewList:        func() runtime.Object { return &v1alpha1.ProjectList{} },
		Strategy:       strategy{Base: base},
		StatusStrategy: statusStrategy{Base: base},
		Attributes:     Attributes,
		Table:          newTable(time.Now),
		DeleteWarning: func(object runtime.Object) string {
			return fmt.Sprintf("the upstream keeps the names of deleted projects: %q can never be used again", object.(*v1alpha1.Project).Name)
		},
	}, getter, hooks)
	if err != nil {
		return Storage{}, err
	}
	return Storage{Project: projects, Status: status}, nil
}

// Attributes returns what selectors can ask of a Project.
func Attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	project, ok := object.(*v1alpha1.Project)
	if !ok {
		return nil, nil, fmt.Errorf("selecting: %T is no Project", object)
	}
	return labels.Set(project.Labels), generic.ObjectMetaFieldsSet(&project.ObjectMeta, false), nil
}

func newTable(now func() time.Time) rest.TableConvertor {
	return resource.NewTable(v1alpha1.Resource("projects"), []resource.Column[v1alpha1.Project]{
		{Name: "Display Name", Description: "Human-readable name.", Cell: func(p *v1alpha1.Project) string { return p.Spec.DisplayName }},
		{Name: "Phase", Description: "Ready, or why the project is not.", Cell: phase},
		resource.Age[v1alpha1.Project](now),
		{Name: "Namespace", Priority: resource.Wide, Description: "Namespace that the project's Sessions live in.", Cell: func(p *v1alpha1.Project) string { return p.Status.Namespace }},
	})
}

// phase puts the Ready condition into a word; without one, the upstream's own
// text stands.
func phase(project *v1alpha1.Project) string {
	if project.DeletionTimestamp != nil {
		return "Terminating"
	}
	ready := meta.FindStatusCondition(project.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || v1alpha1.NotObserved(ready.Type, ready.Reason):
		return project.Status.Phase
	case ready.Status == metav1.ConditionTrue:
		return v1alpha1.ConditionReady
	case ready.Reason != "":
		return ready.Reason
	default:
		return "NotReady"
	}
}
