package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// denyIn makes a policy that refuses sessions by an expression, in one project.
func denyIn(t *testing.T, project, expression, message string) {
	t.Helper()
	policies := stand.Kubernetes.AdmissionregistrationV1()
	rule := admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
		Rule:       admissionv1.Rule{APIGroups: []string{"ambient.io"}, APIVersions: []string{"v1alpha1"}, Resources: []string{"sessions"}},
	}}
	forbidden := metav1.StatusReasonForbidden
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: project},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{rule}},
			MatchConditions:  []admissionv1.MatchCondition{{Name: "project", Expression: fmt.Sprintf("has(request.namespace) && request.namespace == %q", project)}},
			Validations:      []admissionv1.Validation{{Expression: expression, Message: message, Reason: &forbidden}},
		},
	}
	if _, err := policies.ValidatingAdmissionPolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: project},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: project, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}
	if _, err := policies.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// The cluster's own policies hold for our kinds, whether or not the namespace
// exists yet.
func TestDecision23TheClustersPoliciesApply(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	denyIn(t, project, `request.operation == 'DELETE' ? oldObject.spec.prompt != 'keep' : !has(object.spec) || !has(object.spec.prompt) || object.spec.prompt != 'forbidden'`, "prompts that are forbidden are refused")
	manifest := func(name, prompt string) string {
		return strings.Replace(sessionManifest(project, name), "Say hello", prompt, 1)
	}
	check := func(t *testing.T) {
		name := stand.Name(t)
		harness.Eventually(t, "the policy refuses a creation", func() error {
			output := stand.TryKubectl(t, manifest(name, "forbidden"), "create", "-f", "-", "--dry-run=server")
			if output.ExitCode == 0 || !strings.Contains(output.Stderr, "prompts that are forbidden are refused") {
				return fmt.Errorf("%+v", output)
			}
			return nil
		})
		harness.Contains(t, stand.KubectlFails(t, manifest(name, "forbidden"), "create", "-f", "-").Stderr, "Forbidden", "prompts that are forbidden")
		stand.KubectlWithInput(t, manifest(name, "keep"), "create", "-f", "-")
		for _, form := range [][]string{{"--type=merge", "-p", `{"spec":{"prompt":"forbidden"}}`}, {"--type=json", "-p", `[{"op":"replace","path":"/spec/prompt","value":"forbidden"}]`}} {
			harness.Contains(t, stand.KubectlFails(t, "", append([]string{"patch", "sessions.ambient.io", name, "-n", project}, form...)...).Stderr, "prompts that are forbidden")
		}
		harness.Contains(t, stand.KubectlFails(t, "", "delete", "sessions.ambient.io", name, "-n", project).Stderr, "prompts that are forbidden")
		harness.Contains(t, stand.KubectlFails(t, "", "delete", "sessions.ambient.io", "--all", "-n", project).Stderr, "prompts that are forbidden")
		getSession(t, project, name)
	}
	t.Run("before the namespace exists", check)
	newNamespace(t, project, map[string]string{v1alpha1.ProjectIDLabel: project})
	t.Run("after the namespace was made", check)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 2 {
		t.Errorf("%d rows, want the two that the policy allowed", len(rows))
	}
}

// act starts or stops a session.
func act(t *testing.T, project, name, action, query, body string) harness.Answer {
	t.Helper()
	return stand.Do(t, harness.Request{
		Method: "POST", Path: "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions/" + name + "/" + action + query,
		Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"SessionRequest"` + body + `}`,
	})
}

func TestDecision24StartAndStop(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "run").Status.SessionID
	phase := func() string { return stand.Upstream.Session(t, id).GetPhase() }

	if refused := act(t, project, "run", "stop", "", ""); refused.Code != 409 || refused.Status.Reason != metav1.StatusReasonConflict || !strings.Contains(refused.Status.Message, "never started") {
		t.Errorf("a stop of what never ran: %d %s", refused.Code, refused.Body)
	}
	unwritten(t, id, func() {
		if dry := act(t, project, "run", "start", "?dryRun=All", ""); dry.Code/100 != 2 || !strings.Contains(dry.Body, `"phase":"Pending"`) {
			t.Errorf("a dry start: %d %s", dry.Code, dry.Body)
		}
		if refused := act(t, project, "run", "stop", "?dryRun=All", ""); refused.Code != 409 {
			t.Errorf("a dry stop of what never ran: %d", refused.Code)
		}
	})
	started := act(t, project, "run", "start", "", `,"reason":"because"`)
	var session v1alpha1.Session
	if err := json.Unmarshal([]byte(started.Body), &session); err != nil || session.Status.Phase != v1alpha1.SessionPending || phase() != "Pending" {
		t.Errorf("a start: %d %s, the upstream's phase is %q", started.Code, started.Body, phase())
	}
	unwritten(t, id, func() {
		if refused := act(t, project, "run", "start", "", ""); refused.Code != 409 || !strings.Contains(refused.Status.Message, "Pending") {
			t.Errorf("a second start: %d %s", refused.Code, refused.Body)
		}
	})
	if stopped := act(t, project, "run", "stop", "", ""); stopped.Code/100 != 2 || phase() != "Stopping" {
		t.Errorf("a stop: %d %s, the upstream's phase is %q", stopped.Code, stopped.Body, phase())
	}
	// Each allowed phase and each forbidden one, set as the upstream's users do.
	for action, allowed := range map[string]string{"start": "Stopped Failed Completed", "stop": "Running Creating Pending"} {
		for _, from := range []v1alpha1.SessionPhase{"Pending", "Creating", "Running", "Stopping", "Stopped", "Completed", "Failed"} {
			stand.Upstream.SetPhase(t, id, from)
			answer := act(t, project, "run", action, "?dryRun=All", "")
			if want := strings.Contains(allowed, string(from)); (answer.Code/100 == 2) != want || !want && answer.Code != 409 {
				t.Errorf("%s in phase %s: %d %s", action, from, answer.Code, answer.Status.Message)
			}
		}
	}
	if refused := act(t, project, "run", "start", "", `,"reason":"`+strings.Repeat("x", 2000)+`"`); refused.Code != 422 || fmt.Sprint(refused.Causes()) != "[reason]" {
		t.Errorf("a reason that is too long: %d %s", refused.Code, refused.Body)
	}
}

func TestDecision23StopWorksInATerminatingNamespace(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "run").Status.SessionID
	stand.Upstream.SetPhase(t, id, v1alpha1.SessionRunning)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Finalizers: []string{"example.com/hold"}, Annotations: map[string]string{v1alpha1.AdoptAnnotation: "true"}}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stand.Kubectl(t, "delete", "namespace", project, "--wait=false")
	if stopped := act(t, project, "run", "stop", "", ""); stopped.Code/100 != 2 {
		t.Errorf("a stop: %d %s", stopped.Code, stopped.Body)
	}
	if phase := stand.Upstream.Session(t, id).GetPhase(); phase != "Stopping" {
		t.Errorf("the upstream's phase is %q", phase)
	}
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	stand.Kubectl(t, "patch", "namespace", project, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	harness.Eventually(t, "the namespace goes", namespaceGone(t, project))
}
