package session

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// removalPause is the time between a deletion and the removal of what belongs to
// the session: one that changes its name is deleted and comes back at once.
const removalPause = time.Second

// removed takes away the AgenticSession of a Session that is gone. Without proof,
// the brake has a word; in any case the API server is asked once more.
func (c *Controller) removed(ctx context.Context, key Key) (time.Duration, error) {
	resources, err := c.resourcesOf(key)
	if err != nil {
		return 0, err
	}
	resources = slices.DeleteFunc(resources, func(resource *unstructured.Unstructured) bool {
		return resource.GetLabels()[agenticsession.ManagedByLabel] != agenticsession.FieldManager
	})
	displaced, err := lookUp[*v1alpha1.Session](c.Sessions, homeIndex, key.String())
	if err != nil {
		return 0, err
	}
	if len(resources) == 0 || len(displaced) > 0 {
		c.forget(key)
		return 0, nil
	}
	if !c.proven(key) {
		if allowed, again := c.Brake.Absent(key.String()); !allowed {
			return again, nil
		}
	}
	sessions, err := c.Client.ListSessions(ctx, key.ID)
	if err != nil {
		return 0, err
	}
	for i := range sessions {
		switch {
		case KeyOfSession(&sessions[i]) == key:
			klog.FromContext(ctx).Info("Session is said to be gone and is there, nothing removed")
			return removalPause, nil
		case home(&sessions[i]) == key:
			// It is shown elsewhere while the namespace is not the project's, and was not
			// deleted: no proof for later.
			klog.FromContext(ctx).Info("Session is shown in another namespace, nothing removed", "namespace", sessions[i].Namespace)
			c.forget(key)
			return 0, nil
		}
	}
	for _, resource := range resources {
		if resource.GetDeletionTimestamp() != nil {
			continue
		}
		err := c.Client.DeleteResource(ctx, key.Namespace, resource.GetName(), resource.GetUID())
		c.resources.forget(resource.GetUID())
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			return 0, err
		}
		klog.FromContext(ctx).Info("AgenticSession of a deleted session removed", "name", resource.GetName())
		c.Events.Event(resource, corev1.EventTypeNormal, "SessionDeleted", "Removed because its Session was deleted")
	}
	c.forget(key)
	return 0, nil
}

// proven tells whether the deletion of the session was received as an event.
func (c *Controller) proven(key Key) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.deleted[key]
}

// forget drops what is known of a session that is gone.
func (c *Controller) forget(key Key) {
	c.reports.Forget(key)
	c.Brake.Present(key.String())
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.deleted, key)
	delete(c.made, key)
	delete(c.creations, key)
	delete(c.applied, key)
	delete(c.active, key)
	for _, name := range []string{agenticsession.Name(key.ID), agenticsession.AlternativeName(key.ID)} {
		if at := objectName(key.Namespace, name); c.names[at] == key.ID {
			delete(c.names, at)
		}
	}
}

// SessionDeleted notes that the session is gone, and returns the keys to look at, each
// after the RemovalPause. A deletion that was received as an event is proof; one that
// was inferred from a list is not.
func (c *Controller) SessionDeleted(session *v1alpha1.Session, proof bool) []Key {
	c.sessions.forget(session.UID)
	keys := []Key{KeyOfSession(session)}
	if at := home(session); at != keys[0] {
		keys = append(keys, at)
	}
	if proof {
		c.mutex.Lock()
		defer c.mutex.Unlock()
		for _, key := range keys {
			c.deleted[key] = true
		}
	}
	return keys
}

// RemovalPause returns after which time to look at a session that was deleted.
func RemovalPause() time.Duration { return removalPause }
