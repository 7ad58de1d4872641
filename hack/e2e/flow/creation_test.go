package flow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

func TestASessionCreatedUpstreamIsRun(t *testing.T) {
	project := stand.Name(t)
	watching := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", project, "-w", "--output-watch-events", "--no-headers")
	resources, spaces, keys := record(t, agenticSessions, ""), record(t, namespaces, ""), record(t, secrets, "")

	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: project}); err != nil {
		t.Fatalf("creating a project upstream: %v", err)
	}
	prompt, repositories := "Say hello", `[{"url":"https://example.com/a.git","branch":"main"}]`
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "From upstream", Prompt: &prompt, Repos: &repositories, ProjectId: &project})
	id := row.GetMetadata().GetId()
	name := strings.ToLower(id)

	t.Run("an open watch sees it come and run", func(t *testing.T) {
		watching.AwaitLine(t, "ADDED", name)
		watching.AwaitLine(t, "MODIFIED", name, "Running")
	})
	t.Run("the namespace is open and has its secret before the AgenticSession is made", func(t *testing.T) {
		resource := resources.first(t, "the AgenticSession", name, func(*unstructured.Unstructured) bool { return true })
		if resource.GetNamespace() != project || resource.GetLabels()[sessionIDLabel] != id {
			t.Errorf("the AgenticSession is %s/%s with labels %v", resource.GetNamespace(), resource.GetName(), resource.GetLabels())
		}
		space := spaces.first(t, "the namespace with its labels", project, func(state *unstructured.Unstructured) bool {
			labels := state.GetLabels()
			return labels["ambient-code.io/managed"] == "true" && labels["ambient-code.io/project-id"] == project && labels["ambient-code.io/managed-by"] != ""
		})
		secret := keys.first(t, "the secret", "ambient-runner-secrets", func(state *unstructured.Unstructured) bool { return state.GetNamespace() == project })
		if version(t, space) > version(t, resource) || version(t, secret) > version(t, resource) {
			t.Errorf("the namespace was open at %d and had its secret at %d; the AgenticSession was made at %d", version(t, space), version(t, secret), version(t, resource))
		}
	})
	t.Run("what the operator says reaches the upstream", func(t *testing.T) {
		resource := running(t, id)
		awaitRow(t, id, "tells of the run", func(row *ambientv1.Session) error { return tells(row, resource) })
	})
	t.Run("and Kubernetes", func(t *testing.T) {
		resource := awaitResource(t, id, v1alpha1.SessionRunning)
		var session *v1alpha1.Session
		harness.Eventually(t, "the session is ready", func() error {
			session = getSession(t, project, name)
			return hasCondition(session.Status.Conditions, "Ready", metav1.ConditionTrue, "Running")
		})
		status := session.Status
		if reference := status.AgenticSession; reference == nil || reference.Namespace != project || reference.Name != name || reference.UID != resource.GetUID() {
			t.Errorf("it refers to %+v", reference)
		}
		if status.StartTime == nil || status.StartTime.UTC().Format("2006-01-02T15:04:05Z") != text(resource, "status", "startTime") {
			t.Errorf("it started at %v, and at %s as the operator says", status.StartTime, text(resource, "status", "startTime"))
		}
		if len(status.Repositories) != 1 || status.Repositories[0].URL != "https://example.com/a.git" || status.Repositories[0].Status != "Ready" {
			t.Errorf("the repositories are %+v", status.Repositories)
		}
		if status.ObservedGeneration != session.Generation {
			t.Errorf("generation %d is observed, present is %d", status.ObservedGeneration, session.Generation)
		}
		for kind, reason := range map[string]string{"Projected": "Projected", "SecretsReady": "AllRequiredSecretsFound", "PodCreated": "PodCreated", "RunnerStarted": "ContainerRunning"} {
			if err := hasCondition(status.Conditions, kind, metav1.ConditionTrue, reason); err != nil {
				t.Errorf("condition %s: %v", kind, err)
			}
		}
	})
	checkLaunches(t, project, map[string]launches{name: {Prompts: 1, Runners: 1}})
}

// tells returns an error unless the row tells what the AgenticSession does.
func tells(row *ambientv1.Session, resource *unstructured.Unstructured) error {
	if row.GetKubeCrUid() != string(resource.GetUID()) || row.GetKubeNamespace() != resource.GetNamespace() {
		return fmt.Errorf("it names AgenticSession %s in %s", row.GetKubeCrUid(), row.GetKubeNamespace())
	}
	if got, want := row.GetStartTime().AsTime().Format("2006-01-02T15:04:05Z"), text(resource, "status", "startTime"); row.StartTime == nil || got != want {
		return fmt.Errorf("the start is %s, want %s", got, want)
	}
	var conditions []struct{ Type, Status, Reason string }
	if err := json.Unmarshal([]byte(row.GetConditions()), &conditions); err != nil {
		return fmt.Errorf("the conditions %s: %w", row.GetConditions(), err)
	}
	reported, _, err := unstructured.NestedSlice(resource.Object, "status", "conditions")
	if err != nil || len(reported) == 0 {
		return fmt.Errorf("the operator's conditions are %v, %w", reported, err)
	}
	for _, entry := range reported {
		want := entry.(map[string]any)
		if want["type"] == "Ready" {
			// Ours says whether the session is as it was asked to be.
			continue
		}
		found := slices.ContainsFunc(conditions, func(condition struct{ Type, Status, Reason string }) bool {
			return condition.Type == want["type"] && condition.Status == want["status"] && condition.Reason == want["reason"]
		})
		if !found {
			return fmt.Errorf("the conditions are %+v and lack %v", conditions, want)
		}
	}
	var repositories []map[string]any
	if err := json.Unmarshal([]byte(row.GetReconciledRepos()), &repositories); err != nil {
		return fmt.Errorf("the repositories %q: %w", row.GetReconciledRepos(), err)
	}
	if len(repositories) != 1 || repositories[0]["url"] != "https://example.com/a.git" || repositories[0]["status"] != "Ready" {
		return fmt.Errorf("the repositories are %v", repositories)
	}
	return nil
}

const everything = `
apiVersion: ambient.io/v1alpha1
kind: Session
metadata:
  name: full
  namespace: %[1]s
  labels: {team: blue}
  annotations: {note: kept, argocd.argoproj.io/tracking-id: x, ambient-code.io/desired-phase: Stopped}
spec:
  displayName: Everything
  prompt: Say hello
  repositories:
  - {url: https://example.com/a.git, branch: work, autoPush: true}
  - {url: https://example.com/b.git, name: second}
  workflow: {gitURL: https://example.com/flow.git, branch: stable, path: flows/one}
  llm: {model: some-model, temperature: 0, maxTokens: 1000}
  timeoutSeconds: 600
  environment: {GREETING: hello, NAMESPACE: forged}
  parentSessionID: %[2]s
  resourceOverrides: {cpu: "2"}
  botAccountName: robot
`

func TestASessionCreatedByKubectlIsRun(t *testing.T) {
	project := stand.NewProject(t)
	parent := newUpstreamSession(t, project, "Parent")
	stand.KubectlWithInput(t, fmt.Sprintf(everything, project, parent), "create", "-f", "-")
	stand.Kubectl(t, "wait", "sessions.ambient.io/full", "-n", project, "--for=jsonpath={.status.phase}=Running", "--timeout=60s")

	session := getSession(t, project, "full")
	id := session.Status.SessionID
	row := stand.Upstream.Session(t, id)
	if row.GetName() != "Everything" || row.GetPrompt() != "Say hello" || row.GetProjectId() != project || row.GetLlmModel() != "some-model" || row.GetTimeout() != 600 {
		t.Errorf("the row is %v", row)
	}
	resource := awaitResource(t, id, v1alpha1.SessionRunning)
	if resource.GetNamespace() != project {
		t.Errorf("the AgenticSession is in namespace %s", resource.GetNamespace())
	}
	name := resource.GetName()
	wantSpec := map[string]any{
		"displayName":   "Everything",
		"initialPrompt": "Say hello",
		"timeout":       int64(600),
		"repos": []any{
			map[string]any{"url": "https://example.com/a.git", "branch": "work", "autoPush": true},
			map[string]any{"url": "https://example.com/b.git", "branch": "ambient/" + name, "autoPush": false},
		},
		"activeWorkflow":       map[string]any{"gitUrl": "https://example.com/flow.git", "branch": "stable", "path": "flows/one"},
		"llmSettings":          map[string]any{"model": "some-model", "temperature": int64(0), "maxTokens": int64(1000)},
		"environmentVariables": map[string]any{"GREETING": "hello"},
		"userContext":          map[string]any{"userId": session.Spec.CreatedBy},
	}
	if spec := resource.Object["spec"]; !reflect.DeepEqual(spec, wantSpec) {
		t.Errorf("the spec is\n%v, want\n%v", spec, wantSpec)
	}
	if session.Spec.CreatedBy == "" {
		t.Error("nobody created the session")
	}
	wantLabels := map[string]string{
		"team": "blue", sessionIDLabel: id, "ambient-code.io/project-id": project, "ambient-code.io/managed-by": "ambient-kube-reconciler",
	}
	if labels := resource.GetLabels(); !reflect.DeepEqual(labels, wantLabels) {
		t.Errorf("the labels are %v, want %v", labels, wantLabels)
	}
	wantAnnotations := map[string]string{"note": "kept", "ambient.io/session-name": "full", "vteam.ambient-code/parent-session-id": parent}
	if annotations := resource.GetAnnotations(); !reflect.DeepEqual(annotations, wantAnnotations) {
		t.Errorf("the annotations are %v, want %v", annotations, wantAnnotations)
	}
	for _, entry := range resource.GetManagedFields() {
		if entry.Manager == "ambient-kube-reconciler" && entry.Operation != metav1.ManagedFieldsOperationApply {
			t.Errorf("the reconciler wrote by %s", entry.Operation)
		}
	}
	projected := awaitCondition(t, project, "full", "Projected", metav1.ConditionTrue, "PartlyProjected")
	for _, condition := range projected.Status.Conditions {
		if condition.Type == "Projected" {
			harness.Contains(t, condition.Message, "spec.botAccountName", "spec.resourceOverrides", "spec.environment[NAMESPACE]", "spec.repositories[1].name")
		}
	}
	checkLaunches(t, project, map[string]launches{name: {Prompts: 1, Runners: 1}, strings.ToLower(parent): {Prompts: 1, Runners: 1}})
}

func TestADeletionOnEitherSideTakesTheAgenticSessionAway(t *testing.T) {
	project := stand.NewProject(t)
	upstream, kubectl := newUpstreamSession(t, project, "Deleted upstream"), stand.NewSession(t, project, "deleted-by-kubectl").Status.SessionID
	watching := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", project, "-w", "--output-watch-events", "--no-headers")
	// A watch that lists after a deletion tells nothing of it.
	watching.AwaitLine(t, "ADDED", strings.ToLower(upstream))
	running(t, upstream)
	running(t, kubectl)

	stand.Upstream.DeleteSession(t, upstream)
	watching.AwaitLine(t, "DELETED", strings.ToLower(upstream))
	awaitNoResource(t, upstream)

	stand.Kubectl(t, "delete", "sessions.ambient.io", "deleted-by-kubectl", "-n", project)
	awaitGone(t, kubectl)
	awaitNoResource(t, kubectl)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d rows are left", len(rows))
	}
	checkLaunches(t, project, map[string]launches{strings.ToLower(upstream): {1, 1}, strings.ToLower(kubectl): {1, 1}})
}

func TestAChangeOnEitherSideReachesTheOther(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "changing").Status.SessionID
	uid := running(t, id).GetUID()

	prompt, labels, timeout := "Say goodbye", `{"team":"red"}`, int32(1200)
	_, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: id, Prompt: &prompt, Labels: &labels, Timeout: &timeout})
	if err != nil {
		t.Fatal(err)
	}
	awaitResourceState(t, id, "has what was changed upstream", func(resource *unstructured.Unstructured) bool {
		seconds, _, err := unstructured.NestedInt64(resource.Object, "spec", "timeout")
		return err == nil && seconds == 1200 && text(resource, "spec", "initialPrompt") == "Say goodbye" && resource.GetLabels()["team"] == "red"
	})
	harness.Eventually(t, "kubectl shows what was changed upstream", func() error {
		if session := getSession(t, project, "changing"); session.Spec.Prompt != prompt || session.Labels["team"] != "red" {
			return fmt.Errorf("it shows %q and %v", session.Spec.Prompt, session.Labels)
		}
		return nil
	})

	stand.Kubectl(t, "label", "sessions.ambient.io", "changing", "-n", project, "team-", "stage=late")
	stand.Kubectl(t, "annotate", "sessions.ambient.io", "changing", "-n", project, "note=by hand")
	stand.Kubectl(t, "patch", "sessions.ambient.io", "changing", "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"Say nothing","displayName":"Changed"}}`)
	row := stand.Upstream.Session(t, id)
	if row.GetPrompt() != "Say nothing" || row.GetName() != "Changed" || strings.Contains(row.GetLabels(), "team") || !strings.Contains(row.GetLabels(), "late") || !strings.Contains(row.GetAnnotations(), "by hand") {
		t.Errorf("the row is %v", row)
	}
	resource := awaitResourceState(t, id, "has what was changed by kubectl", func(resource *unstructured.Unstructured) bool {
		_, team := resource.GetLabels()["team"]
		return text(resource, "spec", "initialPrompt") == "Say nothing" && text(resource, "spec", "displayName") == "Changed" &&
			!team && resource.GetLabels()["stage"] == "late" && resource.GetAnnotations()["note"] == "by hand"
	})
	stand.Kubectl(t, "annotate", "sessions.ambient.io", "changing", "-n", project, "note-")
	awaitResourceState(t, id, "lacks what was removed by kubectl", func(resource *unstructured.Unstructured) bool {
		_, found := resource.GetAnnotations()["note"]
		return !found
	})
	if resource.GetUID() != uid {
		t.Error("the AgenticSession is another one")
	}
	harness.Eventually(t, "the operator has seen the last generation", func() error {
		if session := getSession(t, project, "changing"); session.Status.ObservedGeneration != session.Generation || session.Status.Phase != v1alpha1.SessionRunning {
			return fmt.Errorf("it saw %d of %d, in phase %s", session.Status.ObservedGeneration, session.Generation, session.Status.Phase)
		}
		return nil
	})
	checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 1}})
}

// awaitResourceState waits until the only AgenticSession of a session matches.
func awaitResourceState(t *testing.T, id, what string, matches func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	harness.Eventually(t, "the AgenticSession of "+id+" "+what, func() error {
		items, err := resourcesOf(t, id)
		if err != nil {
			return err
		}
		if len(items) != 1 || !matches(&items[0]) {
			return fmt.Errorf("it is %v", items)
		}
		found = &items[0]
		return nil
	})
	return found
}
