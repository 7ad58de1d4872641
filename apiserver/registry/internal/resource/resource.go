// Package resource owns what the REST storages of all kinds have in common: the
// store with its hooks, the status subresource, tables, and the rules of
// metadata that every strategy follows.
//
// It must not know any kind of its own, nor where objects are stored.
package resource

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/warning"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Hooks are asked before objects are created and deleted, dry runs included. An
// error refuses; it should be a Kubernetes status error. Either may be nil.
type Hooks struct {
	// BeforeCreate is called with each object that is valid and about to be
	// created, by any verb that creates.
	BeforeCreate func(ctx context.Context, object runtime.Object) error
	// BeforeDelete is called with each object that is about to be deleted, alone
	// or with a collection. Objects with finalizers are asked for when the
	// deletion is requested, not when the last finalizer goes.
	BeforeDelete func(ctx context.Context, object runtime.Object) error
}

// Strategy is what a kind says about creating and updating its objects.
type Strategy interface {
	rest.RESTCreateUpdateStrategy
	rest.ResetFieldsStrategy
}

// StatusStrategy is what a kind says about updating its status.
type StatusStrategy interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// Definition describes a kind.
type Definition struct {
	// Plural and Singular are the names of the resource; ShortNames are further
	// ones.
	Plural, Singular string
	ShortNames       []string
	// New and NewList return empty objects.
	New, NewList func() runtime.Object
	// Strategy and StatusStrategy govern the object and its status.
	Strategy       Strategy
	StatusStrategy StatusStrategy
	// Attributes returns what selectors can ask for.
	Attributes storage.AttrFunc
	// Table renders objects for people.
	Table rest.TableConvertor
	// DeleteWarning returns what is to be said to whoever deletes the object; it
	// may be nil.
	DeleteWarning func(object runtime.Object) string
}

// REST serves the objects of a kind.
type REST struct {
	*genericregistry.Store
	hooks         Hooks
	shortNames    []string
	deleteWarning func(runtime.Object) string
}

// StatusREST serves the status of the objects of a kind.
type StatusREST struct {
	store *genericregistry.Store
}

var (
	_ rest.StandardStorage      = &REST{}
	_ rest.CategoriesProvider   = &REST{}
	_ rest.ShortNamesProvider   = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.Patcher              = &StatusREST{}
	_ rest.ResetFieldsStrategy  = &StatusREST{}
)

// New returns the storages of a kind.
func New(definition Definition, getter generic.RESTOptionsGetter, hooks Hooks) (*REST, *StatusREST, error) {
	store := &genericregistry.Store{
		NewFunc:                   definition.New,
		NewListFunc:               definition.NewList,
		DefaultQualifiedResource:  v1alpha1.Resource(definition.Plural),
		SingularQualifiedResource: v1alpha1.Resource(definition.Singular),
		CreateStrategy:            definition.Strategy,
		UpdateStrategy:            definition.Strategy,
		DeleteStrategy:            definition.Strategy,
		ResetFieldsStrategy:       definition.Strategy,
		TableConvertor:            definition.Table,
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter, AttrFunc: definition.Attributes}); err != nil {
		return nil, nil, fmt.Errorf("making the store of %s: %w", definition.Plural, err)
	}
	status := *store
	status.UpdateStrategy = definition.StatusStrategy
	status.ResetFieldsStrategy = definition.StatusStrategy
	return &REST{Store: store, hooks: hooks, shortNames: definition.ShortNames, deleteWarning: definition.DeleteWarning},
		&StatusREST{store: &status}, nil
}

// Categories implements rest.CategoriesProvider.
func (r *REST) Categories() []string { return []string{"ambient"} }

// ShortNames implements rest.ShortNamesProvider.
func (r *REST) ShortNames() []string { return r.shortNames }

// Create implements rest.Creater.
func (r *REST) Create(ctx context.Context, object runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	if err := withoutVersion(object); err != nil {
		return nil, err
	}
	return r.Store.Create(ctx, object, r.validateCreate(validate), options)
}

// Update implements rest.Updater. Server-side apply creates this way, too.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc, validateUpdate rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.Store.Update(ctx, name, withNumericVersion(r.Store, info), r.validateCreate(validateCreate), validateUpdate, forceAllowCreate, options)
}

// Delete implements rest.GracefulDeleter.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	return r.Store.Delete(ctx, name, r.validateDelete(validate), options)
}

// DeleteCollection implements rest.CollectionDeleter.
func (r *REST) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions, list *internalversion.ListOptions) (runtime.Object, error) {
	return r.Store.DeleteCollection(ctx, r.validateDelete(validate), options, list)
}

// validateCreate asks admission last: a quota counts what it lets pass, and does not
// hear of a refusal afterwards.
func (r *REST) validateCreate(validate rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	return func(ctx context.Context, object runtime.Object) error {
		if r.hooks.BeforeCreate != nil {
			if err := r.hooks.BeforeCreate(ctx, object); err != nil {
				return err
			}
		}
		if validate == nil {
			return nil
		}
		return validate(ctx, object)
	}
}

func (r *REST) validateDelete(validate rest.ValidateObjectFunc) rest.ValidateObjectFunc {
	return func(ctx context.Context, object runtime.Object) error {
		if validate != nil {
			if err := validate(ctx, object); err != nil {
				return err
			}
		}
		if r.hooks.BeforeDelete != nil {
			if err := r.hooks.BeforeDelete(ctx, object); err != nil {
				return err
			}
		}
		if r.deleteWarning != nil {
			if text := r.deleteWarning(object); text != "" {
				warning.AddWarning(ctx, "", text)
			}
		}
		return nil
	}
}

// New implements rest.Storage.
func (r *StatusREST) New() runtime.Object { return r.store.New() }

// Destroy implements rest.Storage. The store is destroyed by its owner, REST.
func (r *StatusREST) Destroy() {}

// Get implements rest.Getter.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update implements rest.Updater. A status is never created by itself.
func (r *StatusREST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, validateCreate rest.ValidateObjectFunc, validateUpdate rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, withNumericVersion(r.store, info), validateCreate, validateUpdate, false, options)
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}

// ConvertToTable implements rest.TableConvertor.
func (r *StatusREST) ConvertToTable(ctx context.Context, object runtime.Object, options runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, object, options)
}
