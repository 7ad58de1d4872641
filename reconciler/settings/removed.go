package settings

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Deleted notes that the deletion of the settings in a namespace was received as
// an event, which is proof.
func (c *Controller) Deleted(namespace string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.deleted[namespace] = true
}

// ProjectDeleted notes that the deletion of the namespace's project was received as
// an event, which is proof.
func (c *Controller) ProjectDeleted(namespace string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.abandoned[namespace] = true
}

// proven tells whether it is certain that what is not shown is gone. That of which
// something else is shown by now is forgotten.
func (c *Controller) proven(settings *v1alpha1.ProjectSettings, namespace string, noProject bool) bool {
	marked := noProject && c.Gate.Marked(namespace)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if settings != nil {
		delete(c.deleted, namespace)
	}
	if !noProject {
		delete(c.abandoned, namespace)
	}
	return marked || c.deleted[namespace] || c.abandoned[namespace]
}

// present notes that there is nothing to revoke for an absence.
func (c *Controller) present(namespace string) {
	c.Brake.Present(namespace)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.deleted, namespace)
	delete(c.abandoned, namespace)
}

// removed revokes all access in a namespace whose settings, which are nil then, or
// whose project is gone. Without proof, the brake has a word; in any case the API
// server is asked once more.
func (c *Controller) removed(ctx context.Context, settings *v1alpha1.ProjectSettings, namespace string, noProject bool) (time.Duration, error) {
	c.unobstructed(namespace)
	held, err := c.held(namespace)
	if err != nil {
		return 0, err
	}
	mirrored, err := c.mirrored(namespace)
	if err != nil {
		return 0, err
	}
	if len(held) == 0 && !mirrored || c.Gate.Terminating(namespace) {
		c.present(namespace)
		return 0, nil
	}
	if !c.proven(settings, namespace, noProject) {
		if allowed, again := c.Brake.Absent(namespace); !allowed {
			return again, nil
		}
	}
	if noProject {
		_, err = c.Settings.AmbientV1alpha1().Projects().Get(ctx, namespace, metav1.GetOptions{})
	} else {
		_, err = c.Settings.AmbientV1alpha1().ProjectSettings(namespace).Get(ctx, v1alpha1.ProjectSettingsName, metav1.GetOptions{})
	}
	if err == nil {
		klog.FromContext(ctx).Info("Project or settings are said to be gone and are there, nothing revoked")
		return session.TransientPause, nil
	}
	if !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("asking whether the project or the settings of %s are gone: %w", namespace, err)
	}
	failed := c.revoke(ctx, settings, held, nothing)
	_, notMirrored := c.mirror(ctx, namespace, nil)
	if failed = append(failed, notMirrored...); len(failed) > 0 {
		return 0, failed.err()
	}
	c.present(namespace)
	return 0, nil
}
