package agenticsession

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// fieldPrefix begins the name of a field in a FieldsV1.
const fieldPrefix = "f:"

// keyed are the fields whose keys are anybody's: they are written in brackets.
var keyed = []string{"metadata.labels", "metadata.annotations", "spec.environmentVariables"}

// OwnedChanges returns the paths of the fields that the reconciler owns in before
// and that after holds otherwise, in order. Fields of others are not looked at.
func OwnedChanges(before, after *unstructured.Unstructured) ([]string, error) {
	owned, err := ownedFields(before)
	if err != nil {
		return nil, err
	}
	return changedFields("", owned, before.Object, after.Object), nil
}

// ownedFields returns what the reconciler has applied of an object, as a
// FieldsV1; nil if it is nothing.
func ownedFields(object *unstructured.Unstructured) (map[string]any, error) {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager != FieldManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var owned map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned); err != nil {
			return nil, fmt.Errorf("reading managedFields of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
		}
		return owned, nil
	}
	return nil, nil
}

// changedFields walks a FieldsV1, whose lists are whole values here.
func changedFields(path string, owned, before, after map[string]any) []string {
	var changed []string
	for _, entry := range slices.Sorted(maps.Keys(owned)) {
		name, isField := strings.CutPrefix(entry, fieldPrefix)
		if !isField {
			continue
		}
		at := join(path, name)
		if below, isObject := owned[entry].(map[string]any); isObject && len(below) > 0 {
			changed = append(changed, changedFields(at, below, nested(before, name), nested(after, name))...)
			continue
		}
		if !equality.Semantic.DeepEqual(before[name], after[name]) {
			changed = append(changed, at)
		}
	}
	return changed
}

// nested returns the object in a field, nil if there is none.
func nested(object map[string]any, name string) map[string]any {
	if held, isObject := object[name].(map[string]any); isObject {
		return held
	}
	return nil
}

func join(path, name string) string {
	switch {
	case path == "":
		return name
	case slices.Contains(keyed, path):
		return path + "[" + name + "]"
	default:
		return path + "." + name
	}
}

// Applied tells whether the reconciler has applied anything of an object. Fields
// that can't be read count as applied.
func Applied(object *unstructured.Unstructured) bool {
	owned, err := ownedFields(object)
	return owned != nil || err != nil
}

// AppliedSessionName returns the name of the Session that the reconciler has written
// on its AgenticSession; empty if it has written none, or somebody else another.
func AppliedSessionName(object *unstructured.Unstructured) (string, error) {
	owned, err := ownedFields(object)
	if err != nil {
		return "", err
	}
	annotations := nested(nested(owned, fieldPrefix+"metadata"), fieldPrefix+"annotations")
	if _, ours := annotations[fieldPrefix+SessionNameAnnotation]; !ours {
		return "", nil
	}
	return object.GetAnnotations()[SessionNameAnnotation], nil
}
