package apiserver

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// namespaceGuard stands in for the admission plugin NamespaceLifecycle, which
// would demand that the namespace exists: here it follows the project. And it
// keeps the deletion of a namespace from deleting the system of record.
type namespaceGuard struct {
	client kubernetes.Interface
}

// get reads the namespace from the cluster, not from a cache: the namespace
// controller deletes content within milliseconds after a namespace was marked.
func (g namespaceGuard) get(ctx context.Context, name string) (*corev1.Namespace, error) {
	namespace, err := g.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading namespace %q: %w", name, err)
	}
	return namespace, nil
}

// beforeCreate refuses a creation in a namespace that is being deleted.
func (g namespaceGuard) beforeCreate(ctx context.Context, resource schema.GroupResource, name string) error {
	namespace, err := g.get(ctx, genericapirequest.NamespaceValue(ctx))
	if err != nil {
		return serviceUnavailable("cannot tell whether the namespace accepts new objects: %v", err)
	}
	if namespace == nil || namespace.DeletionTimestamp == nil {
		return nil
	}
	return terminating(resource, name, fmt.Sprintf("unable to create new content in namespace %s because it is being terminated", namespace.Name),
		fmt.Sprintf("namespace %s is being terminated", namespace.Name))
}

// terminating refuses a creation in a namespace that ends, or whose project does.
// Controllers know the type of the cause, and stop trying.
func terminating(resource schema.GroupResource, name, message, cause string) error {
	refusal := apierrors.NewForbidden(resource, name, errors.New(message))
	refusal.ErrStatus.Details.Causes = append(refusal.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: corev1.NamespaceTerminatingCause, Message: cause, Field: "metadata.namespace",
	})
	return refusal
}

// beforeDelete refuses a deletion in a namespace that is being deleted, by
// whomever, unless the namespace allows it. When the namespace cannot be read,
// it refuses too.
func (g namespaceGuard) beforeDelete(ctx context.Context, resource schema.GroupResource, name string) error {
	namespace, err := g.get(ctx, genericapirequest.NamespaceValue(ctx))
	if err != nil {
		return serviceUnavailable("cannot tell whether a deletion of the namespace would delete upstream: %v", err)
	}
	if namespace == nil || namespace.DeletionTimestamp == nil || namespace.Annotations[v1alpha1.AllowCascadeAnnotation] == "true" {
		return nil
	}
	return apierrors.NewForbidden(resource, name, fmt.Errorf(
		"namespace %s is being deleted, and deleting its content would delete it from the system of record; to allow that: kubectl annotate namespace %s %s=true",
		namespace.Name, namespace.Name, v1alpha1.AllowCascadeAnnotation))
}

// serviceUnavailable is a 503 with Retry-After.
func serviceUnavailable(format string, arguments ...interface{}) error {
	err := apierrors.NewServiceUnavailable(fmt.Sprintf(format, arguments...))
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return err
}
