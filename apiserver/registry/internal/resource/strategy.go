package resource

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Base answers what is the same for all kinds. It is embedded in strategies.
type Base struct {
	runtime.ObjectTyper
	names.NameGenerator
	namespaced bool
}

// NewBase returns the common part of a kind's strategies.
func NewBase(typer runtime.ObjectTyper, namespaced bool) Base {
	return Base{ObjectTyper: typer, NameGenerator: names.SimpleNameGenerator, namespaced: namespaced}
}

// NamespaceScoped implements rest.RESTCreateStrategy.
func (b Base) NamespaceScoped() bool { return b.namespaced }

// AllowCreateOnUpdate implements rest.RESTUpdateStrategy.
func (Base) AllowCreateOnUpdate(context.Context) bool { return false }

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy.
func (Base) AllowUnconditionalUpdate(context.Context) bool { return true }

// Canonicalize implements rest.RESTCreateStrategy.
func (Base) Canonicalize(runtime.Object) {}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (Base) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (Base) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string { return nil }

// StatusReset are the fields that an update of a status leaves as they are.
func StatusReset() map[fieldpath.APIVersion]*fieldpath.Set {
	return reset(fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
}

// SpecReset are the fields that an update of anything but the status leaves as
// they are: the status and the given ones.
func SpecReset(further ...fieldpath.Path) map[fieldpath.APIVersion]*fieldpath.Set {
	return reset(append(further, fieldpath.MakePathOrDie("status"))...)
}

func reset(paths ...fieldpath.Path) map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(v1alpha1.SchemeGroupVersion.String()): fieldpath.NewSet(paths...),
	}
}

// KeepMetadata gives an object whose status is updated the metadata that it had,
// but for what says which object is meant and who manages its fields.
func KeepMetadata(updated, old *metav1.ObjectMeta) {
	kept := *old.DeepCopy()
	kept.UID = updated.UID
	kept.ResourceVersion = updated.ResourceVersion
	kept.ManagedFields = updated.ManagedFields
	*updated = kept
}
