package ownership_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientopenapi "github.com/ambient-code/ambient-kube/apiserver/openapi"
	"github.com/ambient-code/ambient-kube/apiserver/ownership"
)

func newMover(t *testing.T) *ownership.Mover {
	t.Helper()
	scheme := runtime.NewScheme()
	ambient.Install(scheme)
	converter, err := ownership.NewTypeConverter(genericapiserver.DefaultOpenAPIV3Config(ambientopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(scheme)))
	if err != nil {
		t.Fatal(err)
	}
	mover, err := ownership.NewMover(scheme, converter)
	if err != nil {
		t.Fatal(err)
	}
	return mover
}

// applied is a session whose prompt and display name one manager applied.
func applied() *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: "fix", Namespace: "team", ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "alice", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "ambient.io/v1alpha1", FieldsType: "FieldsV1",
			FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:prompt":{},"f:displayName":{}}}`)},
		}}},
		Spec: v1alpha1.SessionSpec{Prompt: "old", DisplayName: "name"},
	}
}

func TestAFieldThatTheUpstreamChangedIsTheUpstreams(t *testing.T) {
	previous, next := applied(), applied()
	next.Spec.Prompt = "new"
	next.Status.Phase = v1alpha1.SessionRunning
	if err := newMover(t).Move(previous, next); err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, entry := range next.ManagedFields {
		fields[entry.Manager] = string(entry.FieldsV1.Raw)
	}
	if got := fields["alice"]; strings.Contains(got, "prompt") || !strings.Contains(got, "displayName") {
		t.Errorf("the former owner owns %s, want the untouched field alone", got)
	}
	if got := fields[ownership.UpstreamManager]; got != `{"f:spec":{"f:prompt":{}}}` {
		t.Errorf("the upstream owns %s, want the changed field alone", got)
	}
	if next.Spec.Prompt != "new" || next.Status.Phase != v1alpha1.SessionRunning {
		t.Error("moving ownership changed content")
	}
	if previous.Spec.Prompt != "old" || len(previous.ManagedFields) != 1 {
		t.Error("the former state was changed")
	}
}

func TestAnObjectThatNobodyAppliedToGetsNoOwners(t *testing.T) {
	previous, next := applied(), applied()
	previous.ManagedFields, next.ManagedFields = nil, nil
	next.Spec.Prompt = "new"
	if err := newMover(t).Move(previous, next); err != nil {
		t.Fatal(err)
	}
	if len(next.ManagedFields) != 0 {
		t.Errorf("it got %v", next.ManagedFields)
	}
}
