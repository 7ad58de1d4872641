package stack

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
)

// The manifests are applied to a real kube-apiserver, which refuses unknown
// fields, and each account then has its rights.
func TestRegistration(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s := &Stack{options: Options{Directory: t.TempDir(), CertificateFiles: true}}
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	var err error
	if s.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Directory: s.options.Directory, Binaries: s.options.ControlPlaneBinaries, Group: s.group, Ports: s.ports, ControllerManager: true,
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.register(ctx); err != nil {
		t.Fatal(err)
	}

	t.Run("a second time changes nothing", func(t *testing.T) {
		// The status of an APIService that answers nothing changes by itself.
		const kinds = "clusterroles,clusterrolebindings,validatingwebhookconfigurations,customresourcedefinitions,serviceaccounts,services,roles,rolebindings,apiservices"
		versions := func() string {
			output, err := s.Kubectl(ctx, "get", kinds, "-A", "-o",
				`jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.generation} {.spec} {.rules} {.roleRef} {.webhooks}{"\n"}{end}`)
			if err != nil {
				t.Fatal(err)
			}
			var ours strings.Builder
			for line := range strings.Lines(output) {
				// A controller gathers the rules of these, in its own time.
				if name, _, _ := strings.Cut(line, " "); !slices.Contains([]string{"ClusterRole/view", "ClusterRole/edit", "ClusterRole/admin"}, name) {
					ours.WriteString(line)
				}
			}
			return ours.String()
		}
		before := versions()
		if !strings.Contains(before, "APIService/v1alpha1.ambient.io") || !strings.Contains(before, "ClusterRole/ambient-session-viewer") {
			t.Fatalf("something is missing:\n%s", before)
		}
		if err := s.register(ctx); err != nil {
			t.Fatal(err)
		}
		if after := versions(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})

	t.Run("the API is registered with a certificate and below custom resources", func(t *testing.T) {
		output, err := s.Kubectl(ctx, "get", "apiservice", apiServiceName, "-o",
			"jsonpath={.spec.groupPriorityMinimum} {.spec.versionPriority} {.spec.insecureSkipTLSVerify} {.spec.caBundle}")
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Fields(output)
		if len(fields) != 3 || fields[0] != "500" || fields[1] != "15" || len(fields[2]) < 100 {
			t.Errorf("got %q, want 500, 15, no insecureSkipTLSVerify and a caBundle", output)
		}
	})

	t.Run("accounts have the rights that they need and no more", func(t *testing.T) {
		client, err := kubernetes.NewForConfig(s.Config())
		if err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			account, verb, resource string
			allowed                 bool
		}{
			{APIServerName, "create", "subjectaccessreviews.authorization.k8s.io", true},
			{APIServerName, "create", "tokenreviews.authentication.k8s.io", true},
			{APIServerName, "watch", "validatingadmissionpolicies.admissionregistration.k8s.io", true},
			{APIServerName, "update", "leases.coordination.k8s.io/" + APIServerName + "/-n/" + Namespace, true},
			{APIServerName, "update", "leases.coordination.k8s.io/" + ReconcilerName + "/-n/" + Namespace, false},
			{APIServerName, "update", "leases.coordination.k8s.io/" + APIServerName + "/-n/kube-system", false},
			{ReconcilerName, "update", "leases.coordination.k8s.io/" + ReconcilerName + "/-n/" + Namespace, true},
			{ReconcilerName, "update", "leases.coordination.k8s.io/" + APIServerName + "/-n/" + Namespace, false},
			{APIServerName, "get", "configmaps/extension-apiserver-authentication/-n/kube-system", true},
			{APIServerName, "get", "secrets", false},
			{APIServerName, "update", "secrets/" + AuthoritySecret + "/-n/" + Namespace, true},
			{APIServerName, "get", "secrets/other/-n/" + Namespace, false},
			{APIServerName, "patch", "apiservices.apiregistration.k8s.io/" + apiServiceName, true},
			{APIServerName, "patch", "apiservices.apiregistration.k8s.io/v1.apps", false},
			{APIServerName, "patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/ambient-agenticsessions", false},
			{APIServerName, "delete", "namespaces", false},
			{ReconcilerName, "patch", "sessions.ambient.io/--subresource=status", true},
			{ReconcilerName, "patch", "sessions.ambient.io", false},
			{ReconcilerName, "create", "agenticsessions.vteam.ambient-code", true},
			{ReconcilerName, "patch", "agenticsessions.vteam.ambient-code/--subresource=status", false},
			{ReconcilerName, "list", "secrets/ambient-runner-secrets", true},
			{ReconcilerName, "get", "secrets/ambient-runner-secrets", false},
			{ReconcilerName, "list", "secrets/other", false},
			{ReconcilerName, "update", "secrets/" + AuthoritySecret + "/-n/" + Namespace, true},
			{ReconcilerName, "get", "secrets/" + AuthoritySecret + "/-n/kube-system", false},
			{ReconcilerName, "patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/ambient-agenticsessions", true},
			{ReconcilerName, "patch", "validatingwebhookconfigurations.admissionregistration.k8s.io/other", false},
			{ReconcilerName, "patch", "apiservices.apiregistration.k8s.io/" + apiServiceName, false},
			{ReconcilerName, "list", "secrets", false},
			{ReconcilerName, "delete", "namespaces", false},
			{ReconcilerName, "bind", "clusterroles.rbac.authorization.k8s.io/ambient-project-view", true},
			{ReconcilerName, "bind", "clusterroles.rbac.authorization.k8s.io/cluster-admin", false},
			{OperatorAccount, "update", "agenticsessions.vteam.ambient-code/--subresource=status", true},
			{OperatorAccount, "get", "sessions.ambient.io", false},
		}
		for _, test := range tests {
			name := test.account + " " + test.verb + " " + test.resource
			t.Run(name, func(t *testing.T) {
				review := accessReview(UserName(test.account), test.verb, test.resource)
				answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if answer.Status.Allowed != test.allowed {
					t.Errorf("allowed: %v, want %v", answer.Status.Allowed, test.allowed)
				}
			})
		}
	})

	t.Run("a component lets the reconciler delete namespaces", func(t *testing.T) {
		component := filepath.Join(s.options.Repository, "manifests", "components", "namespace-deletion", "rbac.yaml")
		if _, err := s.Kubectl(ctx, "apply", "--server-side", "--validate=strict", "-f", component); err != nil {
			t.Fatal(err)
		}
		// kube-apiserver reads its roles by a watch.
		if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			output, err := s.Kubectl(ctx, "auth", "can-i", "delete", "namespaces", "--as=system:serviceaccount:"+Namespace+":"+ReconcilerName)
			return strings.TrimSpace(output) == "yes", ignoreRefusal(output, err)
		}); err != nil {
			t.Error(err)
		}
	})

	t.Run("sessions, which may hold tokens, are not in view", func(t *testing.T) {
		for role, want := range map[string]bool{"view": false, "edit": true, "admin": true} {
			var rules string
			// The rules are gathered by a controller.
			err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				var err error
				rules, err = s.Kubectl(ctx, "get", "clusterrole", role, "-o", "jsonpath={range .rules[*]}{.apiGroups}{.resources}{end}")
				return strings.Contains(rules, `"projectsettings"`), err
			})
			if err != nil {
				t.Fatalf("role %s lacks projectsettings: %v", role, err)
			}
			if got := strings.Contains(rules, `["ambient.io"]["sessions"]`); got != want {
				t.Errorf("sessions in role %s: %v, want %v", role, got, want)
			}
		}
	})

	t.Run("the kubeconfig of an account is that account's", func(t *testing.T) {
		config, err := clientcmd.BuildConfigFromFlags("", s.AccountKubeconfig(ReconcilerName))
		if err != nil {
			t.Fatal(err)
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{}); err != nil {
			t.Errorf("reading a namespace: %v", err)
		}
	})
}

// ignoreRefusal drops the error by which `kubectl auth can-i` says no.
func ignoreRefusal(output string, err error) error {
	if strings.TrimSpace(output) == "no" {
		return nil
	}
	return err
}
