package session

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// selectable names what field selectors may ask of a Session.
var selectable = []string{"metadata.name", "metadata.namespace", "spec.displayName", "status.phase"}

// Attributes returns what selectors can ask of a Session.
func Attributes(object runtime.Object) (labels.Set, fields.Set, error) {
	session, ok := object.(*v1alpha1.Session)
	if !ok {
		return nil, nil, fmt.Errorf("selecting: %T is no Session", object)
	}
	return labels.Set(session.Labels), generic.AddObjectMetaFieldsSet(fields.Set{
		"spec.displayName": session.Spec.DisplayName,
		"status.phase":     string(session.Status.Phase),
	}, &session.ObjectMeta, true), nil
}

// RegisterFieldLabels tells the scheme which fields selectors may ask of a
// Session. Any other is refused.
func RegisterFieldLabels(scheme *runtime.Scheme) error {
	for _, version := range []schema.GroupVersion{v1alpha1.SchemeGroupVersion, ambient.InternalGroupVersion} {
		if err := scheme.AddFieldLabelConversionFunc(version.WithKind("Session"), convertFieldLabel); err != nil {
			return fmt.Errorf("registering the field selectors of Sessions: %w", err)
		}
	}
	return nil
}

func convertFieldLabel(label, value string) (string, string, error) {
	if !slices.Contains(selectable, label) {
		return "", "", fmt.Errorf("%q is not a known field selector: only %s", label, strings.Join(selectable, ", "))
	}
	return label, value, nil
}
