package flow

import (
	"encoding/json"
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/manifests/crd"
)

const platformDefinition = "projectsettings.vteam.ambient-code"

// platformSettings are the platform's own settings.
var platformSettings = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "projectsettings"}

// awaitPlatformSettings waits until the platform's settings in the namespace say
// exactly this.
func awaitPlatformSettings(t *testing.T, namespace, want string) *unstructured.Unstructured {
	t.Helper()
	var held *unstructured.Unstructured
	harness.Eventually(t, "the platform's settings in "+namespace+" are in step", func() (err error) {
		held, err = dynamicClient.Resource(platformSettings).Namespace(namespace).Get(t.Context(), "projectsettings", metav1.GetOptions{})
		if err != nil {
			return err
		}
		spec, err := json.Marshal(held.Object["spec"])
		if err != nil {
			return err
		}
		if string(spec) != want {
			return fmt.Errorf("they are %s, want %s", spec, want)
		}
		return nil
	})
	return held
}

// operatorGrants makes the RoleBinding that the platform's operator makes from its
// settings and never takes away.
func operatorGrants(t *testing.T, namespace, group, role string) {
	t.Helper()
	_, err := stand.Kubernetes.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: group + "-" + role, Labels: map[string]string{"ambient-code.io/managed": "true"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "ambient-project-" + role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func settingsManifest(project string) string {
	return fmt.Sprintf(`apiVersion: ambient.io/v1alpha1
kind: ProjectSettings
metadata: {name: settings, namespace: %s}
spec:
  groupAccess:
  - {groupName: developers, role: edit}
  - {groupName: "oidc:Operators & Co", role: admin}
  repositories:
  - {url: "https://example.com/a.git", branch: trunk, provider: gitlab}
  - {url: "https://example.com/b.git"}
`, project)
}

func TestThePlatformsSettingsAreKeptInStep(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	const want = `{"groupAccess":[{"groupName":"developers","role":"edit"},{"groupName":"oidc:Operators \u0026 Co","role":"admin"}],` +
		`"inactivityTimeoutSeconds":86400,` +
		`"repositories":[{"branch":"trunk","provider":"gitlab","url":"https://example.com/a.git"},{"url":"https://example.com/b.git"}]}`
	stand.KubectlWithInput(t, settingsManifest(project), "apply", "-f", "-")
	held := awaitPlatformSettings(t, project, want)
	owned := ""
	for _, entry := range held.GetManagedFields() {
		if entry.Manager == "ambient-kube-reconciler" {
			owned += string(entry.Operation) + " " + entry.FieldsV1.GetRawString()
		}
	}
	if owned != `Apply {"f:spec":{"f:groupAccess":{},"f:repositories":{}}}` {
		t.Errorf("of the platform's settings the reconciler owns %s", owned)
	}

	// What is not ours stays, what is ours is healed.
	stand.Kubectl(t, "patch", platformDefinition, "projectsettings", "-n", project, "--type=merge", "-p", `{"spec":{"runnerSecretsName":"theirs"}}`)
	stand.Kubectl(t, "patch", platformDefinition, "projectsettings", "-n", project, "--type=merge", "-p", `{"spec":{"groupAccess":[],"repositories":null}}`)
	const beside = `{"groupAccess":[{"groupName":"developers","role":"edit"},{"groupName":"oidc:Operators \u0026 Co","role":"admin"}],` +
		`"inactivityTimeoutSeconds":86400,` +
		`"repositories":[{"branch":"trunk","provider":"gitlab","url":"https://example.com/a.git"},{"url":"https://example.com/b.git"}],"runnerSecretsName":"theirs"}`
	awaitPlatformSettings(t, project, beside)

	// Access is taken away wholly: the operator's RoleBinding goes, too.
	operatorGrants(t, project, "developers", "edit")
	operatorGrants(t, project, "theirs", "view")
	applySettings(t, project, "developers=view")
	awaitPlatformSettings(t, project, `{"groupAccess":[{"groupName":"developers","role":"view"}],"inactivityTimeoutSeconds":86400,"runnerSecretsName":"theirs"}`)
	awaitRoles(t, project, "developers", "view")
	awaitRoles(t, project, "theirs")
	stand.Kubectl(t, "delete", "projectsettings.ambient.io", "settings", "-n", project)
	awaitPlatformSettings(t, project, `{"groupAccess":[],"inactivityTimeoutSeconds":86400,"runnerSecretsName":"theirs"}`)
	awaitRoles(t, project, "developers")
}

// Without the platform's definition of settings the groups have their access all
// the same. Once it is installed, settings appear for all that there are.
func TestThePlatformsSettingsMayBeDefinedLater(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	awaitOpen(t, project)
	stand.Kubectl(t, "delete", "customresourcedefinition", platformDefinition)
	harness.Eventually(t, "the definition is gone", func() error {
		_, err := dynamicClient.Resource(platformSettings).List(t.Context(), metav1.ListOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("listing settings: %w", err)
		}
		return nil
	})
	t.Cleanup(func() { defineSettings(t) })
	applySettings(t, project, "developers=view")
	awaitRoles(t, project, "developers", "view")
	stand.Kubectl(t, "wait", "projectsettings.ambient.io/settings", "-n", project, "--for=condition=Projected", "--timeout=60s")

	defineSettings(t)
	awaitPlatformSettings(t, project, `{"groupAccess":[{"groupName":"developers","role":"view"}],"inactivityTimeoutSeconds":86400}`)
}

func defineSettings(t *testing.T) {
	t.Helper()
	definition, err := crd.Files.ReadFile("projectsettings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stand.KubectlWithInput(t, string(definition), "apply", "--server-side", "-f", "-")
	stand.Kubectl(t, "wait", "customresourcedefinition", platformDefinition, "--for=condition=Established", "--timeout=60s")
}
