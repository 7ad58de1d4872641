package flow

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// patchResource changes an AgenticSession as a user whom the webhook lets: people
// are refused what would be healed.
func patchResource(t *testing.T, resource *unstructured.Unstructured, patch string) {
	t.Helper()
	config := rest.CopyConfig(stand.Stack.Config())
	config.Impersonate = rest.ImpersonationConfig{UserName: stack.UserName(stack.OperatorAccount), Groups: []string{"system:masters"}}
	exempt, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client := exempt.Resource(agenticSessions).Namespace(resource.GetNamespace())
	if _, err := client.Patch(t.Context(), resource.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "somebody"}); err != nil {
		t.Fatalf("changing AgenticSession %s: %v", resource.GetName(), err)
	}
}

func TestEditsByHandAreHealed(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	resources := record(t, agenticSessions, project)

	edits := []struct {
		name, patch string
		healed      func(*unstructured.Unstructured) bool
	}{
		{"the prompt", `{"spec":{"initialPrompt":"Do something else"}}`, func(r *unstructured.Unstructured) bool {
			return text(r, "spec", "initialPrompt") == "Say hello"
		}},
		{"the model, taken away", `{"spec":{"llmSettings":null}}`, func(r *unstructured.Unstructured) bool {
			return text(r, "spec", "llmSettings", "model") == text(resource, "spec", "llmSettings", "model")
		}},
		{"the project's label", `{"metadata":{"labels":{"ambient-code.io/project-id":"another"}}}`, func(r *unstructured.Unstructured) bool {
			return r.GetLabels()["ambient-code.io/project-id"] == project
		}},
		{"the name's annotation", `{"metadata":{"annotations":{"ambient.io/session-name":null}}}`, func(r *unstructured.Unstructured) bool {
			return r.GetAnnotations()["ambient.io/session-name"] == "worker"
		}},
		{"the session's label", `{"metadata":{"labels":{"ambient.io/session-id":null}}}`, func(r *unstructured.Unstructured) bool {
			return r.GetLabels()[sessionIDLabel] == id
		}},
	}
	patchResource(t, resource, `{"spec":{"inactivityTimeout":77},"metadata":{"labels":{"theirs":"kept"}}}`)
	for _, edit := range edits {
		patchResource(t, resource, edit.patch)
		awaitResourceState(t, id, "is healed: "+edit.name, edit.healed)
	}
	healed := awaitResource(t, id, v1alpha1.SessionRunning)
	if seconds, _, err := unstructured.NestedInt64(healed.Object, "spec", "inactivityTimeout"); err != nil || seconds != 77 || healed.GetLabels()["theirs"] != "kept" {
		t.Errorf("what is not ours was changed: %v", healed.Object)
	}
	for _, event := range resources.all() {
		if event.Type != watch.Modified {
			t.Errorf("an AgenticSession was %s", event.Type)
		}
	}
	harness.Eventually(t, "an event tells of it", func() error {
		list, err := stand.Kubernetes.CoreV1().Events(project).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Reason == "Healed" && event.InvolvedObject.Kind == "Session" && event.InvolvedObject.Name == "worker" {
				return nil
			}
		}
		return fmt.Errorf("none of %d events does", len(list.Items))
	})
	checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 1}})
}

// A list is a value as a whole: who changes what the session leaves out of it takes it
// from us, and so does who changes it and changes it back.
func TestRepositoriesStayTheSessions(t *testing.T) {
	project := stand.NewProject(t)
	const url = "https://example.com/a.git"
	created, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Create(t.Context(), &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: "worker"},
		Spec:       v1alpha1.SessionSpec{Prompt: "Say hello", Repositories: []v1alpha1.Repository{{URL: url}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := created.Status.SessionID
	resource := running(t, id)
	pushes := func(r *unstructured.Unstructured) bool {
		repositories, _, err := unstructured.NestedSlice(r.Object, "spec", "repos")
		return err == nil && len(repositories) == 1 && repositories[0].(map[string]any)["autoPush"] == true
	}
	edit := func(push bool) {
		t.Helper()
		patchResource(t, resource, fmt.Sprintf(`{"spec":{"repos":[{"url":%q,"branch":"ambient/%s","autoPush":%t}]}}`, url, resource.GetName(), push))
	}
	edit(true)
	awaitResourceState(t, id, "is not pushed from", func(r *unstructured.Unstructured) bool { return !pushes(r) && owns(r, "spec", "repos") })

	terminate(t, stand.Stack.Reconciler)
	edit(true)
	edit(false)
	harness.Restart(t, stand.Stack.Reconciler)
	healed := awaitResourceState(t, id, "is the session's again", func(r *unstructured.Unstructured) bool { return !pushes(r) && owns(r, "spec", "repos") })

	// Nothing is left to do for whoever looks next.
	terminate(t, stand.Stack.Reconciler)
	harness.Restart(t, stand.Stack.Reconciler)
	running(t, stand.NewSession(t, project, "later").Status.SessionID)
	if after := running(t, id); after.GetResourceVersion() != healed.GetResourceVersion() {
		t.Errorf("version %s of the AgenticSession became %s: %v", healed.GetResourceVersion(), after.GetResourceVersion(), after.GetManagedFields())
	}

	stand.Kubectl(t, "patch", "sessions.ambient.io", "worker", "-n", project, "--type=merge", "-p", `{"spec":{"repositories":null}}`)
	awaitResourceState(t, id, "has no repository", func(r *unstructured.Unstructured) bool {
		_, found, err := unstructured.NestedSlice(r.Object, "spec", "repos")
		return err == nil && !found
	})
}

// owns tells whether the reconciler has applied the field.
func owns(resource *unstructured.Unstructured, path ...string) bool {
	for i := range path {
		path[i] = "f:" + path[i]
	}
	for _, entry := range resource.GetManagedFields() {
		var owned map[string]any
		if entry.Operation != metav1.ManagedFieldsOperationApply || entry.Manager != "ambient-kube-reconciler" || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &owned) != nil {
			continue
		}
		if _, found, err := unstructured.NestedMap(owned, path...); found && err == nil {
			return true
		}
	}
	return false
}

func TestDecision20ALostAgenticSessionIsNotRunAgainUnasked(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	name := strings.ToLower(id)
	first := running(t, id)
	resources := record(t, agenticSessions, project)
	stand.Kubectl(t, "delete", "agenticsessions.vteam.ambient-code", name, "-n", project)
	awaitPhase(t, id, v1alpha1.SessionStopped)
	awaitCondition(t, project, "worker", "Projected", metav1.ConditionFalse, "CustomResourceLost")
	// A later session has been through the whole way, and this one was left alone.
	later := stand.NewSession(t, project, "later").Status.SessionID
	running(t, later)
	awaitNoResource(t, id)
	for _, event := range resources.all() {
		if resource := event.Object.(*unstructured.Unstructured); resource.GetName() == name && event.Type == watch.Added {
			t.Error("the AgenticSession was made again")
		}
	}
	checkLaunches(t, project, map[string]launches{name: {Prompts: 1, Runners: 1}, strings.ToLower(later): {Prompts: 1, Runners: 1}})

	mustAct(t, project, "worker", "start")
	second := running(t, id)
	if second.GetUID() == first.GetUID() {
		t.Error("the AgenticSession is the one that was deleted")
	}
	awaitCondition(t, project, "worker", "Projected", metav1.ConditionTrue, "Projected")
}
