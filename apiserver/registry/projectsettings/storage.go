// Package projectsettings owns how ProjectSettings are served: what happens to
// those that are created or updated, what they look like in a table, and the
// subresource status.
//
// It must not know the upstream: objects go to whatever storage the options
// getter provides.
package projectsettings

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

// shownGroups is how many groups a table names before it counts the others.
const shownGroups = 3

// Hooks refuse creations and deletions.
type Hooks = resource.Hooks

// Storage holds what serves each path of the resource.
type Storage struct {
	ProjectSettings rest.StandardStorage
	Status          rest.Storage
}

// NewREST returns the storage of ProjectSettings. The scheme must know the group.
func NewREST(scheme *runtime.Scheme, getter generic.RESTOptionsGetter, hooks Hooks) (Storage, error) {
	base := resource.NewBase(scheme, true)
	settings, status, err := resource.New(resource.Definition{
		Plural: "projectsettings", Singular: "projectsettings",
		New:            func() runtime.Object { return &v1alpha1.ProjectSettings{} },
		NewList:        func() runtime.Object { return &v1alpha1.ProjectSettingsList{} },
		Strategy:       strategy{Base: base},
		StatusStrategy: statusStrategy{Base: base},
		Attributes:     Attributes,
		Table:          newTable(time.Now),
		DeleteWarning:  deleteWarning,
	}, getter, hooks)
	if err != nil {
		return Storage{}, err
	}
	return Storage{ProjectSettings: settings, Status: status}, nil
}

func deleteWarning(object runtime.Object) string {
	if object.(*v1alpha1.ProjectSettings).Annotations[v1alpha1.AllowBurnAnnotation] == "true" {
		return "the upstream never makes settings of the same project again: this project stays without"
	}
	return "the settings are emptied, not deleted, since the upstream never makes them again; annotate " +
		v1alpha1.AllowBurnAnnotation + "=true to delete them for ever"
}

// Attributes returns what selectors can ask of ProjectSettings.
func Attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	settings, ok := object.(*v1alpha1.ProjectSettings)
	if !ok {
		return nil, nil, fmt.Errorf("selecting: %T is no ProjectSettings", object)
	}
	return labels.Set(settings.Labels), generic.ObjectMetaFieldsSet(&settings.ObjectMeta, true), nil
}

func newTable(now func() time.Time) rest.TableConvertor {
	return resource.NewTable(v1alpha1.Resource("projectsettings"), []resource.Column[v1alpha1.ProjectSettings]{
		{Name: "Groups", Description: "Groups with their roles.", Cell: groups},
		{Name: "Repositories", Description: "Number of repositories.", Cell: func(s *v1alpha1.ProjectSettings) string { return strconv.Itoa(len(s.Spec.Repositories)) }},
		resource.Age[v1alpha1.ProjectSettings](now),
	})
}

func groups(settings *v1alpha1.ProjectSettings) string {
	var texts []string
	for i, access := range settings.Spec.GroupAccess {
		if i == shownGroups {
			texts = append(texts, fmt.Sprintf("+ %d more", len(settings.Spec.GroupAccess)-shownGroups))
			break
		}
		texts = append(texts, access.GroupName+"="+access.Role)
	}
	return strings.Join(texts, ",")
}
