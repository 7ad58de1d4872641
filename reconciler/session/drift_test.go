package session

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// withRepository returns a world whose session has a repository, and its AgenticSession.
func withRepository(t *testing.T) *world {
	w := newWorld(t)
	w.addSession("a", id, "").Spec.Repositories = []v1alpha1.Repository{{URL: "https://example.com/a.git"}}
	w.fill = func(resource *unstructured.Unstructured) { w.setAutoPush(resource, false) }
	w.settle()
	w.quiet()
	return w
}

// setAutoPush sets a field that the session leaves to the definition, if there is a
// repository that lacks it or on demand.
func (w *world) setAutoPush(resource *unstructured.Unstructured, push bool) {
	w.t.Helper()
	repositories, found, err := unstructured.NestedSlice(resource.Object, "spec", "repos")
	w.check(err)
	if !found {
		return
	}
	repositories[0].(map[string]any)["autoPush"] = push
	w.check(unstructured.SetNestedSlice(resource.Object, repositories, "spec", "repos"))
}

// seize changes the AgenticSession by hand, by which the field becomes somebody else's.
func (w *world) seize(change func(resource *unstructured.Unstructured), path ...string) {
	w.t.Helper()
	w.changeResource(resourceName, func(resource *unstructured.Unstructured) {
		entries := resource.GetManagedFields()
		var owned map[string]any
		w.check(json.Unmarshal(entries[0].FieldsV1.Raw, &owned))
		unstructured.RemoveNestedField(owned, path...)
		fields, err := json.Marshal(owned)
		w.check(err)
		entries[0].FieldsV1 = &metav1.FieldsV1{Raw: fields}
		resource.SetManagedFields(entries)
		change(resource)
	})
}

// quiet checks that a pass writes nothing and tells nobody.
func (w *world) quiet() {
	w.t.Helper()
	for len(w.events.Events) > 0 {
		<-w.events.Events
	}
	before := w.writes["resource"]
	w.check(w.pass())
	if now := w.writes["resource"]; now != before || len(w.events.Events) > 0 {
		w.t.Errorf("a pass at rest makes %d applies and %d events", now-before, len(w.events.Events))
	}
}

func (w *world) repositories() any {
	return w.resources[resourceName].Object["spec"].(map[string]any)["repos"]
}

// What the session leaves out of a list is filled in by the definition, not by people.
func TestAPushThatNobodyAskedForIsHealed(t *testing.T) {
	push := func(w *world) func(*unstructured.Unstructured) {
		return func(resource *unstructured.Unstructured) { w.setAutoPush(resource, true) }
	}
	for name, edit := range map[string]func(w *world){
		"by somebody":             func(w *world) { w.seize(push(w), "f:spec", "f:repos") },
		"by somebody in our name": func(w *world) { w.changeResource(resourceName, push(w)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := withRepository(t)
			edit(w)
			w.settle()
			if push := w.repositories().([]any)[0].(map[string]any)["autoPush"]; push != false {
				t.Errorf("autoPush is %v", push)
			}
			w.quiet()
		})
	}
}

// The value is the same, and not ours any more: what becomes of the session would not
// reach it.
func TestWhatWasChangedAndChangedBackIsOursAgain(t *testing.T) {
	w := withRepository(t)
	w.seize(func(*unstructured.Unstructured) {}, "f:spec", "f:repos")
	w.settle()
	w.quiet()
	w.changeSession("a", func(session *v1alpha1.Session) { session.Spec.Repositories = nil })
	w.settle()
	if left := w.repositories(); left != nil {
		t.Errorf("the session has no repository, and its AgenticSession has %v", left)
	}
	w.quiet()
}

// A definition that fills in other values than are known here makes an apply of each
// pass, and no news.
func TestAnApplyThatChangesNothingIsNoNews(t *testing.T) {
	w := withRepository(t)
	w.fill = func(resource *unstructured.Unstructured) { w.setAutoPush(resource, true) }
	w.seize(func(resource *unstructured.Unstructured) { w.setAutoPush(resource, true) }, "f:spec", "f:repos")
	w.settle()
	for len(w.events.Events) > 0 {
		<-w.events.Events
	}
	w.check(w.pass())
	for len(w.events.Events) > 0 {
		if event := <-w.events.Events; strings.Contains(event, "Healed") || strings.Contains(event, "Updated") {
			t.Errorf("told is %s", event)
		}
	}
}
