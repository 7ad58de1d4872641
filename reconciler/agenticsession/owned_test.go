package agenticsession

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func TestOwnedChanges(t *testing.T) {
	desired := Build(session(v1alpha1.SessionSpec{
		DisplayName: "Tidy", Prompt: "Say hello", LLM: &v1alpha1.LLMSettings{Model: "m"},
		Environment:  map[string]string{"TOKEN": "secret"},
		Repositories: []v1alpha1.Repository{{URL: "u"}},
	}), "cr").Object
	for _, test := range []struct {
		name string
		edit func(*unstructured.Unstructured)
		want []string
	}{
		{"nothing", func(*unstructured.Unstructured) {}, nil},
		{"a field of ours", func(o *unstructured.Unstructured) { set(t, o, "Do harm", "spec", "initialPrompt") }, []string{"spec.initialPrompt"}},
		{"a field of ours, taken away", func(o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "displayName")
		}, []string{"spec.displayName"}},
		{"what holds fields of ours, taken away", func(o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "spec", "llmSettings")
			unstructured.RemoveNestedField(o.Object, "metadata", "annotations")
		}, []string{"metadata.annotations[ambient.io/session-name]", "spec.llmSettings.model"}},
		{"a key of ours", func(o *unstructured.Unstructured) { set(t, o, "other", "spec", "environmentVariables", "TOKEN") }, []string{"spec.environmentVariables[TOKEN]"}},
		{"a list of ours", func(o *unstructured.Unstructured) {
			set(t, o, []any{map[string]any{"url": "u", "branch": "b"}}, "spec", "repos")
		}, []string{"spec.repos"}},
		{"our label", func(o *unstructured.Unstructured) {
			unstructured.RemoveNestedField(o.Object, "metadata", "labels", v1alpha1.SessionIDLabel)
		}, []string{"metadata.labels[ambient.io/session-id]"}},
		{"fields of others, also beside ours", func(o *unstructured.Unstructured) {
			set(t, o, int64(7), "spec", "inactivityTimeout")
			set(t, o, 0.5, "spec", "llmSettings", "temperature")
			set(t, o, "theirs", "spec", "environmentVariables", "OTHER")
			set(t, o, "theirs", "metadata", "labels", "other")
			set(t, o, "Failed", "status", "phase")
			o.SetManagedFields(nil)
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := applied(t, desired)
			after := before.DeepCopy()
			test.edit(after)
			got, err := OwnedChanges(before, after)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestWhatWeDoNotOwnMayBeChanged(t *testing.T) {
	before := applied(t, Build(session(v1alpha1.SessionSpec{Prompt: "Say hello"}), "cr").Object)
	after := before.DeepCopy()
	set(t, after, "Do harm", "spec", "initialPrompt")
	for name, change := range map[string]func(*metav1.ManagedFieldsEntry){
		"somebody else's":  func(entry *metav1.ManagedFieldsEntry) { entry.Manager = "somebody" },
		"an update's":      func(entry *metav1.ManagedFieldsEntry) { entry.Operation = metav1.ManagedFieldsOperationUpdate },
		"those of status":  func(entry *metav1.ManagedFieldsEntry) { entry.Subresource = "status" },
		"fields not named": func(entry *metav1.ManagedFieldsEntry) { entry.FieldsV1 = nil },
	} {
		t.Run(name, func(t *testing.T) {
			entries := before.GetManagedFields()
			for i := range entries {
				change(&entries[i])
			}
			other := before.DeepCopy()
			other.SetManagedFields(entries)
			if got, err := OwnedChanges(other, after); err != nil || len(got) > 0 {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestASessionNameCountsWhileItIsOurs(t *testing.T) {
	object := applied(t, Build(session(v1alpha1.SessionSpec{}), "cr").Object)
	expect := func(why, want string) {
		t.Helper()
		if got, err := AppliedSessionName(object); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", why, got, err, want)
		}
	}
	expect("ours", object.GetAnnotations()[SessionNameAnnotation])
	entries := object.GetManagedFields()
	entries[0].Manager = "somebody"
	object.SetManagedFields(entries)
	expect("somebody else's", "")
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(`"text"`)}})
	if _, err := AppliedSessionName(object); err == nil {
		t.Error("fields that can't be read are not reported")
	}
}
