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

// accessField is the path of the entries that give access.
const accessField = "spec.groupAccess"

// roles are the roles that settings may give, each of which gives more than the next.
// Any other text is not a role: it must never become the name of a ClusterRole.
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

// roleRef returns how a RoleBinding names a role.
func roleRef(role string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole(role)}
}

// entry is an entry of settings that gives access, with its path and the RoleBinding
// that gives it.
type entry struct {
	field   string
	access  v1alpha1.GroupAccess
	binding *applyrbacv1.RoleBindingApplyConfiguration
}

func newEntry(namespace, field string, access v1alpha1.GroupAccess) entry {
	role := roleRef(access.Role)
	binding := applyrbacv1.RoleBinding(bindingName(access.GroupName, access.Role), namespace).
		WithLabels(map[string]string{
			ProjectionLabel:               ProjectionValue,
			agenticsession.ManagedByLabel: agenticsession.FieldManager,
		}).
		WithAnnotations(map[string]string{groupAnnotation: access.GroupName}).
		WithRoleRef(applyrbacv1.RoleRef().WithAPIGroup(role.APIGroup).WithKind(role.Kind).WithName(role.Name)).
		WithSubjects(applyrbacv1.Subject().WithAPIGroup(rbacv1.GroupName).WithKind(rbacv1.GroupKind).WithName(access.GroupName))
	return entry{field: field, access: access, binding: binding}
}

// name returns the name of the entry's RoleBinding.
func (e entry) name() string { return *e.binding.Name }

// entries returns the entries that give access, each once, and what of the others
// gives none, in order.
func entries(namespace string, access []v1alpha1.GroupAccess) ([]entry, []string) {
	var wanted []entry
	var refused []string
	for i, given := range access {
		field := fmt.Sprintf("%s[%d]", accessField, i)
		switch {
		case !slices.Contains(roles, given.Role):
			refused = append(refused, fmt.Sprintf("%s.role %q", field, given.Role))
		case given.GroupName == "":
			refused = append(refused, field+".groupName")
		case !slices.Contains(access[:i], given):
			wanted = append(wanted, newEntry(namespace, field, given))
		}
	}
	return wanted, refused
}

// ours tells whether a RoleBinding bears our label.
func ours(binding *rbacv1.RoleBinding) bool {
	return binding.Labels[ProjectionLabel] == ProjectionValue && binding.Labels[agenticsession.ManagedByLabel] == agenticsession.FieldManager
}

// stands tells whether the binding that is there is the one wanted.
func stands(held *rbacv1.RoleBinding, wanted *applyrbacv1.RoleBindingApplyConfiguration) bool {
	return ours(held) && held.Annotations[groupAnnotation] == *wanted.Subjects[0].Name && gives(held, wanted)
}

// gives tells whether the binding that is there gives what the one wanted does, and
// nothing else.
func gives(held *rbacv1.RoleBinding, wanted *applyrbacv1.RoleBindingApplyConfiguration) bool {
	group := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: *wanted.Subjects[0].Name}
	return held.RoleRef == rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: *wanted.RoleRef.Name} &&
		slices.Equal(held.Subjects, []rbacv1.Subject{group})
}
