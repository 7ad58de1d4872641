package flow

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const (
	customResource = "agenticsessions.vteam.ambient-code"
	projectLabel   = "ambient-code.io/project-id"
	goneMark       = "ambient.io/project-gone"
)

// newLabelledNamespace makes a namespace that says that it is a project's and that
// the project is gone, which the cluster's policy believes.
func newLabelledNamespace(t *testing.T, project string) string {
	t.Helper()
	name := stand.Name(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{projectLabel: project}, Annotations: map[string]string{goneMark: "true"},
	}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return name
}

func awaitNoNamespace(t *testing.T, name string) {
	t.Helper()
	harness.Eventually(t, "namespace "+name+" is gone", func() error {
		_, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if err == nil {
			return errors.New("it is there")
		}
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading it: %w", err)
		}
		return nil
	})
}

func patchByKubectl(t *testing.T, resource, name, namespace, patch string) harness.Output {
	t.Helper()
	return stand.TryKubectl(t, "", "patch", resource, name, "-n", namespace, "--type=merge", "-p", patch)
}

func TestPeopleAreToldWhereToChangeASession(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	name := resource.GetName()

	refusal := func(field string) string {
		return fmt.Sprintf(`Error from server (Forbidden): admission webhook "agenticsessions.ambient.io" denied the request: `+
			"AgenticSession %s/%s is made from Session %s/worker, which says what %s is. "+
			"Change the Session instead: kubectl edit sessions.ambient.io worker -n %s\n", project, name, project, field, project)
	}
	for field, patch := range map[string]string{
		"spec.initialPrompt":                            `{"spec":{"initialPrompt":"Do harm"}}`,
		"spec.displayName":                              `{"spec":{"displayName":null}}`,
		"metadata.labels[ambient.io/session-id]":        `{"metadata":{"labels":{"ambient.io/session-id":null}}}`,
		"metadata.labels[ambient-code.io/project-id]":   `{"metadata":{"labels":{"ambient-code.io/project-id":"other"}}}`,
		"metadata.annotations[ambient.io/session-name]": `{"metadata":{"annotations":{"ambient.io/session-name":"other"}}}`,
		"spec.displayName, spec.initialPrompt":          `{"spec":{"displayName":"x","initialPrompt":"y","inactivityTimeout":5}}`,
		"spec.llmSettings.maxTokens, spec.llmSettings.model, spec.llmSettings.temperature": `{"spec":{"llmSettings":null}}`,
	} {
		output := patchByKubectl(t, customResource, name, project, patch)
		if output.ExitCode == 0 || output.Stderr != refusal(field) {
			t.Errorf("%s: exit code %d, %swant %s", patch, output.ExitCode, output.Stderr, refusal(field))
		}
	}
	forced := fmt.Sprintf("apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\nmetadata: {name: %s, namespace: %s}\nspec: {initialPrompt: Do harm}\n", name, project)
	if output := stand.KubectlFails(t, forced, "apply", "--server-side", "--force-conflicts", "-f", "-"); output.Stderr != refusal("spec.initialPrompt") {
		t.Errorf("a forced apply: %s", output.Stderr)
	}

	// What is not ours is anybody's, and a deletion is never refused.
	stand.Kubectl(t, "patch", customResource, name, "-n", project, "--type=merge", "-p", `{"spec":{"inactivityTimeout":77},"metadata":{"labels":{"theirs":"kept"}}}`)
	stand.Kubectl(t, "patch", customResource, name, "-n", project, "--type=merge", "--subresource=status", "-p", `{"status":{"sdkSessionId":"by-hand"}}`)
	stand.Kubectl(t, "delete", customResource, name, "-n", project, "--dry-run=server")

	// The way that the message tells is one.
	stand.Kubectl(t, "patch", "sessions.ambient.io", "worker", "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"Do good"}}`)
	awaitResourceState(t, id, "has the new prompt", func(r *unstructured.Unstructured) bool { return text(r, "spec", "initialPrompt") == "Do good" })
}

func TestAWrongMarkDeletesNoNamespace(t *testing.T) {
	project := stand.NewProject(t)
	awaitOpen(t, project)
	name := newLabelledNamespace(t, project)
	want := fmt.Sprintf(`Error from server (Forbidden): admission webhook "project-namespaces.ambient.io" denied the request: `+
		"namespace %s belongs to project %s, which exists: deleting it would delete the project's sessions from the system of record. "+
		"Delete the project instead (kubectl delete projects.ambient.io %s), or allow it: kubectl annotate namespace %s ambient.io/allow-cascade=true\n", name, project, project, name)
	if output := stand.KubectlFails(t, "", "delete", "namespace", name); output.Stderr != want {
		t.Errorf("%s, want %s", output.Stderr, want)
	}
	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	stand.Kubectl(t, "delete", "namespace", name, "--wait=false")
	awaitNoNamespace(t, name)
}

// Whoever depends on the webhooks goes on without them; only a project's
// namespace is kept.
func TestWithoutTheWebhooks(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	marked := newLabelledNamespace(t, project)
	allowed := newLabelledNamespace(t, project)
	stand.Kubectl(t, "annotate", "namespace", allowed, "ambient.io/allow-cascade=true")
	unrelated := stand.Name(t)
	stand.Kubectl(t, "create", "namespace", unrelated)

	harness.Kill(t, stand.Stack.Reconciler)
	t.Run("an edit is accepted", func(t *testing.T) {
		if output := patchByKubectl(t, customResource, resource.GetName(), project, `{"spec":{"initialPrompt":"Do harm"}}`); output.ExitCode != 0 {
			t.Errorf("%s", output.Stderr)
		}
	})
	t.Run("the operator writes", func(t *testing.T) {
		if output := patchByKubectl(t, customResource, resource.GetName(), project, `{"metadata":{"annotations":{"ambient-code.io/desired-phase":"Stopped"}}}`); output.ExitCode != 0 {
			t.Fatalf("%s", output.Stderr)
		}
		awaitResourceState(t, id, "is stopped and asked for nothing more", func(r *unstructured.Unstructured) bool {
			return phaseOf(r) == string(v1alpha1.SessionStopped) && desired(r) == ""
		})
	})
	t.Run("namespaces that are no project's go", func(t *testing.T) {
		for _, name := range []string{unrelated, allowed} {
			stand.Kubectl(t, "delete", "namespace", name, "--wait=false")
			awaitNoNamespace(t, name)
		}
	})
	t.Run("a project's namespace stays", func(t *testing.T) {
		harness.Contains(t, stand.KubectlFails(t, "", "delete", "namespace", project).Stderr,
			"ValidatingAdmissionPolicy 'ambient-project-namespaces'", "belongs to the project "+project, "ambient.io/allow-cascade=true")
		harness.Contains(t, stand.KubectlFails(t, "", "delete", "namespace", marked).Stderr,
			`failed calling webhook "project-namespaces.ambient.io"`)
		for _, name := range []string{project, marked} {
			if held := getNamespace(t, name); held.DeletionTimestamp != nil {
				t.Errorf("namespace %s is being deleted", name)
			}
		}
	})

	harness.Restart(t, stand.Stack.Reconciler)
	awaitResourceState(t, id, "is healed", func(r *unstructured.Unstructured) bool { return text(r, "spec", "initialPrompt") == "Say hello" })
	if output := patchByKubectl(t, customResource, resource.GetName(), project, `{"spec":{"initialPrompt":"Do harm"}}`); !strings.Contains(output.Stderr, "Change the Session instead") {
		t.Errorf("with the webhooks back: %+v", output)
	}
	awaitPhase(t, id, v1alpha1.SessionStopped)
	harness.Contains(t, stand.KubectlFails(t, "", "delete", "namespace", marked).Stderr, "which exists")
}

// What reaches no agent is told at once, to whoever asks for it, and later on the
// session, in the same words.
func TestWhatReachesNoAgentIsTold(t *testing.T) {
	project := stand.NewProject(t)
	manifest := func(account string) string {
		return fmt.Sprintf(`apiVersion: ambient.io/v1alpha1
kind: Session
metadata: {name: worker, namespace: %s}
spec:
  prompt: Say hello
  botAccountName: %s
  resourceOverrides: {cpu: "2"}
  workflow: {id: "7"}
  repositories: [{url: "https://example.com/a.git", name: there}]
  environment: {S3_BUCKET: hidden, TOKEN: hidden}
`, project, account)
	}
	output := stand.KubectlWithInput(t, manifest("robot"), "apply", "--server-side", "-f", "-")
	lost := []string{"spec.botAccountName", "spec.environment[S3_BUCKET]", "spec.repositories[0].name", "spec.resourceOverrides", "spec.workflow.id"}
	for _, field := range lost {
		harness.Contains(t, output.Stderr, "Warning: "+field+": ")
	}
	if strings.Contains(output.Stderr, "TOKEN") || strings.Contains(output.Stderr, "hidden") || strings.Count(output.Stderr, "Warning:") != len(lost) {
		t.Errorf("the warnings are %s", output.Stderr)
	}
	session := awaitCondition(t, project, "worker", "Projected", metav1.ConditionTrue, "PartlyProjected")
	for _, condition := range session.Status.Conditions {
		if condition.Type == "Projected" {
			harness.Contains(t, condition.Message, lost...)
		}
	}

	output = stand.KubectlWithInput(t, manifest("another"), "apply", "--server-side", "-f", "-")
	if strings.Count(output.Stderr, "Warning:") != 1 || !strings.Contains(output.Stderr, "spec.botAccountName") {
		t.Errorf("the warnings are %s", output.Stderr)
	}
	if output := stand.Kubectl(t, "label", "sessions.ambient.io", "worker", "-n", project, "a=b"); strings.Contains(output.Stderr, "Warning:") {
		t.Errorf("the warnings are %s", output.Stderr)
	}
}
