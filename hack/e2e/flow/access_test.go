package flow

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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
	awaitSettings(t, project, metav1.ConditionFalse, "NamespaceNotAdopted")
	awaitRoles(t, project, "operators", "view")
	awaitRoles(t, project, "newcomers")

	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-by=ambient-kube-reconciler")
	awaitRoles(t, project, "operators", "admin")
	awaitRoles(t, project, "newcomers", "view")
}

// awaitSettings waits until the project's settings say whether and why they are
// projected, and returns the message.
func awaitSettings(t *testing.T, project string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	var message string
	harness.Eventually(t, fmt.Sprintf("the settings of %s say %s for %s", project, status, reason), func() error {
		held, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(project).Get(t.Context(), "settings", metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading the settings: %w", err)
		}
		if found := meta.FindStatusCondition(held.Status.Conditions, "Projected"); found != nil {
			message = found.Message
		}
		return hasCondition(held.Status.Conditions, "Projected", status, reason)
	})
	return message
}

// What the cluster refuses of one group may stay so for ever.
func TestAccessIsRevokedBesideABindingThatIsRefused(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	const leaving, refused, staying = "leaving", "refused", "staying"
	applySettings(t, project, leaving+"=admin", refused+"=view")
	awaitRoles(t, project, leaving, "admin")
	awaitRoles(t, project, refused, "view")

	// Somebody else's RoleBinding of the very name, which gives another role: that
	// can't be changed, and it is not ours to remove.
	client := stand.Kubernetes.RbacV1().RoleBindings(project)
	theirs := bindingOf(t, project, refused)
	applySettings(t, project, leaving+"=admin")
	awaitRoles(t, project, refused)
	theirs.ObjectMeta = metav1.ObjectMeta{Name: theirs.Name}
	theirs.RoleRef.Name, theirs.Subjects = "view", nil
	if _, err := client.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	applySettings(t, project, refused+"=view", staying+"=edit")
	awaitRoles(t, project, leaving)
	awaitRoles(t, project, staying, "edit")
	awaitRoles(t, project, refused)
	harness.Contains(t, awaitSettings(t, project, metav1.ConditionFalse, "Refused"), "spec.groupAccess[0] ", "roleRef", "field is immutable")
	awaitEvent(t, project, "The cluster refuses what spec.groupAccess[0] asks for")

	if err := client.Delete(t.Context(), theirs.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, project, refused, "view")
	awaitSettings(t, project, metav1.ConditionTrue, "AccessGranted")
}

// bindingOf returns the one RoleBinding of the group.
func bindingOf(t *testing.T, namespace, group string) *rbacv1.RoleBinding {
	t.Helper()
	list, err := stand.Kubernetes.RbacV1().RoleBindings(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, binding := range list.Items {
		if len(binding.Subjects) == 1 && binding.Subjects[0].Name == group {
			return &list.Items[i]
		}
	}
	t.Fatalf("group %s has no RoleBinding among %v", group, list.Items)
	return nil
}
