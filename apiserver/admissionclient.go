package apiserver

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// managedNamespaceLabel is "true" on the namespaces of projects.
const managedNamespaceLabel = "ambient-code.io/managed"

// admissionClient is the cluster's client as admission sees it. Policies and
// webhooks are matched with the object's namespace, which follows the project
// here and need not exist yet: then they see the one that is about to be made.
// With the cluster's own answer, 404, any policy for our kinds would refuse every
// object that is applied together with its project.
type admissionClient struct {
	kubernetes.Interface
	unassignedNamespace string
}

// CoreV1 implements kubernetes.Interface.
func (c admissionClient) CoreV1() typedcorev1.CoreV1Interface {
	return admissionCoreClient{c.Interface.CoreV1(), c.unassignedNamespace}
}

type admissionCoreClient struct {
	typedcorev1.CoreV1Interface
	unassignedNamespace string
}

// Namespaces implements typedcorev1.CoreV1Interface.
func (c admissionCoreClient) Namespaces() typedcorev1.NamespaceInterface {
	return admissionNamespaces{c.CoreV1Interface.Namespaces(), c.unassignedNamespace}
}

type admissionNamespaces struct {
	typedcorev1.NamespaceInterface
	unassignedNamespace string
}

// Get implements typedcorev1.NamespaceInterface.
func (n admissionNamespaces) Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Namespace, error) {
	namespace, err := n.NamespaceInterface.Get(ctx, name, options)
	if !apierrors.IsNotFound(err) {
		return namespace, err
	}
	labels := map[string]string{corev1.LabelMetadataName: name}
	if name != n.unassignedNamespace {
		labels[managedNamespaceLabel] = "true"
		labels[v1alpha1.ProjectIDLabel] = name
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, nil
}
