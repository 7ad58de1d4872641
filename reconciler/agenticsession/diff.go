package agenticsession

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// NeedsApply tells whether applying desired would change live: a field of ours
// is missing or has another value, or we still own a field that is no longer
// desired.
func NeedsApply(live, desired *unstructured.Unstructured) (bool, error) {
	if !contains(live.Object, withoutIdentity(desired.Object)) {
		return true, nil
	}
	owned, err := ownedFields(live)
	if err != nil {
		return false, err
	}
	if owned != nil {
		return ownsMore(owned, desired.Object), nil
	}
	// Values alone don't make the fields ours: without ownership a later removal
	// would not reach the object.
	return true, nil
}

func withoutIdentity(object map[string]any) map[string]any {
	kept := map[string]any{}
	if metadata, isObject := object["metadata"].(map[string]any); isObject {
		kept = map[string]any{"labels": metadata["labels"], "annotations": metadata["annotations"]}
	}
	return map[string]any{"metadata": kept, "spec": object["spec"]}
}

// contains tells whether live holds every field of desired. Objects are compared
// field by field; lists, which are atomic here, item by item, where an item may
// hold more than was desired because the definition fills in defaults.
func contains(live, desired any) bool {
	switch desired := desired.(type) {
	case nil:
		return true
	case map[string]any:
		live, isObject := live.(map[string]any)
		if !isObject {
			return len(desired) == 0 && live == nil
		}
		for key, value := range desired {
			if !contains(live[key], value) {
				return false
			}
		}
		return true
	case []any:
		live, isList := live.([]any)
		if !isList || len(live) != len(desired) {
			return false
		}
		for i := range desired {
			if !contains(live[i], desired[i]) {
				return false
			}
		}
		return true
	case float64:
		// JSON spells a whole number without a fraction, and so it comes back as
		// an integer.
		if whole, isInteger := live.(int64); isInteger {
			return float64(whole) == desired
		}
		return live == any(desired)
	default:
		return equality.Semantic.DeepEqual(live, desired)
	}
}

// ownsMore walks a FieldsV1 and tells whether it names a field that object lacks.
func ownsMore(owned map[string]any, object map[string]any) bool {
	for path, below := range owned {
		name, isField := strings.CutPrefix(path, fieldPrefix)
		if !isField {
			continue
		}
		value, found := object[name]
		if !found {
			return true
		}
		nested, isObject := value.(map[string]any)
		children, hasChildren := below.(map[string]any)
		if isObject && hasChildren && ownsMore(children, nested) {
			return true
		}
	}
	return false
}
