package api

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// review answers admission reviews: it labels every session, and refuses those
// whose prompt is forbidden.
func review(w http.ResponseWriter, request *http.Request) {
	var asked reviewv1.AdmissionReview
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := &reviewv1.AdmissionResponse{UID: asked.Request.UID, Allowed: true}
	switch {
	case request.URL.Path == "/mutate":
		patch := reviewv1.PatchTypeJSONPatch
		answer.PatchType = &patch
		answer.Patch = []byte(`[{"op":"add","path":"/metadata/labels/by-webhook","value":"yes"}]`)
		if !strings.Contains(string(asked.Request.Object.Raw), `"labels"`) {
			answer.Patch = []byte(`[{"op":"add","path":"/metadata/labels","value":{"by-webhook":"yes"}}]`)
		}
	case strings.Contains(string(asked.Request.Object.Raw), `"prompt":"forbidden"`):
		answer.Allowed = false
		answer.Result = &metav1.Status{Message: "the webhook refuses this prompt", Code: http.StatusForbidden}
	default:
		answer.Warnings = []string{"the webhook looked at " + asked.Request.Name + " of " + asked.Request.UserInfo.Username}
	}
	asked.Response, asked.Request = answer, nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(asked); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// The cluster's webhooks are called for our kinds, also for a namespace that does
// not exist yet, whose labels are those that it is about to get.
func TestDecision23TheClustersWebhooksApply(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	server := httptest.NewTLSServer(http.HandlerFunc(review))
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	client := func(path string) admissionv1.WebhookClientConfig {
		url := server.URL + path
		return admissionv1.WebhookClientConfig{URL: &url, CABundle: authority}
	}
	rules := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{"ambient.io"}, APIVersions: []string{"*"}, Resources: []string{"sessions"}},
	}}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.ProjectIDLabel: project}}
	none := admissionv1.SideEffectClassNone
	metadata := metav1.ObjectMeta{Name: project}
	admission := stand.Kubernetes.AdmissionregistrationV1()
	if _, err := admission.MutatingWebhookConfigurations().Create(t.Context(), &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metadata,
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "mutate.example.com", ClientConfig: client("/mutate"), Rules: rules, NamespaceSelector: selector, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := admission.ValidatingWebhookConfigurations().Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metadata,
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "validate.example.com", ClientConfig: client("/validate"), Rules: rules, NamespaceSelector: selector, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stand.Kubectl(t, "delete", "mutatingwebhookconfiguration,validatingwebhookconfiguration", project)
	})

	forbidden := strings.Replace(sessionManifest(project, "refused"), "Say hello", "forbidden", 1)
	harness.Eventually(t, "both webhooks are called", func() error {
		refused := stand.TryKubectl(t, forbidden, "create", "-f", "-", "--dry-run=server")
		labelled := stand.TryKubectl(t, sessionManifest(project, "tried"), "create", "-f", "-", "--dry-run=server", "-o", "jsonpath={.metadata.labels.by-webhook}")
		if !strings.Contains(refused.Stderr, "the webhook refuses this prompt") || labelled.Stdout != "yes" {
			return fmt.Errorf("%+v, %+v", refused, labelled)
		}
		return nil
	})
	harness.Contains(t, stand.KubectlFails(t, forbidden, "apply", "--server-side", "-f", "-").Stderr, "the webhook refuses this prompt")
	created := stand.KubectlWithInput(t, sessionManifest(project, "accepted"), "apply", "--server-side", "-f", "-")
	harness.Contains(t, created.Stderr, "Warning: the webhook looked at accepted")
	row := rowOf(t, project, "accepted")
	if row.GetLabels() != `{"by-webhook":"yes"}` {
		t.Errorf("the row's labels are %s", row.GetLabels())
	}
	harness.Contains(t, stand.KubectlFails(t, "", "patch", "sessions.ambient.io", "accepted", "-n", project, "--type=merge", "-p", `{"spec":{"prompt":"forbidden"}}`).Stderr, "the webhook refuses")
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 1 || rows[0].GetPrompt() != "Say hello" {
		t.Errorf("the rows are %v", rows)
	}
}
