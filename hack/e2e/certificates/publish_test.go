package certificates

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/publish"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// registrations returns the APIService and the webhook configurations.
func registrations(t *testing.T, s *harness.Stand) (*apiregistrationv1.APIService, []admissionregistrationv1.ValidatingWebhookConfiguration) {
	t.Helper()
	client, err := aggregator.NewForConfig(s.Stack.Config())
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.ApiregistrationV1().APIServices().Get(t.Context(), "v1alpha1.ambient.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	webhooks, err := s.Kubernetes.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service, webhooks.Items
}

// bundles returns what kube-apiserver trusts, by what it is for.
func bundles(t *testing.T) map[string]certs.Bundle {
	t.Helper()
	service, webhooks := registrations(t, stand)
	raw := map[string][]byte{"the APIService": service.Spec.CABundle}
	for _, configuration := range webhooks {
		for _, webhook := range configuration.Webhooks {
			raw["the webhook "+webhook.Name] = webhook.ClientConfig.CABundle
		}
	}
	if len(raw) != 3 {
		t.Fatalf("%d caBundles, want 3", len(raw))
	}
	result := map[string]certs.Bundle{}
	for object, data := range raw {
		bundle, err := certs.ParseBundle(data)
		if err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		result[object] = bundle
	}
	return result
}

func TestACABundleThatSomebodyOverwritesIsRestored(t *testing.T) {
	stranger, err := certs.NewAuthority("stranger")
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(stranger.CertificatePEM())
	for object, patch := range map[string]string{
		"apiservice/v1alpha1.ambient.io":                            fmt.Sprintf(`[{"op":"replace","path":"/spec/caBundle","value":%q}]`, encoded),
		"validatingwebhookconfiguration/ambient-agenticsessions":    fmt.Sprintf(`[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":%q}]`, encoded),
		"validatingwebhookconfiguration/ambient-project-namespaces": `[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]`,
	} {
		stand.Kubectl(t, "patch", object, "--type=json", "-p", patch)
	}
	signing, _ := authority(t)
	harness.Eventually(t, "all trust our authority again", func() error {
		service, webhooks := registrations(t, stand)
		held := [][]byte{service.Spec.CABundle}
		for _, configuration := range webhooks {
			held = append(held, configuration.Webhooks[0].ClientConfig.CABundle)
		}
		for _, data := range held {
			if bundle, err := certs.ParseBundle(data); err != nil || !bundle.Covers(certs.Bundle{signing}) {
				return fmt.Errorf("one holds %q", data)
			}
		}
		return nil
	})
	harness.Eventually(t, "the API is served", func() error {
		_, err := stand.Ambient.AmbientV1alpha1().Projects().List(t.Context(), metav1.ListOptions{})
		return err
	})
}

// The field manager owns the caBundles, and nothing but them.
func TestOnlyTheCABundlesAreOurs(t *testing.T) {
	service, webhooks := registrations(t, stand)
	objects := map[string][]metav1.ManagedFieldsEntry{service.Name: service.ManagedFields}
	want := map[string]string{service.Name: `{"f:spec":{"f:caBundle":{}}}`}
	for _, configuration := range webhooks {
		objects[configuration.Name] = configuration.ManagedFields
		name, err := json.Marshal(map[string]string{"name": configuration.Webhooks[0].Name})
		if err != nil {
			t.Fatal(err)
		}
		want[configuration.Name] = fmt.Sprintf(`{"f:webhooks":{%q:{".":{},"f:clientConfig":{"f:caBundle":{}},"f:name":{}}}}`, "k:"+string(name))
	}
	for name, entries := range objects {
		found := false
		for _, entry := range entries {
			if entry.Manager != publish.FieldManager {
				continue
			}
			found = true
			if got := string(entry.FieldsV1.Raw); got != want[name] || entry.Operation != metav1.ManagedFieldsOperationApply {
				t.Errorf("of %s, %s (%s) is ours, want %s", name, got, entry.Operation, want[name])
			}
		}
		if !found {
			t.Errorf("of %s, nothing is ours", name)
		}
	}
}

func TestExpiriesAreMetrics(t *testing.T) {
	reconciler, err := stand.ReconcilerMetrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scrapes := map[string]string{
		"the API server": stand.DoDirectly(t, stand.Administrator(t), harness.Request{Method: "GET", Path: "/metrics"}).Body,
		"the reconciler": reconciler,
	}
	for program, text := range scrapes {
		for _, line := range []string{
			`ambient_kube_certificate_expiration_timestamp_seconds{certificate="authority"} 1.`,
			`ambient_kube_certificate_expiration_timestamp_seconds{certificate="leaf"} 1.`,
			"ambient_kube_certificate_authority_published 1\n",
		} {
			if !strings.Contains(text, line) {
				t.Errorf("%s does not show %s", program, line)
			}
		}
	}
}

// Certificates in files are followed by both programs, and nobody is told of them.
func TestFilesAreReplacedWithoutARestart(t *testing.T) {
	own := harness.Run(t, stack.Options{CertificateFiles: true, Without: []string{stack.OperatorName}})
	for address, name := range programs(own) {
		if _, err := trusts(own.Stack.ExtensionAuthority().Certificate(), address, name); err != nil {
			t.Fatal(err)
		}
	}
	next, err := certs.NewAuthority("somebody else")
	if err != nil {
		t.Fatal(err)
	}
	lives := []int{own.Stack.Extension.PID(), own.Stack.Reconciler.PID()}
	if err := own.Stack.IssueCertificates(next); err != nil {
		t.Fatal(err)
	}
	for address, name := range programs(own) {
		harness.Eventually(t, "the new file is shown", func() error {
			_, err := trusts(next.Certificate(), address, name)
			return err
		})
	}
	if now := []int{own.Stack.Extension.PID(), own.Stack.Reconciler.PID()}; now[0] != lives[0] || now[1] != lives[1] {
		t.Error("a program was started again")
	}
	service, webhooks := registrations(t, own)
	entries := service.ManagedFields
	for _, configuration := range webhooks {
		entries = append(entries, configuration.ManagedFields...)
	}
	for _, entry := range entries {
		if entry.Manager == publish.FieldManager {
			t.Error("somebody was told of an authority")
		}
	}
}
