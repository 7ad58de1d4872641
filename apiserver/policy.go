package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
)

// policy decides about creations and deletions by what stands around an object:
// its namespace, its project, its sessions.
type policy struct {
	namespaces          namespaceGuard
	backends            *backend.Backends
	unassignedNamespace string
	// foreign tells whether a namespace exists and belongs to somebody else.
	foreign func(namespace string) bool
}

// createInProject accepts a namespaced object when the project of its namespace
// exists upstream and is to stay, whether or not the namespace exists yet.
func (p policy) createInProject(resource schema.GroupResource, kind string) func(context.Context, runtime.Object) error {
	return func(ctx context.Context, object runtime.Object) error {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		if err := p.namespaces.beforeCreate(ctx, resource, accessor.GetName()); err != nil {
			return err
		}
		// Before a quota counts what cannot be.
		if err := p.mayCreate(ctx, kind); err != nil {
			return err
		}
		namespace := genericapirequest.NamespaceValue(ctx)
		path := field.NewPath("metadata", "namespace")
		if namespace == p.unassignedNamespace {
			return apierrors.NewInvalid(v1alpha1.Kind(kind), accessor.GetName(), field.ErrorList{
				field.Invalid(path, namespace, "this namespace shows sessions without a project; create the object in the namespace of its project"),
			})
		}
		project, err := p.backends.Projects.Find(ctx, namespace)
		switch {
		case err != nil:
			return err
		case project == nil:
			return apierrors.NewInvalid(v1alpha1.Kind(kind), accessor.GetName(), field.ErrorList{
				field.Invalid(path, namespace, fmt.Sprintf("there is no project %q upstream; create it first (kind Project, name %s)", namespace, namespace)),
			})
		case project.DeletionTimestamp != nil:
			return terminating(resource, accessor.GetName(), fmt.Sprintf("unable to create new content in project %s because it is being deleted", namespace),
				fmt.Sprintf("project %s is being deleted", namespace))
		}
		if kind == "Session" && p.foreign(namespace) {
			return apierrors.NewForbidden(resource, accessor.GetName(), fmt.Errorf(
				"namespace %s exists and does not belong to the project of that name; to let the project use it: kubectl annotate namespace %s %s=true",
				namespace, namespace, v1alpha1.AdoptAnnotation))
		}
		return nil
	}
}

// mayCreate refuses creations while those of a former leader may be under way.
func (p policy) mayCreate(ctx context.Context, kind string) error {
	if kind == "Session" {
		return p.backends.Sessions.MayCreate(ctx)
	}
	return p.backends.Settings.MayCreate(ctx)
}

// deleteInNamespace refuses deletions that only the end of a namespace causes.
func (p policy) deleteInNamespace(resource schema.GroupResource) func(context.Context, runtime.Object) error {
	return func(ctx context.Context, object runtime.Object) error {
		accessor, err := meta.Accessor(object)
		if err != nil {
			return err
		}
		return p.namespaces.beforeDelete(ctx, resource, accessor.GetName())
	}
}

// deleteProject refuses to delete a project with sessions as soon as that is asked for,
// whatever finalizers it has.
func (p policy) deleteProject(_ context.Context, object runtime.Object) error {
	project, ok := object.(*v1alpha1.Project)
	if !ok {
		return fmt.Errorf("unexpected object of type %T", object)
	}
	return p.backends.Projects.MayDelete(project)
}
