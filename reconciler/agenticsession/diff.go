package agenticsession

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// itemDefaults are what the definitions fill into the items of lists, by the name of
// the list.
var itemDefaults = map[string]map[string]any{
	"repos": {"autoPush": false, "branch": "main"},
}

// NeedsApply tells whether applying desired would change live: a field of ours
// is missing, has another value or has become somebody else's, or we still own a
// field that is no longer desired.
func NeedsApply(live, desired *unstructured.Unstructured) (bool, error) {
	wanted := withoutIdentity(desired.Object)
	if !contains(live.Object, wanted) {
		return true, nil
	}
	owned, err := ownedFields(live)
	if err != nil {
		return false, err
	}
	// Values alone don't make the fields ours: without ownership a later removal
	// would not reach the object.
	return ownsMore(owned, desired.Object) || !ownsAll(owned, wanted), nil
}

func withoutIdentity(object map[string]any) map[string]any {
	kept := map[string]any{}
	if metadata, isObject := object["metadata"].(map[string]any); isObject {
		kept = map[string]any{"labels": metadata["labels"], "annotations": metadata["annotations"]}
	}
	return map[string]any{"metadata": kept, "spec": object["spec"]}
}

// contains tells whether live holds every field of desired. Objects are compared
// field by field, and may hold fields of others beside; lists are atomic here.
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
			if list, isList := value.([]any); isList {
				if !sameItems(live[key], list, itemDefaults[key]) {
					return false
				}
			} else if !contains(live[key], value) {
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

// sameItems tells whether live is a list of the desired items, which may hold more than
// was desired where the definition fills in defaults.
func sameItems(live any, desired []any, defaults map[string]any) bool {
	items, isList := live.([]any)
	if !isList || len(items) != len(desired) {
		return false
	}
	for i := range desired {
		if !contains(items[i], desired[i]) {
			return false
		}
		item, isObject := items[i].(map[string]any)
		wanted, wantsObject := desired[i].(map[string]any)
		if !isObject || !wantsObject {
			continue
		}
		for key, value := range item {
			byDefault, known := defaults[key]
			if _, asked := wanted[key]; !asked && (!known || value != byDefault) {
				return false
			}
		}
	}
	return true
}

// ownsAll tells whether owned, a FieldsV1, names every value in wanted, by itself or with
// what holds it.
func ownsAll(owned, wanted map[string]any) bool {
	for name, value := range wanted {
		below, isOurs := owned[fieldPrefix+name].(map[string]any)
		if isOurs && len(below) == 0 || value == nil {
			continue
		}
		if nested, isObject := value.(map[string]any); !isObject && !isOurs || isObject && !ownsAll(below, nested) {
			return false
		}
	}
	return true
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
