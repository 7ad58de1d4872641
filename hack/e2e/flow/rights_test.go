package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

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
	const name, namespace = "ambient-kube-reconciler", "ambient-system"
	exercise(t)
	cluster, err := stand.Kubernetes.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	local, err := stand.Kubernetes.RbacV1().Roles(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	given := append(rightsOf(cluster.Rules, ""), rightsOf(local.Rules, namespace)...)
	used := map[right]bool{}
	made := stand.Requests(t, stack.UserName(name))
	for _, event := range made {
		if event.Annotations["authorization.k8s.io/decision"] == "forbid" {
			t.Errorf("the reconciler lacks the right to %s %+v", event.Verb, *event.ObjectRef)
		}
		for _, right := range given {
			if right.covers(event) {
				used[right] = true
			}
		}
	}
	if len(made) == 0 {
		t.Fatal("the reconciler asked for nothing")
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
