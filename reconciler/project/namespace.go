package project

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// GoneAnnotation, "true" on a namespace, says that its project was deleted, so
// that nothing upstream is lost with the namespace.
const GoneAnnotation = "ambient.io/project-gone"

// SecretName is the name of the secret that the operator needs before a session.
const SecretName = "ambient-runner-secrets"

// Reasons of the conditions Ready and Projected of a Project, and of Projected of
// its Sessions, while they are False.
const (
	ReasonReserved    = v1alpha1.ReasonNamespaceReserved
	ReasonNotAdopted  = v1alpha1.ReasonNamespaceNotAdopted
	ReasonTerminating = "NamespaceTerminating"
	ReasonNotReady    = "NamespaceNotReady"
	ReasonNoProject   = v1alpha1.ReasonNoProject
	reasonReady       = "NamespaceReady"
)

// reservedNames and reservedPrefixes are namespaces that are somebody else's
// whatever the project is called.
var (
	reservedNames    = []string{"default", "openshift", "ambient-system", "ambient-code"}
	reservedPrefixes = []string{"kube-", "openshift-"}
)

// Reserved tells whether a namespace is never used for a project. The further
// names are those of the installation itself.
func Reserved(name string, further ...string) bool {
	for _, reserved := range append(further, reservedNames...) {
		if name == reserved {
			return true
		}
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// namespaceLabels are the labels of the namespace of the project with the id.
func namespaceLabels(id string) map[string]string {
	return map[string]string{
		agenticsession.ManagedLabel:   "true",
		agenticsession.ManagedByLabel: agenticsession.FieldManager,
		v1alpha1.ProjectIDLabel:       id,
	}
}

// Ours tells whether a namespace was made or adopted by the reconciler for the
// project with the id.
func Ours(namespace metav1.Object, id string) bool {
	held := namespace.GetLabels()
	return held[agenticsession.ManagedByLabel] == agenticsession.FieldManager && held[v1alpha1.ProjectIDLabel] == id
}

// labelled tells whether a namespace bears all of our labels.
func labelled(namespace metav1.Object, id string) bool {
	held := namespace.GetLabels()
	for key, value := range namespaceLabels(id) {
		if held[key] != value {
			return false
		}
	}
	return true
}

// adopted tells whether somebody allowed that the namespace is used.
func adopted(namespace metav1.Object) bool {
	return namespace.GetAnnotations()[v1alpha1.AdoptAnnotation] == "true"
}

// terminating tells whether a namespace is being deleted.
func terminating(namespace metav1.Object) bool { return namespace.GetDeletionTimestamp() != nil }

// newSecret returns the runner secret as it is made: empty, for the project's
// people to fill in.
func newSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:      SecretName,
			Namespace: namespace,
			Labels: map[string]string{
				"app":                         SecretName,
				agenticsession.ManagedByLabel: agenticsession.FieldManager,
			},
			Annotations: map[string]string{"ambient-code.io/runner-secret": "true"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{"ANTHROPIC_API_KEY": {}},
	}
}

// state is what is said of a project's namespace.
type state struct {
	verdict         Verdict
	reason, message string
}

func stateReserved(name string) state {
	return state{verdict: Refused, reason: ReasonReserved, message: fmt.Sprintf("Namespace %s is reserved; a project of this name is not projected.", name)}
}

func stateNotAdopted(name string) state {
	return state{verdict: Refused, reason: ReasonNotAdopted, message: fmt.Sprintf(
		"Namespace %s was there before the project and is not used. To allow it: kubectl annotate namespace %s %s=true", name, name, v1alpha1.AdoptAnnotation)}
}

func stateElsewhere(name, cluster string) state {
	return state{verdict: Refused, reason: v1alpha1.ReasonProjectedByAnotherCluster, message: fmt.Sprintf(
		"Project %s is projected by the cluster whose namespace kube-system has the UID %s; nothing is made for it here. To hand it over: kubectl annotate --overwrite projects.ambient.io %s %s=$(kubectl get namespace kube-system -o jsonpath={.metadata.uid})",
		name, cluster, name, v1alpha1.ProjectIntoAnnotation)}
}

func stateTerminating(name string) state {
	return state{verdict: OnItsWay, reason: ReasonTerminating, message: fmt.Sprintf(
		"Namespace %s is being deleted. It ends when the project's sessions are deleted, or when their deletion is allowed: kubectl annotate namespace %s %s=true",
		name, name, v1alpha1.AllowCascadeAnnotation)}
}

func stateReady(name string) state {
	return state{verdict: Ready, reason: reasonReady, message: fmt.Sprintf("Namespace %s holds the project's sessions.", name)}
}
