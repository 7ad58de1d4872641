package flow

import (
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// The platform's roles, each with a right of its own that tests can ask for.
var rights = map[string]string{"view": "get", "edit": "update", "admin": "delete"}

func newRoles(t *testing.T) {
	t.Helper()
	for role, verb := range rights {
		_, err := stand.Kubernetes.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "ambient-project-" + role},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"vteam.ambient-code"}, Resources: []string{"agenticsessions"}, Verbs: []string{verb}}},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatalf("making the platform's role %s: %v", role, err)
		}
	}
}

// awaitRoles waits until the group has exactly the roles in the namespace, in
// effect and not only on paper.
func awaitRoles(t *testing.T, namespace, group string, roles ...string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("group %s has roles %v in %s", group, roles, namespace), func() error {
		for role, verb := range rights {
			review, err := stand.Kubernetes.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{
					User: "somebody", Groups: []string{group},
					ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: "vteam.ambient-code", Resource: "agenticsessions"},
				},
			}, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			wanted := false
			for _, name := range roles {
				wanted = wanted || name == role
			}
			if review.Status.Allowed != wanted {
				return fmt.Errorf("%s: %v", role, review.Status.Allowed)
			}
		}
		return nil
	})
}

func applySettings(t *testing.T, project string, access ...string) {
	t.Helper()
	var list strings.Builder
	for _, entry := range access {
		group, role, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&list, "\n  - {groupName: %q, role: %s}", group, role)
	}
	if list.Len() == 0 {
		list.WriteString(" []")
	}
	manifest := fmt.Sprintf("apiVersion: ambient.io/v1alpha1\nkind: ProjectSettings\nmetadata: {name: settings, namespace: %s}\nspec:\n  groupAccess:%s\n", project, list.String())
	stand.KubectlWithInput(t, manifest, "apply", "-f", "-")
}

func TestGroupsGetAndLoseAccess(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	bindings := record(t, roleBindings, project)
	const developers, operators = "developers", "oidc:Operators & Co"

	applySettings(t, project, developers+"=view", operators+"=admin")
	awaitRoles(t, project, developers, "view")
	awaitRoles(t, project, operators, "admin")
	stand.Kubectl(t, "wait", "projectsettings.ambient.io/settings", "-n", project, "--for=condition=Projected", "--timeout=60s")
	theirs, err := stand.Kubernetes.RbacV1().RoleBindings(project).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "made-by-hand"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: developers}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}

	// A changed role: the new one is there before the old one goes.
	applySettings(t, project, developers+"=edit", operators+"=admin")
	awaitRoles(t, project, developers, "edit")
	made := bindings.version(t, watch.Added, developers, "ambient-project-edit")
	revoked := bindings.version(t, watch.Deleted, developers, "ambient-project-view")
	if made > revoked {
		t.Errorf("the new binding was made at %d, the old one removed at %d", made, revoked)
	}

	// A group that is taken out upstream.
	setAccess(t, project, fmt.Sprintf(`[{"groupName":%q,"role":"edit"}]`, developers))
	awaitRoles(t, project, operators)
	awaitRoles(t, project, developers, "edit")

	// All are taken out.
	applySettings(t, project)
	awaitRoles(t, project, developers)

	for _, event := range bindings.all() {
		binding := event.Object.(*unstructured.Unstructured)
		if kind, role := text(binding, "roleRef", "kind"), text(binding, "roleRef", "name"); binding.GetName() != theirs.Name && (kind != "ClusterRole" || !strings.HasPrefix(role, "ambient-project-")) {
			t.Errorf("a binding to %s %s was made", kind, role)
		}
	}
	if _, err := stand.Kubernetes.RbacV1().RoleBindings(project).Get(t.Context(), theirs.Name, metav1.GetOptions{}); err != nil {
		t.Errorf("the binding that was made by hand: %v", err)
	}
}

// version waits for the event of the group's binding to the role and returns its
// place among all.
func (r *recording) version(t *testing.T, kind watch.EventType, group, role string) int64 {
	t.Helper()
	var found int64
	harness.Eventually(t, fmt.Sprintf("binding of %s to %s is %s", group, role, kind), func() error {
		for _, event := range r.all() {
			binding, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type != kind || text(binding, "roleRef", "name") != role {
				continue
			}
			subjects, _, err := unstructured.NestedSlice(binding.Object, "subjects")
			if err == nil && len(subjects) == 1 && subjects[0].(map[string]any)["name"] == group {
				found = version(t, binding)
				return nil
			}
		}
		return fmt.Errorf("no such event")
	})
	return found
}

// All spellings of group access that the upstream holds are understood; a text
// that is no role never becomes one.
func TestAccessWrittenUpstream(t *testing.T) {
	newRoles(t)
	project := stand.NewProject(t)
	bindings := record(t, roleBindings, project)
	access := `[{"group":"a","role":"view"},{"groupName":"b","role":"edit"},{"group_name":"c","role":"admin"},{"groupName":"d","role":"cluster-admin"},"e"]`
	if _, err := stand.Upstream.Settings.CreateProjectSettings(t.Context(), &ambientv1.CreateProjectSettingsRequest{ProjectId: project, GroupAccess: &access}); err != nil {
		t.Fatal(err)
	}
	awaitRoles(t, project, "a", "view")
	awaitRoles(t, project, "b", "edit")
	awaitRoles(t, project, "c", "admin")
	awaitRoles(t, project, "d")
	awaitRoles(t, project, "e", "view")
	awaitPlatformSettings(t, project, `{"groupAccess":[{"groupName":"a","role":"view"},{"groupName":"b","role":"edit"},{"groupName":"c","role":"admin"},{"groupName":"e","role":"view"}],"inactivityTimeoutSeconds":86400}`)
	awaitSettings(t, project, metav1.ConditionFalse, "RoleRefused")
	for _, event := range bindings.all() {
		if role := text(event.Object.(*unstructured.Unstructured), "roleRef", "name"); !strings.HasPrefix(role, "ambient-project-") {
			t.Errorf("a binding to %s was made", role)
		}
	}
}
