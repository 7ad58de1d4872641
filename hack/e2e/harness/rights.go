package harness

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
)

// fallback is why a list may go unused.
const fallback = "a watch begins with what there is, or, where that is refused, with a list"

// right is one verb on one resource, as far as a rule gives it.
type right struct {
	verb, group, resource, name, namespace string
}

func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.name != "" {
		text += "/" + r.name
	}
	if r.namespace != "" {
		text += " in " + r.namespace
	}
	return text
}

// covers tells whether the right allows the request.
func (r right) covers(event *auditv1.Event) bool {
	resource := event.ObjectRef.Resource
	if event.ObjectRef.Subresource != "" {
		resource += "/" + event.ObjectRef.Subresource
	}
	return r.verb == event.Verb && r.group == event.ObjectRef.APIGroup && r.resource == resource &&
		(r.name == "" || r.name == event.ObjectRef.Name) && (r.namespace == "" || r.namespace == event.ObjectRef.Namespace)
}

// rightsOf returns all that the rules give.
func rightsOf(rules []rbacv1.PolicyRule, namespace string) []right {
	var rights []right
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						rights = append(rights, right{verb, group, resource, name, namespace})
					}
				}
			}
		}
	}
	return rights
}

// CheckRights compares the rights that the ClusterRole and the Role of an account
// in the namespace give, both named as it is, with what it was seen to ask in the
// audit log: each must have been used, and nothing may have been refused. A right
// that no request shows is named in unasked with the reason why it is given.
func CheckRights(t testing.TB, client kubernetes.Interface, log, namespace, account string, unasked map[string]string) {
	t.Helper()
	cluster, err := client.RbacV1().ClusterRoles().Get(t.Context(), account, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	local, err := client.RbacV1().Roles(namespace).Get(t.Context(), account, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	given := append(rightsOf(cluster.Rules, ""), rightsOf(local.Rules, namespace)...)
	used := map[right]bool{}
	made := Requests(t, log, "system:serviceaccount:"+namespace+":"+account)
	for _, event := range made {
		if event.Annotations["authorization.k8s.io/decision"] == "forbid" {
			t.Errorf("%s lacks the right to %s %+v", account, event.Verb, *event.ObjectRef)
		}
		for _, right := range given {
			if right.covers(event) {
				used[right] = true
			}
		}
	}
	if len(made) == 0 {
		t.Fatalf("%s asked for nothing", account)
	}
	var surplus []string
	for _, right := range given {
		why, excused := unasked[right.String()]
		if !excused && right.verb == "list" {
			watch := right
			watch.verb = "watch"
			why, excused = fallback, used[watch]
		}
		switch {
		case used[right]:
		case excused:
			t.Logf("the right to %s went unused: %s", right, why)
		default:
			surplus = append(surplus, right.String())
		}
	}
	for text := range unasked {
		if !slices.ContainsFunc(given, func(right right) bool { return right.String() == text }) {
			t.Errorf("the right to %s is excused and not given", text)
		}
	}
	if len(surplus) > 0 {
		t.Errorf("of %d requests none used the rights to\n%s", len(made), strings.Join(surplus, "\n"))
	}
}
