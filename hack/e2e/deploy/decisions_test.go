package deploy

import (
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// typed returns the objects of a kind in a folder of manifests.
func typed[T any](t *testing.T, kind string, folder ...string) []T {
	t.Helper()
	text := here.mustKubectl(t, "", "kustomize", filepath.Join(append([]string{here.repository, "manifests"}, folder...)...))
	var result []T
	for _, object := range objects(t, text) {
		if object.GetKind() == kind {
			result = append(result, convert[T](t, object))
		}
	}
	if len(result) == 0 {
		t.Fatalf("there is no %s", kind)
	}
	return result
}

func convert[T any](t *testing.T, object *unstructured.Unstructured) T {
	t.Helper()
	var result T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &result); err != nil {
		t.Fatalf("reading %s %s: %v", object.GetKind(), object.GetName(), err)
	}
	return result
}

// Sessions may hold tokens: whoever may only view a namespace does not see them.
func TestDecision25SessionsAreForEditorsAndAdministrators(t *testing.T) {
	readers := map[string]bool{}
	for _, role := range typed[rbacv1.ClusterRole](t, "ClusterRole", "base") {
		if slices.Contains([]string{apiserver, reconciler}, role.Name) {
			continue
		}
		sessions, others := false, false
		for _, rule := range role.Rules {
			sessions = sessions || slices.Contains(rule.Resources, "sessions")
			others = others || slices.Contains(rule.Resources, "projects")
		}
		for _, to := range []string{"view", "edit", "admin"} {
			if role.Labels["rbac.authorization.k8s.io/aggregate-to-"+to] == "true" {
				readers[to+" sessions"] = readers[to+" sessions"] || sessions
				readers[to+" projects"] = readers[to+" projects"] || others
			}
		}
		if role.Name == "ambient-session-viewer" && (!sessions || len(role.Labels) != 0) {
			t.Errorf("%s reads sessions: %v, and is labelled %v", role.Name, sessions, role.Labels)
		}
	}
	// The cluster's own edit takes in what view has, and admin what edit has.
	if readers["view sessions"] || !readers["edit sessions"] || !readers["view projects"] {
		t.Errorf("aggregated are %v", readers)
	}
}

// The platform's projectsettings and other projects keep their short names.
func TestDecision26OurGroupComesBehindCustomResources(t *testing.T) {
	const ofCustomResources = 1000
	for _, service := range typed[apiregistrationv1.APIService](t, "APIService", "base") {
		if service.Spec.GroupPriorityMinimum != 500 || service.Spec.GroupPriorityMinimum >= ofCustomResources {
			t.Errorf("%s has groupPriorityMinimum %d, want 500", service.Name, service.Spec.GroupPriorityMinimum)
		}
	}
}

// A control plane usually can't be selected.
func TestDecision29TheServingPortsAreOpenToAnySource(t *testing.T) {
	served := map[string]bool{}
	for _, policy := range typed[networkingv1.NetworkPolicy](t, "NetworkPolicy", "base") {
		for _, rule := range policy.Spec.Ingress {
			if len(rule.From) != 0 {
				t.Errorf("%s lets in only %v", policy.Name, rule.From)
			}
			for _, port := range rule.Ports {
				served[policy.Name+" "+port.Port.String()] = true
			}
		}
	}
	if len(served) != 2 || !served[apiserver+" https"] || !served[reconciler+" webhooks"] {
		t.Errorf("open are %v, want the serving ports and nothing else", served)
	}
}

// One of two replicas may always be taken away, and never both.
func TestWhatKeepsThemRunning(t *testing.T) {
	budgets := map[string]int{}
	for _, budget := range typed[policyv1.PodDisruptionBudget](t, "PodDisruptionBudget", "base") {
		if budget.Spec.MinAvailable != nil {
			budgets[budget.Spec.Selector.MatchLabels["app.kubernetes.io/name"]] = budget.Spec.MinAvailable.IntValue()
		}
	}
	all := typed[appsv1.Deployment](t, "Deployment", "base")
	if len(all) != 2 {
		t.Errorf("there are %d Deployments", len(all))
	}
	for _, deployment := range all {
		pod := deployment.Spec.Template.Spec
		if budgets[deployment.Name] != 1 || *deployment.Spec.Replicas != 2 {
			t.Errorf("%s has %d replicas of which %d must stay", deployment.Name, *deployment.Spec.Replicas, budgets[deployment.Name])
		}
		if pod.Affinity == nil || pod.Affinity.PodAntiAffinity == nil || len(pod.TopologySpreadConstraints) == 0 {
			t.Errorf("the pods of %s may all be on one node", deployment.Name)
		}
		if pod.PriorityClassName != "ambient-kube" {
			t.Errorf("%s has the priority class %q", deployment.Name, pod.PriorityClassName)
		}
	}
}
