package translate

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// property is the correspondence between a member of a JSON object and a field
// of T.
type property[T any] struct {
	// names are the accepted spellings. The first one is used where the row
	// shows no preference.
	names []string
	// read decodes the JSON value into the field; false when it has the wrong type.
	read func(raw string, into *T) bool
	// write returns the field as JSON text; empty when the field is absent.
	write func(from *T) string
}

// readProperties decodes the JSON object raw into a T. It returns the names of
// members of the wrong type, whose fields stay empty, and false when raw is not
// an object. Of several members with one meaning the last one counts.
func readProperties[T any](raw string, properties []property[T], into *T) (wrong []string, ok bool) {
	members, ok := parseObject(raw)
	if !ok {
		return nil, false
	}
	for _, m := range members {
		value := m.valueText.of(raw)
		if value == "null" {
			continue
		}
		for i := range properties {
			if !slices.Contains(properties[i].names, m.name) {
				continue
			}
			if !properties[i].read(value, into) {
				wrong = append(wrong, m.name)
			}
			break
		}
	}
	return wrong, true
}

// propertyChanges returns what turns from into to. A member that the object lacks
// is spelled as in the samples, which are JSON objects of the same column.
func propertyChanges[T any](properties []property[T], from, to *T, samples []string) []change {
	var changes []change
	for _, p := range properties {
		value := p.write(to)
		if value == p.write(from) {
			continue
		}
		changes = append(changes, change{names: preferred(p.names, samples), value: value})
	}
	return changes
}

// editProperties changes the JSON object raw from one T to another.
func editProperties[T any](raw string, properties []property[T], from, to *T, samples []string) string {
	return editObject(raw, propertyChanges(properties, from, to, append([]string{raw}, samples...)))
}

// newProperties writes a T as a JSON object.
func newProperties[T any](properties []property[T], to *T, samples []string) string {
	return editObject(emptyObject, propertyChanges(properties, new(T), to, samples))
}

// preferred puts the spelling that the samples use first.
func preferred(names []string, samples []string) []string {
	if len(names) == 1 {
		return names
	}
	for _, sample := range samples {
		members, ok := parseObject(sample)
		if !ok {
			continue
		}
		for _, m := range members {
			if at := slices.Index(names, m.name); at > 0 {
				return append([]string{names[at]}, names...)
			} else if at == 0 {
				return names
			}
		}
	}
	return names
}

func textProperty[T any](field func(*T) *string, names ...string) property[T] {
	return property[T]{
		names: names,
		read: func(raw string, into *T) bool {
			value, ok := decodeString(raw)
			*field(into) = value
			return ok
		},
		write: func(from *T) string {
			if value := *field(from); value != "" {
				return quote(value)
			}
			return ""
		},
	}
}

// quantityProperty is a text property whose value upstream may also be a number.
func quantityProperty[T any](field func(*T) *string, names ...string) property[T] {
	p := textProperty(field, names...)
	readText := p.read
	p.read = func(raw string, into *T) bool {
		if isNumber(raw) {
			*field(into) = raw
			return true
		}
		return readText(raw, into)
	}
	return p
}

func isNumber(raw string) bool {
	return raw != "" && (raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

func flagProperty[T any](field func(*T) **bool, names ...string) property[T] {
	return property[T]{
		names: names,
		read: func(raw string, into *T) bool {
			if raw != "true" && raw != "false" {
				*field(into) = nil
				return false
			}
			value := raw == "true"
			*field(into) = &value
			return true
		},
		write: func(from *T) string {
			if value := *field(from); value != nil {
				return strconv.FormatBool(*value)
			}
			return ""
		},
	}
}

func integerProperty[T any](field func(*T) *int64, names ...string) property[T] {
	return property[T]{
		names: names,
		read: func(raw string, into *T) bool {
			value, err := strconv.ParseInt(raw, 10, 64)
			if err != nil {
				value = 0
			}
			*field(into) = value
			return err == nil
		},
		write: func(from *T) string {
			if value := *field(from); value != 0 {
				return strconv.FormatInt(value, 10)
			}
			return ""
		},
	}
}

func timeProperty[T any](field func(*T) **metav1.Time, names ...string) property[T] {
	return property[T]{
		names: names,
		read: func(raw string, into *T) bool {
			value, ok := decodeTime(raw)
			*field(into) = value
			return ok
		},
		write: func(from *T) string { return encodeTime(*field(from)) },
	}
}

func textsProperty[T any](field func(*T) *[]string, names ...string) property[T] {
	return property[T]{
		names: names,
		read: func(raw string, into *T) bool {
			*field(into) = nil
			elements, ok := parseArray(raw)
			if !ok {
				return false
			}
			var values []string
			for _, element := range elements {
				value, ok := decodeString(element.of(raw))
				if !ok {
					return false
				}
				values = append(values, value)
			}
			*field(into) = values
			return true
		},
		write: func(from *T) string {
			values := *field(from)
			if len(values) == 0 {
				return ""
			}
			quoted := make([]string, len(values))
			for i, value := range values {
				quoted[i] = quote(value)
			}
			return "[" + strings.Join(quoted, ",") + "]"
		},
	}
}
