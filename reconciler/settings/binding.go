package settings

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"regexp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	applyrbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// ProjectionLabel marks the RoleBindings that are ours, with ProjectionValue.
const (
	ProjectionLabel = "ambient.io/projection"
	ProjectionValue = "group-access"
)

// groupAnnotation holds the group's name for people to read: the object's name
// holds no more than a part of it.
const groupAnnotation = "ambient.io/group"

// roles are the roles that settings may give. Any other text is not a role: it
// must never become the name of a ClusterRole.
var roles = []string{"admin", "edit", "view"}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// bindingName returns the name of the RoleBinding of a group in a role. Role and
// group decide it, so that a changed role is another object and both can stand
// for a moment.
func bindingName(group, role string) string {
	sum := sha256.Sum256([]byte(group))
	hash := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:10]
	readable := strings.Trim(notInName.ReplaceAllString(strings.ToLower(group), "-"), "-")
	if len(readable) > 30 {
		readable = strings.TrimRight(readable[:30], "-")
	}
	if readable == "" {
		readable = "group"
	}
	return fmt.Sprintf("ambient-%s-%s-%s", role, readable, hash)
}

// clusterRole returns the name of the ClusterRole of a role.
func clusterRole(role string) string { return "ambient-project-" + role }

// bindings returns the RoleBindings that the access asks for, by name, and what
// of it asks for none, in order.
func bindings(namespace string, access []v1alpha1.GroupAccess) (map[string]*applyrbacv1.RoleBindingApplyConfiguration, []string) {
	wanted := map[string]*applyrbacv1.RoleBindingApplyConfiguration{}
	var refused []string
	for i, entry := range access {
		if !slices.Contains(roles, entry.Role) {
			refused = append(refused, fmt.Sprintf("spec.groupAccess[%d].role %q", i, entry.Role))
			continue
		}
		if entry.GroupName == "" {
			refused = append(refused, fmt.Sprintf("spec.groupAccess[%d].groupName", i))
			continue
		}
		name := bindingName(entry.GroupName, entry.Role)
		wanted[name] = applyrbacv1.RoleBinding(name, namespace).
			WithLabels(map[string]string{
				ProjectionLabel:               ProjectionValue,
				agenticsession.ManagedByLabel: agenticsession.FieldManager,
			}).
			WithAnnotations(map[string]string{groupAnnotation: entry.GroupName}).
			WithRoleRef(applyrbacv1.RoleRef().WithAPIGroup(rbacv1.GroupName).WithKind("ClusterRole").WithName(clusterRole(entry.Role))).
			WithSubjects(applyrbacv1.Subject().WithAPIGroup(rbacv1.GroupName).WithKind(rbacv1.GroupKind).WithName(entry.GroupName))
	}
	return wanted, refused
}

// ours tells whether a RoleBinding bears our label.
func ours(binding *rbacv1.RoleBinding) bool {
	return binding.Labels[ProjectionLabel] == ProjectionValue && binding.Labels[agenticsession.ManagedByLabel] == agenticsession.FieldManager
}

// stands tells whether the binding that is there is the one wanted.
func stands(held *rbacv1.RoleBinding, wanted *applyrbacv1.RoleBindingApplyConfiguration) bool {
	subject := wanted.Subjects[0]
	return ours(held) && held.Annotations[groupAnnotation] == *subject.Name &&
		held.RoleRef == rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: *wanted.RoleRef.Name} &&
		slices.Equal(held.Subjects, []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: *subject.Name}})
}
