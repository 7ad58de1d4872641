package validation

import (
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// visitStrings calls visit for each string in a value of API types, with its path
// as the JSON form names it. Values with a form of their own, such as times, hold
// no text. managedFields are the server's own.
func visitStrings(value reflect.Value, path *field.Path, visit func(*field.Path, string)) {
	switch value.Kind() {
	case reflect.String:
		visit(path, value.String())
	case reflect.Pointer:
		if !value.IsNil() {
			visitStrings(value.Elem(), path, visit)
		}
	case reflect.Slice, reflect.Array:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range value.Len() {
			visitStrings(value.Index(i), path.Index(i), visit)
		}
	case reflect.Map:
		keys := value.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			visit(path, key.String())
			visitStrings(value.MapIndex(key), path.Key(key.String()), visit)
		}
	case reflect.Struct:
		visitFields(value, path, visit)
	}
}

func visitFields(value reflect.Value, path *field.Path, visit func(*field.Path, string)) {
	for i := range value.NumField() {
		member := value.Type().Field(i)
		name, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		switch {
		case !member.IsExported() || name == "-" || name == "managedFields":
		case name == "":
			visitStrings(value.Field(i), path, visit)
		case path == nil:
			visitStrings(value.Field(i), field.NewPath(name), visit)
		default:
			visitStrings(value.Field(i), path.Child(name), visit)
		}
	}
}
