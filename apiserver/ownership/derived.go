package ownership

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// DerivedOwners derives the managedFields of what came from elsewhere instead of
// storing them: whatever stands in a status was applied by the one who reports it,
// and what nobody applied to a specification belongs to the upstream, as if the
// upstream had made an Update. Derive and Settle are made for the options of the
// same name (PrepareExisting and Settle).
//
// The entries exist only while an update is computed. An object that came from the
// upstream and that nobody applied to shows no managedFields, and updates of it are
// not tracked either. One that was created here is tracked from then on.
type DerivedOwners struct {
	// Kind is the kind in the version in which objects are applied.
	Kind schema.GroupVersionKind
	// Converter knows the schema of the kind.
	Converter managedfields.TypeConverter
	// ReadOnly are the fields of the specification that no client can set. They
	// belong to nobody: who names one shall hear that, and of no conflict.
	ReadOnly []string
	// Computed are the fields of the status that our server fills in itself, and
	// ComputedConditions the types of such conditions. They belong to nobody: else
	// a report without them would take them away.
	Computed           []string
	ComputedConditions []string
	// RequestPhases are the values of the field phase that say what somebody wants
	// rather than what was reported; they belong to nobody either.
	RequestPhases []string
}

// Derive adds the entries to an object: none for the status if it holds nothing
// that was reported, none for the specification if anybody's fields of it are
// recorded.
func (o *DerivedOwners) Derive(object runtime.Object) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	stored := Stored(accessor.GetManagedFields())
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return fmt.Errorf("deriving the owners of the fields: %w", err)
	}
	entries := slices.Clone(stored)
	if !slices.ContainsFunc(stored, OfSpec) {
		fields, err := o.fields(o.asked(content))
		if err != nil {
			return fmt.Errorf("deriving who owns the specification: %w", err)
		}
		if entries, err = o.add(entries, upstreamEntry(), fields); err != nil {
			return fmt.Errorf("encoding who owns the specification: %w", err)
		}
	}
	reported, err := o.fields(o.reported(content))
	if err != nil {
		return fmt.Errorf("deriving who owns the status: %w", err)
	}
	for _, other := range stored {
		if OfSpec(other) || other.FieldsV1 == nil {
			continue
		}
		// Whoever took a field over by force has it alone. An entry that can't be
		// read, as anybody may have left it upstream, is passed over, which the
		// machinery does, too.
		taken := fieldpath.NewSet()
		if err := taken.FromJSON(other.FieldsV1.GetRawReader()); err == nil {
			reported = reported.Difference(taken)
		}
	}
	if entries, err = o.add(entries, reportEntry(), reported); err != nil {
		return fmt.Errorf("encoding who owns the status: %w", err)
	}
	accessor.SetManagedFields(entries)
	return nil
}

func (o *DerivedOwners) add(entries []metav1.ManagedFieldsEntry, entry metav1.ManagedFieldsEntry, fields *fieldpath.Set) ([]metav1.ManagedFieldsEntry, error) {
	if fields.Empty() {
		return entries, nil
	}
	encoded, err := fields.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding a set of fields: %w", err)
	}
	entry.APIVersion = o.Kind.GroupVersion().String()
	entry.FieldsType = "FieldsV1"
	entry.FieldsV1 = metav1.NewFieldsV1(string(encoded))
	return append(entries, entry), nil
}

// Settle takes back what an update did to the derived entries: they will be
// derived anew from what is then stored, so a report that says nothing new is no
// change. Only when somebody applies to the specification are its owners recorded
// from then on, the upstream among them.
func (o *DerivedOwners) Settle(existing, updated runtime.Object) error {
	before, err := meta.Accessor(existing)
	if err != nil {
		return err
	}
	after, err := meta.Accessor(updated)
	if err != nil {
		return err
	}
	var derived []metav1.ManagedFieldsEntry
	tracked := Stored(before.GetManagedFields())
	for _, entry := range before.GetManagedFields() {
		if !slices.ContainsFunc(tracked, func(stored metav1.ManagedFieldsEntry) bool { return sameWriter(stored, entry) }) {
			derived = append(derived, entry)
		}
	}
	entries := Stored(after.GetManagedFields())
	switch {
	case len(tracked) == 0 && !slices.ContainsFunc(entries, applied):
		// The library tracks updates once anybody has applied; here that was only
		// a derived entry.
		entries = nil
	case slices.ContainsFunc(entries, OfSpec):
		// The upstream's entry is recorded with the others now.
		derived = slices.DeleteFunc(derived, OfSpec)
	}
	after.SetManagedFields(append(entries, derived...))
	return nil
}

func sameWriter(a, b metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.Subresource == b.Subresource && a.APIVersion == b.APIVersion
}

func applied(entry metav1.ManagedFieldsEntry) bool {
	return entry.Operation == metav1.ManagedFieldsOperationApply
}

// fields returns the fields of a part of an object.
func (o *DerivedOwners) fields(part map[string]any) (*fieldpath.Set, error) {
	if len(part) == 0 {
		return fieldpath.NewSet(), nil
	}
	alone := &unstructured.Unstructured{Object: part}
	alone.SetGroupVersionKind(o.Kind)
	typed, err := o.Converter.ObjectToTyped(alone)
	if err != nil {
		return nil, err
	}
	fields, err := typed.ToFieldSet()
	if err != nil {
		return nil, fmt.Errorf("listing the fields: %w", err)
	}
	return fields.Difference(typeFields), nil
}

// typeFields are the fields that tell the type and so belong to nobody.
var typeFields = fieldpath.NewSet(
	fieldpath.MakePathOrDie("apiVersion"),
	fieldpath.MakePathOrDie("kind"),
)

// asked takes out of the content what somebody asked for: the specification, labels
// and annotations.
func (o *DerivedOwners) asked(content map[string]any) map[string]any {
	part := map[string]any{}
	if spec, ok := content["spec"].(map[string]any); ok {
		for _, name := range o.ReadOnly {
			delete(spec, name)
		}
		if len(spec) > 0 {
			part["spec"] = spec
		}
	}
	metadata, ok := content["metadata"].(map[string]any)
	if !ok {
		return part
	}
	texts := map[string]any{}
	for _, kind := range []string{"labels", "annotations"} {
		values, ok := metadata[kind].(map[string]any)
		if !ok {
			continue
		}
		// What our server computes or gives a meaning belongs to nobody.
		maps.DeleteFunc(values, func(key string, _ any) bool { return strings.HasPrefix(key, v1alpha1.GroupName+"/") })
		if len(values) > 0 {
			texts[kind] = values
		}
	}
	if len(texts) > 0 {
		part["metadata"] = texts
	}
	return part
}

// reported takes out of the content what was reported of the status.
func (o *DerivedOwners) reported(content map[string]any) map[string]any {
	status, ok := content["status"].(map[string]any)
	if !ok {
		return nil
	}
	o.leaveOutComputed(status)
	if len(status) == 0 {
		return nil
	}
	return map[string]any{"status": status}
}

func (o *DerivedOwners) leaveOutComputed(status map[string]any) {
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
		kind, typed := fields["type"].(string)
		reason, reasoned := fields["reason"].(string)
		return typed && slices.Contains(o.ComputedConditions, kind) || typed && reasoned && v1alpha1.NotObserved(kind, reason)
	})
	if len(conditions) == 0 {
		delete(status, "conditions")
	} else {
		status["conditions"] = conditions
	}
}
