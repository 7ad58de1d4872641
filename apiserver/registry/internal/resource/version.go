package resource

import (
	"context"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// withoutVersion refuses a new object that has a resourceVersion. The storage
// would do so too, but with an error that clients see as 500.
func withoutVersion(object runtime.Object) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	if accessor.GetResourceVersion() == "" || accessor.GetResourceVersion() == "0" {
		return nil
	}
	return apierrors.NewBadRequest("metadata.resourceVersion must not be set on objects to be created")
}

// withNumericVersion refuses an update to an object whose resourceVersion is no
// number, which the store would answer with 500.
func withNumericVersion(store *genericregistry.Store, info rest.UpdatedObjectInfo) rest.UpdatedObjectInfo {
	return rest.WrapUpdatedObjectInfo(info, func(_ context.Context, updated, _ runtime.Object) (runtime.Object, error) {
		accessor, err := meta.Accessor(updated)
		if err != nil {
			return nil, err
		}
		version := accessor.GetResourceVersion()
		if version == "" {
			return updated, nil
		}
		if _, err := strconv.ParseUint(version, 10, 64); err == nil {
			return updated, nil
		}
		kinds, _, err := store.UpdateStrategy.ObjectKinds(updated)
		if err != nil {
			return nil, err
		}
		return nil, apierrors.NewInvalid(kinds[0].GroupKind(), accessor.GetName(), field.ErrorList{
			field.Invalid(field.NewPath("metadata", "resourceVersion"), version, "must be one that this server gave out, or absent"),
		})
	})
}
