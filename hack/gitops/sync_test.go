package gitops

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repository is what Git holds: little, so that the server fills in the rest.
func repository(name string) string {
	return project(name, "") + settings(name) + session(name, "first") + session(name, "second")
}

// sync applies what Git holds as Flux does, with the labels of an owner, and returns
// what became of each object. Projects go first: a session has no place before.
func sync(t *testing.T, name, text string, adjust ...func(*ssa.ApplyOptions)) map[string]ssa.Action {
	t.Helper()
	objects := manifests(t, text)
	manager.SetOwnerLabels(objects, name, "flux-system")
	options := ssa.DefaultApplyOptions()
	options.CustomStageKinds = map[schema.GroupKind]struct{}{{Group: "ambient.io", Kind: "Project"}: {}}
	for _, change := range adjust {
		change(&options)
	}
	changes, err := manager.ApplyAllStaged(t.Context(), objects, options)
	if err != nil {
		t.Fatalf("applying: %v", err)
	}
	actions := map[string]ssa.Action{}
	for _, entry := range changes.Entries {
		actions[entry.Subject] = entry.Action
	}
	return actions
}

// awaitAll waits as Flux does until all that Git holds is as it should be.
func awaitAll(t *testing.T, text string) {
	t.Helper()
	if err := manager.Wait(manifests(t, text), ssa.WaitOptions{Interval: interval, Timeout: patience, FailFast: true}); err != nil {
		t.Fatalf("waiting: %v", err)
	}
}

// all returns the same action for every object of the manifests.
func all(t *testing.T, text string, action ssa.Action) map[string]ssa.Action {
	t.Helper()
	actions := map[string]ssa.Action{}
	for _, object := range manifests(t, text) {
		actions[utils.FmtUnstructured(object)] = action
	}
	return actions
}

func expectActions(t *testing.T, what string, got, want map[string]ssa.Action) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// versions returns the resource versions of the objects of the manifests.
func versions(t *testing.T, text string) map[string]string {
	t.Helper()
	result := map[string]string{}
	for _, object := range manifests(t, text) {
		result[utils.FmtUnstructured(object)] = read(t, object).GetResourceVersion()
	}
	return result
}

func TestASecondSyncWritesNothing(t *testing.T) {
	const name = "second-sync"
	text := repository(name)
	expectActions(t, "first sync", sync(t, name, text), all(t, text, ssa.CreatedAction))
	awaitAll(t, text)

	writes, held := settled(t), versions(t, text)
	expectActions(t, "second sync", sync(t, name, text), all(t, text, ssa.UnchangedAction))
	// Nor does applying what the comparison would have left out.
	for _, object := range manifests(t, text) {
		manager.SetOwnerLabels([]*unstructured.Unstructured{object}, name, "flux-system")
		if err := kube.Patch(t.Context(), object, client.Apply, client.FieldOwner(owner), client.ForceOwnership); err != nil {
			t.Fatalf("applying %s: %v", utils.FmtUnstructured(object), err)
		}
	}
	if after := settled(t); after != writes {
		t.Errorf("the second sync made %d writes upstream", after-writes)
	}
	if now := versions(t, text); !maps.Equal(now, held) {
		t.Errorf("resource versions were %v and are %v", held, now)
	}

	changed := strings.Replace(text, "spec: {prompt: Say hello}", "spec: {prompt: Say hello, displayName: First}", 1)
	want := all(t, text, ssa.UnchangedAction)
	want["Session/"+name+"/first"] = ssa.ConfiguredAction
	expectActions(t, "a changed session", sync(t, name, changed), want)
	awaitAll(t, changed)
	expectActions(t, "afterwards", sync(t, name, changed), all(t, text, ssa.UnchangedAction))
	if now := field[string](t, read(t, manifests(t, session(name, "first"))[0]), "spec", "displayName"); now != "First" {
		t.Errorf("the session's name is %q", now)
	}
}

// The document tells Flux's users to keep Projects in a Kustomization of their own,
// since all objects of one are tried before any is made.
func TestASessionHasNoPlaceBeforeItsProject(t *testing.T) {
	const name = "no-place"
	text := repository(name)
	if _, err := manager.ApplyAllStaged(t.Context(), manifests(t, text), ssa.DefaultApplyOptions()); err == nil || !strings.Contains(err.Error(), "dry-run failed") {
		t.Errorf("applying all at once ended with %v", err)
	}
	for _, part := range []string{project(name, ""), strings.TrimPrefix(text, project(name, ""))} {
		expectActions(t, "one after the other", sync(t, name, part), all(t, part, ssa.CreatedAction))
	}
}

func TestWhatTheServerFillsInIsNoDifference(t *testing.T) {
	const name = "filled-in"
	text := repository(name)
	sync(t, name, text)
	awaitAll(t, text)
	filled := 0
	for _, object := range manifests(t, text) {
		manager.SetOwnerLabels([]*unstructured.Unstructured{object}, name, "flux-system")
		filled += len(field[map[string]any](t, read(t, object), "spec")) - len(field[map[string]any](t, object, "spec"))
		entry, live, merged, err := manager.Diff(t.Context(), object, ssa.DefaultDiffOptions())
		if err != nil {
			t.Fatalf("comparing %s: %v", utils.FmtUnstructured(object), err)
		}
		if entry.Action != ssa.UnchangedAction {
			t.Errorf("%s is %s: there is %v, to be %v", entry.Subject, entry.Action, live, merged)
		}
	}
	if filled < 1 {
		t.Error("the server has filled nothing in, so this proves nothing")
	}
}

func TestPruningDeletes(t *testing.T) {
	const name = "pruned"
	text := repository(name)
	sync(t, name, text)
	awaitAll(t, text)
	prune := func(text string, inclusions map[string]string) map[string]ssa.Action {
		t.Helper()
		options := ssa.DefaultDeleteOptions()
		options.Inclusions = inclusions
		changes, err := manager.DeleteAll(t.Context(), manifests(t, text), options)
		if err != nil {
			t.Fatalf("pruning: %v", err)
		}
		actions := map[string]ssa.Action{}
		for _, entry := range changes.Entries {
			actions[entry.Subject] = entry.Action
		}
		return actions
	}
	one := session(name, "second")
	expectActions(t, "what belongs to another", prune(one, manager.GetOwnerLabels("other", "flux-system")), all(t, one, ssa.SkippedAction))
	mine := manager.GetOwnerLabels(name, "flux-system")
	expectActions(t, "one session", prune(one, mine), all(t, one, ssa.DeletedAction))
	gone(t, manifests(t, one)[0])
	read(t, manifests(t, session(name, "first"))[0])

	expectActions(t, "all", prune(text, mine), all(t, text, ssa.DeletedAction))
	if err := manager.WaitForTermination(manifests(t, text), ssa.WaitOptions{Interval: interval, Timeout: patience}); err != nil {
		t.Errorf("waiting for the end: %v", err)
	}
}

func TestListsHaveAVersionAndAnOrder(t *testing.T) {
	const name = "listed"
	text := project(name, elsewhere) + settings(name)
	for _, letter := range []string{"c", "a", "d", "b"} {
		text += session(name, letter)
	}
	create(t, text)
	for _, kind := range []string{"Project", "Session", "ProjectSettings"} {
		list := func() (string, []string) {
			found := &unstructured.UnstructuredList{}
			found.SetGroupVersionKind(schema.GroupVersionKind{Group: "ambient.io", Version: "v1alpha1", Kind: kind + "List"})
			if err := kube.List(t.Context(), found); err != nil {
				t.Fatalf("listing: %v", err)
			}
			var names []string
			for i := range found.Items {
				names = append(names, fmt.Sprintf("%s/%s", found.Items[i].GetNamespace(), found.Items[i].GetName()))
			}
			return found.GetResourceVersion(), names
		}
		version, first := list()
		if version == "" || version == "0" {
			t.Errorf("a list of kind %s has the resource version %q", kind, version)
		}
		if len(first) == 0 || !slices.IsSorted(first) {
			t.Errorf("a list of kind %s is not in order: %v", kind, first)
		}
		if _, second := list(); !slices.Equal(first, second) {
			t.Errorf("a list of kind %s had the order %v and has %v", kind, first, second)
		}
	}
}

// What the document tells Flux to leave alone stays as others made it.
func TestIgnoreRules(t *testing.T) {
	const name = "ignored"
	text := repository(name)
	sync(t, name, text)
	awaitAll(t, text)
	first := manifests(t, session(name, "first"))[0]
	edit := func() { patch(t, first.DeepCopy(), "spec: {prompt: Somebody else's}", client.FieldOwner("somebody")) }
	prompt := func() string {
		return field[string](t, read(t, first), "spec", "prompt")
	}

	edit()
	want := all(t, text, ssa.UnchangedAction)
	want["Session/"+name+"/first"] = ssa.ConfiguredAction
	expectActions(t, "without a rule", sync(t, name, text), want)
	if prompt() != "Say hello" {
		t.Errorf("without a rule the prompt is %q", prompt())
	}

	edit()
	rules := configuration(t, "Session").GetAnnotations()
	if len(rules) != 1 {
		t.Fatalf("the document's session has the annotations %v, want one rule", rules)
	}
	ignored := strings.ReplaceAll(text, "kind: Session\nmetadata: {", fmt.Sprintf("kind: Session\nmetadata: {annotations: {%s}, ", pair(rules)))
	want["Session/"+name+"/first"], want["Session/"+name+"/second"] = ssa.SkippedAction, ssa.SkippedAction
	expectActions(t, "with a rule", sync(t, name, ignored, func(options *ssa.ApplyOptions) {
		// What Flux's controller always sets.
		options.IfNotPresentSelector = map[string]string{ownerGroup + "/ssa": "IfNotPresent"}
	}), want)
	if prompt() != "Somebody else's" {
		t.Errorf("with a rule the prompt is %q", prompt())
	}
}

// pair returns the one pair of a map as YAML.
func pair(values map[string]string) string {
	for key, value := range values {
		return fmt.Sprintf("%s: %q", key, value)
	}
	return ""
}
