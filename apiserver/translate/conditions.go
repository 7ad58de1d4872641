package translate

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// detailsType is the type of the entry among a session's conditions that holds
// what the upstream has no column for. It is not shown as a condition.
const detailsType = "ambient.io/Details"

// details is the content of that entry.
type details struct {
	StoppedReason      string
	LastActivityTime   *metav1.Time
	ObservedGeneration int64
}

var detailsProperties = []property[details]{
	textProperty(func(d *details) *string { return &d.StoppedReason }, "stoppedReason"),
	timeProperty(func(d *details) **metav1.Time { return &d.LastActivityTime }, "lastActivityTime"),
	integerProperty(func(d *details) *int64 { return &d.ObservedGeneration }, "observedGeneration"),
}

func (d details) empty() bool { return equality.Semantic.DeepEqual(d, details{}) }

const typeMember = "type"

var conditionProperties = []property[metav1.Condition]{
	textProperty(func(c *metav1.Condition) *string { return &c.Type }, typeMember),
	textProperty(func(c *metav1.Condition) *string { return (*string)(&c.Status) }, "status"),
	integerProperty(func(c *metav1.Condition) *int64 { return &c.ObservedGeneration }, "observedGeneration"),
	{
		names: []string{"lastTransitionTime"},
		read: func(raw string, into *metav1.Condition) bool {
			value, ok := decodeTime(raw)
			into.LastTransitionTime = orZero(value)
			return ok
		},
		write: func(from *metav1.Condition) string { return encodeTime(&from.LastTransitionTime) },
	},
	textProperty(func(c *metav1.Condition) *string { return &c.Reason }, "reason"),
	textProperty(func(c *metav1.Condition) *string { return &c.Message }, "message"),
}

// computedConditions are the types of the conditions of a session that this
// server computes. Entries of these types upstream are neither shown nor changed.
var computedConditions = []string{
	v1alpha1.ConditionReady, v1alpha1.ConditionStalled, v1alpha1.ConditionTranslated, v1alpha1.ConditionNameConflict,
	v1alpha1.ConditionNamespaceNotAdopted,
}

// readConditions decodes the column conditions of a session. Of several entries
// of one type the last one counts.
func readConditions(text string, p *problems) ([]metav1.Condition, details) {
	if blank(text) {
		return nil, details{}
	}
	spans, ok := parseArray(text)
	if !ok {
		p.malformed(conditionsColumn, "a JSON array")
		return nil, details{}
	}
	var found details
	conditions := make([]metav1.Condition, 0, len(spans)+3)
	for i, s := range spans {
		raw := s.of(text)
		var c metav1.Condition
		wrong, ok := readProperties(raw, conditionProperties, &c)
		if !ok || c.Type == "" {
			p.value(fmt.Sprintf("%s[%d]", conditionsColumn, i))
			continue
		}
		if c.Type == detailsType {
			found = details{}
			wrong, _ = readProperties(raw, detailsProperties, &found)
		}
		for _, name := range wrong {
			p.value(fmt.Sprintf("%s[%d].%s", conditionsColumn, i, name))
		}
		if c.Type == detailsType || slices.Contains(computedConditions, c.Type) {
			continue
		}
		if c.Status == "" {
			c.Status = metav1.ConditionUnknown
		}
		if at := indexOfType(conditions, c.Type); at >= 0 {
			p.add(ReasonDuplicateConditions, named(conditionsColumn, c.Type)+" is there more than once")
			conditions[at] = c
			continue
		}
		conditions = append(conditions, c)
	}
	return conditions, found
}

func indexOfType(conditions []metav1.Condition, conditionType string) int {
	for i := range conditions {
		if conditions[i].Type == conditionType {
			return i
		}
	}
	return -1
}

// storedConditions leaves out the conditions that this server computes.
func storedConditions(conditions []metav1.Condition, computed []string) []metav1.Condition {
	var stored []metav1.Condition
	for _, c := range conditions {
		if !slices.Contains(computed, c.Type) && c.Type != detailsType && !v1alpha1.NotObserved(c.Type, c.Reason) {
			stored = append(stored, c)
		}
	}
	return stored
}

// writeConditions returns the column's text after the conditions and the details
// became the desired ones.
func writeConditions(text string, desired []metav1.Condition, want details) string {
	spans, _ := parseArray(text)
	current, had := readConditions(text, nil)
	last := map[string]int{}
	types := make([]string, len(spans))
	for i, s := range spans {
		var c metav1.Condition
		if _, ok := readProperties(s.of(text), conditionProperties, &c); ok {
			types[i] = c.Type
			last[c.Type] = i
		}
	}

	var pieces []piece
	for i, s := range spans {
		raw := s.of(text)
		switch {
		case types[i] == "" || slices.Contains(computedConditions, types[i]):
		case types[i] == detailsType:
			if want.empty() || i != last[detailsType] {
				continue
			}
			raw = editProperties(raw, detailsProperties, &had, &want, nil)
		default:
			to := indexOfType(desired, types[i])
			if to < 0 {
				continue
			}
			from := current[indexOfType(current, types[i])]
			if i == last[types[i]] && !equality.Semantic.DeepEqual(from, desired[to]) {
				raw = editProperties(raw, conditionProperties, &from, &desired[to], nil)
			}
		}
		pieces = append(pieces, piece{index: i, text: raw})
	}
	for i := range desired {
		if _, found := last[desired[i].Type]; !found {
			pieces = append(pieces, piece{index: -1, text: newProperties(conditionProperties, &desired[i], nil)})
		}
	}
	if _, found := last[detailsType]; !found && !want.empty() {
		entry := editObject(emptyObject, []change{{names: []string{typeMember}, value: quote(detailsType)}, {names: []string{"status"}, value: `"True"`}})
		pieces = append(pieces, piece{index: -1, text: editProperties(entry, detailsProperties, new(details), &want, nil)})
	}
	return joinElements(text, spans, pieces)
}
