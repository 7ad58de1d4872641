package storage

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const statusSubresource = "status"

// StatusOwner derives the managedFields of the one who reports the status, instead
// of storing them with every report: whatever stands in a status was applied by
// that manager. Derive and Settle are made for the options of the same name
// (PrepareExisting and Settle).
//
// The entry exists only while an update is computed. An object to which nobody
// applied anything shows no managedFields, and updates of it are not tracked
// either.
type StatusOwner struct {
	// Manager is the name of the field manager.
	Manager string
	// Kind is the kind in the version in which the status is applied.
	Kind schema.GroupVersionKind
	// Converter knows the schema of the kind.
	Converter managedfields.TypeConverter
	// Computed are the fields of the status that our server fills in itself, and
	// ComputedConditions the types of such conditions. They belong to nobody: else
	// a report without them would take them away.
	Computed           []string
	ComputedConditions []string
	// RequestPhases are the values of the field phase that say what somebody wants
	// rather than what was reported; they belong to nobody either.
	RequestPhases []string
}

// Derive adds the entry to an object. It adds none if the status holds nothing
// that was reported.
func (o *StatusOwner) Derive(object runtime.Object) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	others := slices.DeleteFunc(slices.Clone(accessor.GetManagedFields()), o.derived)
	reported, err := o.reported(object)
	if err != nil {
		return fmt.Errorf("deriving who owns the status: %w", err)
	}
	for _, other := range others {
		if other.Subresource != statusSubresource || other.FieldsV1 == nil {
			continue
		}
		// Whoever took a field over by force has it alone.
		taken := fieldpath.NewSet()
		if err := taken.FromJSON(other.FieldsV1.GetRawReader()); err != nil {
			return fmt.Errorf("reading the managedFields of %s: %w", other.Manager, err)
		}
		reported = reported.Difference(taken)
	}
	if !reported.Empty() {
		encoded, err := reported.ToJSON()
		if err != nil {
			return fmt.Errorf("encoding who owns the status: %w", err)
		}
		others = append(others, metav1.ManagedFieldsEntry{
			Manager:     o.Manager,
			Operation:   metav1.ManagedFieldsOperationApply,
			APIVersion:  o.Kind.GroupVersion().String(),
			FieldsType:  "FieldsV1",
			FieldsV1:    metav1.NewFieldsV1(string(encoded)),
			Subresource: statusSubresource,
		})
	}
	accessor.SetManagedFields(others)
	return nil
}

// Settle takes back what an update did to the derived entry: it will be derived
// anew from what is then stored, so a report that says nothing new is no change.
func (o *StatusOwner) Settle(existing, updated runtime.Object) error {
	before, err := meta.Accessor(existing)
	if err != nil {
		return err
	}
	after, err := meta.Accessor(updated)
	if err != nil {
		return err
	}
	var tracked, derived []metav1.ManagedFieldsEntry
	for _, entry := range before.GetManagedFields() {
		if o.derived(entry) {
			derived = append(derived, entry)
		} else {
			tracked = append(tracked, entry)
		}
	}
	entries := slices.DeleteFunc(slices.Clone(after.GetManagedFields()), o.derived)
	if len(tracked) == 0 && !slices.ContainsFunc(entries, applied) {
		// The library tracks updates once anybody has applied; here that was only
		// the derived entry.
		entries = nil
	}
	after.SetManagedFields(append(entries, derived...))
	return nil
}

func (o *StatusOwner) derived(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == o.Manager && entry.Subresource == statusSubresource && applied(entry)
}

func applied(entry metav1.ManagedFieldsEntry) bool {
	return entry.Operation == metav1.ManagedFieldsOperationApply
}

// reported returns the fields of the status that were reported.
func (o *StatusOwner) reported(object runtime.Object) (*fieldpath.Set, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	status, _, err := unstructured.NestedMap(content, statusSubresource)
	if err != nil {
		return nil, err
	}
	o.leaveOutComputed(status)
	if len(status) == 0 {
		return fieldpath.NewSet(), nil
	}
	alone := &unstructured.Unstructured{Object: map[string]any{statusSubresource: status}}
	alone.SetGroupVersionKind(o.Kind)
	typed, err := o.Converter.ObjectToTyped(alone)
	if err != nil {
		return nil, err
	}
	fields, err := typed.ToFieldSet()
	if err != nil {
		return nil, fmt.Errorf("listing the fields of the status: %w", err)
	}
	return fields.Difference(typeFields), nil
}

// typeFields are the fields that tell the type and so belong to nobody.
var typeFields = fieldpath.NewSet(
	fieldpath.MakePathOrDie("apiVersion"),
	fieldpath.MakePathOrDie("kind"),
)

func (o *StatusOwner) leaveOutComputed(status map[string]any) {
	for _, name := range o.Computed {
		delete(status, name)
	}
	if phase, ok := status["phase"].(string); ok && slices.Contains(o.RequestPhases, phase) {
		delete(status, "phase")
	}
	conditions, ok := status["conditions"].([]any)
	if !ok {
		return
	}
	conditions = slices.DeleteFunc(conditions, func(condition any) bool {
		fields, ok := condition.(map[string]any)
		if !ok {
			return false
		}
		kind, ok := fields["type"].(string)
		return ok && slices.Contains(o.ComputedConditions, kind)
	})
	if len(conditions) == 0 {
		delete(status, "conditions")
	} else {
		status["conditions"] = conditions
	}
}
