package flow

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// setAccess changes the column of the project's settings as a user of the upstream
// does.
func setAccess(t *testing.T, project, access string) {
	t.Helper()
	row := stand.Upstream.SettingsOf(t, project)
	request := &ambientv1.UpdateProjectSettingsRequest{Id: row.GetMetadata().GetId(), GroupAccess: &access}
	if _, err := stand.Upstream.Settings.UpdateProjectSettings(t.Context(), request); err != nil {
		t.Fatalf("changing the settings of %s upstream: %v", project, err)
	}
}

// The upstream keeps the settings of a project that is deleted, and we the namespace.
func TestTheAccessToAProjectEndsWithIt(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	const developers, operators = "developers", "operators"
	applySettings(t, project, developers+"=admin", operators+"=view")
	awaitRoles(t, project, developers, "admin")
	awaitRoles(t, project, operators, "view")
	awaitPlatformSettings(t, project, `{"groupAccess":[{"groupName":"developers","role":"admin"},{"groupName":"operators","role":"view"}],"inactivityTimeoutSeconds":86400}`)
	operatorGrants(t, project, developers, "admin")

	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	awaitRoles(t, project, developers)
	awaitRoles(t, project, operators)
	awaitPlatformSettings(t, project, `{"groupAccess":[],"inactivityTimeoutSeconds":86400}`)
	awaitEvent(t, project, "Group developers no longer has role ambient-project-admin")
	if row := stand.Upstream.SettingsOf(t, project); row.GetGroupAccess() == "" {
		t.Errorf("the row of the settings is %v, want that it tells of the access", row)
	}
	if held := getNamespace(t, project); held.DeletionTimestamp != nil {
		t.Errorf("the namespace is %+v, want that it is retained", held.ObjectMeta)
	}
}

func TestAccessIsRevokedInANamespaceThatWasTakenFromItsProject(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	applySettings(t, project, "developers=admin", "operators=view")
	awaitRoles(t, project, "developers", "admin")
	awaitRoles(t, project, "operators", "view")
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-by-")
	awaitProject(t, project, metav1.ConditionFalse, "NamespaceNotAdopted")

	setAccess(t, project, `[{"groupName":"operators","role":"admin"},{"groupName":"newcomers","role":"view"}]`)
	awaitRoles(t, project, "developers")
	harness.Eventually(t, "the settings say why nothing is granted", func() error {
		held, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(project).Get(t.Context(), "settings", metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading the settings: %w", err)
		}
		return hasCondition(held.Status.Conditions, "Projected", metav1.ConditionFalse, "NamespaceNotAdopted")
	})
	awaitRoles(t, project, "operators", "view")
	awaitRoles(t, project, "newcomers")

	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-by=ambient-kube-reconciler")
	awaitRoles(t, project, "operators", "admin")
	awaitRoles(t, project, "newcomers", "view")
}
