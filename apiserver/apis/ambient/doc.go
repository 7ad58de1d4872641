// Package ambient installs the API group ambient.io into a scheme.
package ambient

import (
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// InternalGroupVersion is the group's hub version, which server-side apply needs.
var InternalGroupVersion = schema.GroupVersion{Group: v1alpha1.GroupName, Version: runtime.APIVersionInternal}

// Install registers the group with the scheme: every version, and the hub, for
// which the types of the only version serve.
func Install(scheme *runtime.Scheme) {
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	scheme.AddKnownTypes(InternalGroupVersion, v1alpha1.KnownTypes()...)
	utilruntime.Must(addIdentity[v1alpha1.Session](scheme))
	utilruntime.Must(addIdentity[v1alpha1.SessionList](scheme))
	utilruntime.Must(addIdentity[v1alpha1.SessionRequest](scheme))
	utilruntime.Must(addIdentity[v1alpha1.Project](scheme))
	utilruntime.Must(addIdentity[v1alpha1.ProjectList](scheme))
	utilruntime.Must(addIdentity[v1alpha1.ProjectSettings](scheme))
	utilruntime.Must(addIdentity[v1alpha1.ProjectSettingsList](scheme))
	utilruntime.Must(scheme.SetVersionPriority(v1alpha1.SchemeGroupVersion))
}

// copier is a pointer to an API type that can be copied into another one.
type copier[T any] interface {
	*T
	DeepCopyInto(*T)
}

// addIdentity registers the conversion of a type to itself. Admission converts
// between hub and wire version by type and would find none otherwise.
func addIdentity[T any, P copier[T]](scheme *runtime.Scheme) error {
	return scheme.AddConversionFunc((*T)(nil), (*T)(nil), func(in, out interface{}, _ conversion.Scope) error {
		P(in.(*T)).DeepCopyInto(out.(*T))
		return nil
	})
}
