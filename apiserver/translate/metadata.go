package translate

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/ownership"
)

const (
	labelsColumn      = "labels"
	annotationsColumn = "annotations"
	createdColumn     = "created_at"
)

// reservedKeys are the annotations that are never shown.
var reservedKeys = []string{ReservedAnnotation, SettingsAnnotation, v1alpha1.RestoreNameAnnotation}

// readLabels decodes the labels, without those with a derived key.
func readLabels(text string, p *problems, derived ...string) map[string]string {
	return readMap(labelsColumn, text, p, func(key, value string) bool {
		if slices.Contains(derived, key) {
			return false
		}
		if isLabelKey(key) && isLabelValue(value) {
			return true
		}
		p.add(ReasonInvalidLabels, named(labelsColumn, key)+" is not a label that Kubernetes accepts")
		return false
	})
}

// readAnnotations decodes the annotations and what the reserved one among them
// holds.
func readAnnotations(text, reservedKey string, p *problems) (map[string]string, Reserved, reservedState) {
	if blank(text) {
		return nil, Reserved{}, reservedAbsent
	}
	members, ok := parseObject(text)
	if !ok {
		p.malformed(annotationsColumn, "a JSON object")
		carried, state := readReserved(text, reservedKey)
		carried.report(annotationsColumn, reservedKey, state, p)
		return nil, carried, state
	}
	var reserved Reserved
	state := reservedAbsent
	visible := members[:0]
	for _, m := range members {
		switch {
		case m.name == reservedKey:
			reserved, state = decodeReserved(m.valueText.of(text))
		case !slices.Contains(reservedKeys, m.name):
			visible = append(visible, m)
		}
	}
	reserved.report(annotationsColumn, reservedKey, state, p)
	size := 0
	annotations := stringMap(annotationsColumn, text, visible, p, func(key, value string) bool {
		if !isLabelKey(strings.ToLower(key)) {
			p.add(ReasonInvalidAnnotations, named(annotationsColumn, key)+" is not a key that Kubernetes accepts")
			return false
		}
		if size+len(key)+len(value) > apivalidation.TotalAnnotationSizeLimitB {
			p.add(ReasonInvalidAnnotations, named(annotationsColumn, key)+" exceeds the size that Kubernetes accepts")
			return false
		}
		size += len(key) + len(value)
		return true
	})
	return annotations, reserved, state
}

// readMap decodes a JSON object of strings, as far as accept allows.
func readMap(column, text string, p *problems, accept func(key, value string) bool) map[string]string {
	if blank(text) {
		return nil
	}
	members, ok := parseObject(text)
	if !ok {
		p.malformed(column, "a JSON object")
		return nil
	}
	return stringMap(column, text, members, p, accept)
}

func stringMap(column, text string, members []member, p *problems, accept func(key, value string) bool) map[string]string {
	if len(members) == 0 {
		return nil
	}
	values := make(map[string]string, len(members)+1)
	for _, m := range members {
		value, ok := decodeString(m.valueText.of(text))
		if !ok {
			p.add(ReasonInvalidValues, named(column, m.name)+" is not a string")
			delete(values, m.name)
			continue
		}
		if accept == nil || accept(m.name, value) {
			values[m.name] = value
		} else {
			delete(values, m.name)
		}
	}
	if len(values) == 0 {
		return nil
	}
	return values
}

// setReserved gives the object the metadata that the reserved annotation holds.
func (t *Translator) setReserved(meta *metav1.ObjectMeta, r *Reserved) {
	meta.GenerateName = r.GenerateName
	own := r.in(t.options.Cluster)
	meta.Finalizers = own.Finalizers
	meta.OwnerReferences = own.OwnerReferences
	meta.DeletionTimestamp = own.DeletionTimestamp
	meta.DeletionGracePeriodSeconds = own.DeletionGracePeriodSeconds
	meta.ManagedFields = own.ManagedFields
}

// takeMetadata records the object's metadata in the reserved annotation.
func (t *Translator) takeMetadata(r *Reserved, meta *metav1.ObjectMeta) {
	r.GenerateName = meta.GenerateName
	r.set(t.options.Cluster, ClusterMetadata{
		Finalizers:                 meta.Finalizers,
		OwnerReferences:            meta.OwnerReferences,
		DeletionTimestamp:          meta.DeletionTimestamp,
		DeletionGracePeriodSeconds: meta.DeletionGracePeriodSeconds,
		ManagedFields:              ownership.Stored(meta.ManagedFields),
	})
}

// objectMeta is the metadata that every object has.
func objectMeta(namespace, name string, uid types.UID, created *timestamppb.Timestamp, p *problems) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uid, CreationTimestamp: orZero(readTime(createdColumn, created, p))}
}
