package client_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
)

// The generator names schemas by import path, the server by the types' own model
// names: where they differ, nothing can be extracted.
func TestApplyConfigurationsKnowTheSchema(t *testing.T) {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: "fix", Namespace: "team", ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "alice", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "ambient.io/v1alpha1", FieldsType: "FieldsV1",
			FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:prompt":{}}}`)},
		}}},
		Spec: v1alpha1.SessionSpec{Prompt: "mine", DisplayName: "not mine"},
	}
	extracted, err := applyv1alpha1.ExtractSession(session, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if extracted.Spec == nil || extracted.Spec.Prompt == nil || *extracted.Spec.Prompt != "mine" {
		t.Errorf("the applied prompt was not extracted: %+v", extracted.Spec)
	}
	if extracted.Spec != nil && extracted.Spec.DisplayName != nil {
		t.Error("a field of somebody else was extracted")
	}
}
