package project

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Policy says what becomes of the namespace of a project that was deleted.
type Policy string

// The policies.
const (
	// Retain leaves the namespace, marked.
	Retain Policy = "retain"
	// Delete deletes the namespace once no session is left in it.
	Delete Policy = "delete"
)

// occupiedPause is the time between two looks whether the last session has gone.
const occupiedPause = 30 * time.Second

// Leftover deals with the namespaces of projects that are gone.
type Leftover struct {
	Policy     Policy
	Projects   versioned.Interface
	Resources  dynamic.Interface
	Kube       kubernetes.Interface
	Namespaces cache.Store
	Brake      session.Brake

	mutex sync.Mutex
	// deleted holds the projects whose deletion was received as an event.
	deleted map[string]bool
}

// ProjectDeleted notes that the deletion of a project was received as an event,
// which is proof.
func (l *Leftover) ProjectDeleted(id string) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.deleted == nil {
		l.deleted = map[string]bool{}
	}
	l.deleted[id] = true
}

// present says that the project is there.
func (l *Leftover) present(id string) {
	l.Brake.Present(id)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.deleted, id)
}

func (l *Leftover) proven(id string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.deleted[id]
}

// reconcile marks the namespace of a project that is gone, and deletes it if that
// is the policy, nobody lent it, and nothing is left in it.
func (l *Leftover) reconcile(ctx context.Context, id string) (time.Duration, error) {
	object, found, err := l.Namespaces.GetByKey(id)
	if err != nil {
		return 0, fmt.Errorf("looking up namespace %s: %w", id, err)
	}
	namespace, ok := object.(*corev1.Namespace)
	if !found || !ok || !Ours(namespace, id) || terminating(namespace) {
		l.present(id)
		return 0, nil
	}
	// The mark was set when the deletion was certain, and projects don't return.
	marked := namespace.Annotations[GoneAnnotation] == "true"
	if marked && (l.Policy != Delete || adopted(namespace)) {
		l.present(id)
		return 0, nil
	}
	if !marked && !l.proven(id) {
		if allowed, again := l.Brake.Absent(id); !allowed {
			return again, nil
		}
	}
	_, err = l.Projects.AmbientV1alpha1().Projects().Get(ctx, id, metav1.GetOptions{})
	if err == nil {
		klog.FromContext(ctx).Info("Project is said to be gone and is there, nothing removed")
		return time.Second, nil
	}
	if !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("asking for project %s: %w", id, err)
	}
	if !marked {
		gone := "true"
		if namespace, err = annotate(ctx, l.Kube, namespace, &gone); err != nil {
			return 0, err
		}
	}
	if l.Policy != Delete || adopted(namespace) {
		l.present(id)
		return 0, nil
	}
	occupied, err := l.occupied(ctx, id)
	if err != nil {
		return 0, err
	}
	if occupied {
		return occupiedPause, nil
	}
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &namespace.UID}}
	if err := l.Kube.CoreV1().Namespaces().Delete(ctx, id, options); err != nil && !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("deleting namespace %s: %w", id, err)
	}
	klog.FromContext(ctx).Info("Namespace of a deleted project deleted", "namespace", id)
	l.present(id)
	return 0, nil
}

// occupied tells whether the namespace still holds a Session, or an
// AgenticSession of anybody.
func (l *Leftover) occupied(ctx context.Context, namespace string) (bool, error) {
	sessions, err := l.Projects.AmbientV1alpha1().Sessions(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return false, fmt.Errorf("listing the sessions in namespace %s: %w", namespace, err)
	}
	if len(sessions.Items) > 0 {
		return true, nil
	}
	resources, err := l.Resources.Resource(agenticsession.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return false, fmt.Errorf("listing the AgenticSessions in namespace %s: %w", namespace, err)
	}
	return len(resources.Items) > 0, nil
}

// Managed selects the namespaces that the reconciler made or adopted.
func Managed() labels.Selector {
	return labels.SelectorFromSet(labels.Set{agenticsession.ManagedByLabel: agenticsession.FieldManager})
}

// ProjectOf returns the id of the project that a namespace of ours was made for,
// "" if it is none of ours.
func ProjectOf(namespace metav1.Object) string {
	if id := namespace.GetLabels()[v1alpha1.ProjectIDLabel]; Ours(namespace, id) {
		return id
	}
	return ""
}
