package translate

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
)

// decodeReserved reads the JSON value of a reserved annotation.
func decodeReserved(raw string) (Reserved, reservedState) {
	text, ok := decodeString(raw)
	if !ok {
		return Reserved{}, reservedMalformed
	}
	var r Reserved
	strict := json.NewDecoder(strings.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err == nil && !strict.More() && r.settle() {
		return r, reservedPresent
	}
	return decodeMembers(text)
}

// decodeMembers reads a record one member at a time, so that one that cannot be read
// costs no other: without its name, a session would be another one.
func decodeMembers(text string) (Reserved, reservedState) {
	members, ok := parseObject(text)
	if !ok {
		return Reserved{}, reservedMalformed
	}
	var r Reserved
	unknown, read := map[string]json.RawMessage{}, map[string]bool{}
	for _, m := range members {
		alone := []byte("{" + text[m.nameText.start:m.valueText.end] + "}")
		var one Reserved
		if !reservedMembers[strings.ToLower(m.name)] || json.Unmarshal(alone, &one) != nil || !one.settle() {
			unknown[m.name] = json.RawMessage(m.valueText.of(text))
			continue
		}
		if err := json.Unmarshal(alone, &r); err != nil {
			// It was read just now, into an empty record.
			return Reserved{}, reservedMalformed
		}
		read[strings.ToLower(m.name)] = true
	}
	maps.DeleteFunc(unknown, func(name string, _ json.RawMessage) bool { return read[strings.ToLower(name)] })
	if len(unknown) > 0 {
		r.Unknown = unknown
	}
	r.settle()
	return r, reservedPresent
}

// settle brings the times of the record to the precision of the API. It returns false
// when the record holds what cannot be shown: times that clients cannot read, and
// metadata that Kubernetes would refuse in every later update, whatever it changes.
func (r *Reserved) settle() bool {
	for i := range r.Conditions {
		c := &r.Conditions[i]
		if indexOfType(r.Conditions, c.Type) != i || !c.LastTransitionTime.IsZero() && !settleTime(&c.LastTransitionTime) {
			return false
		}
	}
	for _, other := range r.Others {
		if !other.settle() {
			return false
		}
	}
	return r.ClusterMetadata.settle() &&
		(r.GenerateName == "" || len(content.IsPathSegmentPrefix(r.GenerateName)) == 0) &&
		len(metav1validation.ValidateLabels(r.Labels, nil)) == 0 &&
		len(apivalidation.ValidateAnnotations(r.Annotations, nil)) == 0
}

func (m *ClusterMetadata) settle() bool {
	if !settleTime(m.DeletionTimestamp) {
		return false
	}
	for i := range m.ManagedFields {
		if !settleTime(m.ManagedFields[i].Time) {
			return false
		}
	}
	return len(apivalidation.ValidateFinalizers(m.Finalizers, nil)) == 0 &&
		len(apivalidation.ValidateOwnerReferences(m.OwnerReferences, nil)) == 0 &&
		len(metav1validation.ValidateManagedFields(m.ManagedFields, nil)) == 0
}

// settleTime is settle for one time, which may be absent.
func settleTime(t *metav1.Time) bool {
	if t == nil {
		return true
	}
	shown, _ := showable(t.Time)
	if shown == nil {
		return false
	}
	*t = *shown
	return true
}

// reservedMembers are the names of what a Reserved holds, in lower case: the
// decoder does not mind the case either.
var reservedMembers = membersOf(reflect.TypeFor[Reserved]())

func membersOf(structure reflect.Type) map[string]bool {
	members := map[string]bool{}
	for field := range structure.Fields() {
		if field.Anonymous {
			maps.Copy(members, membersOf(field.Type))
			continue
		}
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			members[strings.ToLower(name)] = true
		}
	}
	return members
}

// report names what of the record, which stands under the key in the column, cannot
// be shown.
func (r *Reserved) report(column, key string, state reservedState, p *problems) {
	const expected = "what this server writes"
	if state == reservedMalformed {
		p.malformed(named(column, key), expected)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Unknown)) {
		if reservedMembers[strings.ToLower(name)] {
			p.malformed(named(column, key)+"."+name, expected)
		}
	}
}
