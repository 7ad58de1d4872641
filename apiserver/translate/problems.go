package translate

import (
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Reasons of the condition Translated.
const (
	// ReasonMalformedJSON: a column does not hold the JSON that it should.
	ReasonMalformedJSON = "MalformedJSON"
	// ReasonInvalidValues: parts of a column have the wrong type.
	ReasonInvalidValues = "InvalidValues"
	// ReasonInvalidLabels: Kubernetes refuses some of the labels.
	ReasonInvalidLabels = "InvalidLabels"
	// ReasonInvalidAnnotations: Kubernetes refuses some of the annotations.
	ReasonInvalidAnnotations = "InvalidAnnotations"
	// ReasonDuplicateConditions: several conditions have the same type.
	ReasonDuplicateConditions = "DuplicateConditions"
	// ReasonSeveral: there is more than one of the other reasons.
	ReasonSeveral = "Several"
)

// maxProblems is how many problems the condition's message names.
const maxProblems = 20

// problems collects what of a row cannot be shown. A nil *problems collects
// nothing. Values never get into it, since they may be secret.
type problems struct {
	reason string
	texts  []string
	more   int
}

func (p *problems) add(reason, text string) {
	if p == nil {
		return
	}
	switch p.reason {
	case "", reason:
		p.reason = reason
	default:
		p.reason = ReasonSeveral
	}
	if len(p.texts) == maxProblems {
		p.more++
		return
	}
	p.texts = append(p.texts, text)
}

// malformed reports a column that is not what it should be.
func (p *problems) malformed(column, expected string) {
	p.add(ReasonMalformedJSON, column+" is not "+expected)
}

// value reports a part of a column that has the wrong type.
func (p *problems) value(path string) {
	p.add(ReasonInvalidValues, path+" has the wrong type")
}

// named is a column with the name of one of its members.
func named(column, name string) string {
	const longest = 80
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "..."
	}
	return column + "[" + strconv.Quote(name) + "]"
}

// condition returns Translated=False when there were problems. The time is that
// of the object's creation: nobody knows when the upstream's data went wrong, and
// the same row must always give the same object.
func (p *problems) condition(meta *metav1.ObjectMeta) (metav1.Condition, bool) {
	if len(p.texts) == 0 {
		return metav1.Condition{}, false
	}
	message := "Upstream data that cannot be shown is left out: " + strings.Join(p.texts, "; ")
	if p.more > 0 {
		message += fmt.Sprintf("; and %d more", p.more)
	}
	return metav1.Condition{
		Type:               v1alpha1.ConditionTranslated,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: meta.Generation,
		LastTransitionTime: meta.CreationTimestamp,
		Reason:             p.reason,
		Message:            message,
	}, true
}
