package flow

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// unasked are rights that no request shows, each with the reason why it is given.
var unasked = map[string]string{
	"bind clusterroles.rbac.authorization.k8s.io/ambient-project-admin": "asked for within the making of a RoleBinding",
	"bind clusterroles.rbac.authorization.k8s.io/ambient-project-edit":  "asked for within the making of a RoleBinding",
	"bind clusterroles.rbac.authorization.k8s.io/ambient-project-view":  "asked for within the making of a RoleBinding",
	"create agenticsessions.vteam.ambient-code":                         "asked for within an apply of what is not there yet",
	"create projectsettings.vteam.ambient-code":                         "asked for within an apply of what is not there yet",
	"create rolebindings.rbac.authorization.k8s.io":                     "asked for within an apply of what is not there yet",
	"get namespaces": "asked for when somebody else makes the namespace at the same moment",
	"patch leases.coordination.k8s.io/ambient-kube-reconciler in ambient-system": "asked for when a brake holds removals back",
	"update secrets/ambient-kube-ca in ambient-system":                           "asked for when it is this program that rotates the certificate authority",
}

// exercise lets the reconciler do all that it does.
func exercise(t *testing.T) {
	t.Helper()
	newRoles(t)
	project := stand.NewProject(t)
	applySettings(t, project, "developers=view")
	awaitRoles(t, project, "developers", "view")
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	// The second event is the first one again, with a count.
	for range 2 {
		patchResource(t, resource, `{"spec":{"initialPrompt":"Do harm"}}`)
		awaitResourceState(t, id, "is healed", func(r *unstructured.Unstructured) bool { return text(r, "spec", "initialPrompt") == "Say hello" })
	}
	harness.Eventually(t, "the second event is counted", func() error {
		list, err := stand.Kubernetes.CoreV1().Events(project).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Reason == "Healed" && event.Count > 1 {
				return nil
			}
		}
		return fmt.Errorf("there are %d events", len(list.Items))
	})
	patchResource(t, resource, `{"metadata":{"labels":{"ambient.io/session-id":null}}}`)
	awaitResource(t, id, v1alpha1.SessionRunning)
	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-")
	awaitOpen(t, project)
	stand.Kubectl(t, "delete", "sessions.ambient.io", "worker", "-n", project)
	awaitNoResource(t, id)
	// Through Kubernetes they would be emptied first.
	row := stand.Upstream.SettingsOf(t, project)
	if _, err := stand.Upstream.Settings.DeleteProjectSettings(t.Context(), &ambientv1.DeleteProjectSettingsRequest{Id: row.GetMetadata().GetId()}); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, project, "developers")
	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	harness.Eventually(t, "the namespace is marked", func() error {
		if held := getNamespace(t, project); held.Annotations["ambient.io/project-gone"] != "true" {
			return fmt.Errorf("it is %+v", held.ObjectMeta)
		}
		return nil
	})
}

// The reconciler uses every right that its manifest gives, and asks for none that
// it lacks.
func TestTheReconcilerHasTheRightsThatItUses(t *testing.T) {
	exercise(t)
	harness.CheckRights(t, stand.Kubernetes, stand.Stack.AuditLog(), stack.Namespace, stack.ReconcilerName, unasked)
}

// A secret of another type would be filled with the token of any account, and bears a name
// that the reconciler may read.
func TestTheReconcilerMakesNoOtherSecrets(t *testing.T) {
	reconciler := "--as=system:serviceaccount:ambient-system:ambient-kube-reconciler"
	for _, secret := range []string{
		`{"metadata": {"name": "ambient-runner-secrets", "annotations": {"kubernetes.io/service-account.name": "default"}}, "type": "kubernetes.io/service-account-token"}`,
		`{"metadata": {"name": "another"}}`,
		`{"metadata": {"name": "ambient-kube-ca"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}`,
	} {
		object := `{"apiVersion": "v1", "kind": "Secret", ` + secret[1:]
		refusal := stand.KubectlFails(t, object, "create", reconciler, "--namespace=default", "--filename=-")
		harness.Contains(t, refusal.Stderr, "makes no secrets but ambient-runner-secrets")
	}
}
