// Package ownership knows who owns which field of an object, as server-side apply
// understands it: it moves ownership when the upstream changes a field that
// somebody had applied, as an Update by another manager would.
package ownership

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// NewTypeConverter returns what turns the group's objects into typed values with
// the schema that the server publishes.
func NewTypeConverter(config *common.OpenAPIV3Config) (managedfields.TypeConverter, error) {
	names := sets.New[string]()
	for _, object := range v1alpha1.KnownTypes() {
		names.Insert(util.GetCanonicalTypeName(object))
	}
	definitions, err := builder3.BuildOpenAPIDefinitionsForResources(config, sets.List(names)...)
	if err != nil {
		return nil, fmt.Errorf("building the schema of the group: %w", err)
	}
	converter, err := managedfields.NewTypeConverter(definitions, false)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of the group: %w", err)
	}
	return converter, nil
}

// Mover moves ownership. It may be used concurrently.
type Mover struct {
	managers map[schema.GroupVersionKind]*managedfields.FieldManager
	scheme   *runtime.Scheme
}

// NewMover returns a Mover for the kinds of the group.
func NewMover(scheme *runtime.Scheme, converter managedfields.TypeConverter) (*Mover, error) {
	version := v1alpha1.SchemeGroupVersion
	// Who owns the status is not recorded: it is derived.
	withoutStatus := fieldpath.NewExcludeFilterSetMap(map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(version.String()): fieldpath.NewSet(fieldpath.MakePathOrDie("status")),
	})
	mover := &Mover{managers: map[schema.GroupVersionKind]*managedfields.FieldManager{}, scheme: scheme}
	for _, kind := range []string{"Session", "Project", "ProjectSettings"} {
		manager, err := managedfields.NewDefaultFieldManager(converter, scheme, scheme, scheme, version.WithKind(kind), ambient.InternalGroupVersion, "", withoutStatus)
		if err != nil {
			return nil, fmt.Errorf("making the field manager of %s: %w", kind, err)
		}
		mover.managers[version.WithKind(kind)] = manager
	}
	return mover, nil
}

// Move gives next the managedFields of previous, after an update by the upstream
// from the one to the other. Objects without managedFields cost nothing: nobody
// applied to them.
func (m *Mover) Move(previous, next runtime.Object) error {
	before, err := meta.Accessor(previous)
	if err != nil {
		return err
	}
	after, err := meta.Accessor(next)
	if err != nil {
		return err
	}
	if len(before.GetManagedFields()) == 0 {
		return nil
	}
	after.SetManagedFields(before.GetManagedFields())
	kinds, _, err := m.scheme.ObjectKinds(next)
	if err != nil {
		return fmt.Errorf("finding the kind of %T: %w", next, err)
	}
	for _, kind := range kinds {
		manager, found := m.managers[kind]
		if !found {
			continue
		}
		updated, err := manager.Update(previous.DeepCopyObject(), next.DeepCopyObject(), UpstreamManager)
		if err != nil {
			return fmt.Errorf("moving the ownership of %s %s: %w", kind.Kind, after.GetName(), err)
		}
		moved, err := meta.Accessor(updated)
		if err != nil {
			return err
		}
		after.SetManagedFields(moved.GetManagedFields())
		return nil
	}
	return fmt.Errorf("there is no field manager for %T", next)
}
