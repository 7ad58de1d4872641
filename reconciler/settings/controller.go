package settings

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Gate knows whether a namespace may hold what is projected, and what becomes of it.
type Gate interface {
	session.Gate
	// Marked tells whether the namespace bears the mark of a project whose deletion
	// was certain.
	Marked(namespace string) bool
	// Terminating tells whether the namespace is being deleted.
	Terminating(namespace string) bool
}

// Options are what a Controller is made of.
type Options struct {
	Settings versioned.Interface
	Kube     kubernetes.Interface
	// Store holds the ProjectSettings; Bindings our RoleBindings, indexed by
	// namespace.
	Store    cache.Store
	Bindings cache.Indexer
	// Platform holds the platform's own settings, if it is there.
	Platform Platform
	Gate     Gate
	Brake    session.Brake
	Events   record.EventRecorder
}

// Controller makes passes over ProjectSettings.
type Controller struct {
	Options

	mutex sync.Mutex
	// deleted holds the namespaces whose settings' deletion was received as an
	// event, abandoned those whose project's was.
	deleted, abandoned map[string]bool
	// obstructed is since when a transient obstacle stands in the way in a namespace.
	obstructed map[string]time.Time
}

// New returns a Controller.
func New(options Options) *Controller {
	return &Controller{Options: options, deleted: map[string]bool{}, abandoned: map[string]bool{}, obstructed: map[string]time.Time{}}
}

// Reconcile makes one pass over the settings in the namespace.
func (c *Controller) Reconcile(ctx context.Context, namespace string) (time.Duration, error) {
	obstacle := c.Gate.Obstacle(namespace)
	if obstacle.Foreign {
		c.present(namespace)
		return 0, nil
	}
	settings, err := c.shown(namespace)
	if err != nil {
		return 0, err
	}
	// Settings outlive their project upstream, and nobody has access to what is not there.
	if noProject := obstacle.Reason == project.ReasonNoProject; settings == nil || noProject {
		return c.removed(ctx, settings, namespace, noProject)
	}
	c.present(namespace)
	if obstacle.Reason != "" {
		return c.hold(ctx, settings, obstacle)
	}
	c.unobstructed(namespace)
	return 0, c.project(ctx, settings)
}

// shown returns the settings in the namespace, nil if there are none.
func (c *Controller) shown(namespace string) (*v1alpha1.ProjectSettings, error) {
	object, found, err := c.Store.GetByKey(namespace + "/" + v1alpha1.ProjectSettingsName)
	if err != nil {
		return nil, fmt.Errorf("looking up the settings in %s: %w", namespace, err)
	}
	if settings, ok := object.(*v1alpha1.ProjectSettings); found && ok {
		return settings, nil
	}
	return nil, nil
}

// project makes the cluster say what the settings say. What fails hinders nothing
// else: what the cluster refuses of one group may stay so for long, and must not keep
// the access of another.
func (c *Controller) project(ctx context.Context, settings *v1alpha1.ProjectSettings) error {
	namespace := settings.Namespace
	wanted, unknown := entries(namespace, settings.Spec.GroupAccess)
	held, err := c.held(namespace)
	if err != nil {
		return err
	}
	open, failed := c.grant(ctx, settings, held, wanted)
	failed = append(failed, c.revoke(ctx, settings, held, kept(namespace, wanted, open))...)
	omitted, notMirrored := c.mirror(ctx, namespace, settings)
	failed = append(failed, notMirrored...)
	refused := failed.refused()
	if len(failed) > 0 && len(refused) == 0 {
		return failed.err()
	}
	return errors.Join(failed.err(), c.report(ctx, settings, concluded(settings, unknown, omitted, refused)))
}

// hold grants nothing while there is an obstacle. What was taken away is revoked all
// the same: a namespace that is no longer the project's may hold what was granted
// while it was. In one that ends, nothing is done any more.
func (c *Controller) hold(ctx context.Context, settings *v1alpha1.ProjectSettings, obstacle session.Obstacle) (time.Duration, error) {
	namespace := settings.Namespace
	var failed failures
	if !c.Gate.Terminating(namespace) {
		held, err := c.held(namespace)
		if err != nil {
			return 0, err
		}
		wanted, _ := entries(namespace, settings.Spec.GroupAccess)
		failed = c.revoke(ctx, settings, held, kept(namespace, wanted, missing(held, wanted)))
	}
	again := time.Duration(0)
	switch {
	case !obstacle.Transient:
		c.unobstructed(namespace)
	case c.obstructedFor(namespace) < session.Patience:
		return session.TransientPause, failed.err()
	default:
		again = session.RestPause
	}
	return again, errors.Join(failed.err(), c.report(ctx, settings, obstructed(obstacle, failed.refused())))
}

// obstructedFor returns for how long a transient obstacle has been in the way.
func (c *Controller) obstructedFor(namespace string) time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if _, known := c.obstructed[namespace]; !known {
		c.obstructed[namespace] = time.Now()
	}
	return time.Since(c.obstructed[namespace])
}

// unobstructed notes that no transient obstacle is in the way.
func (c *Controller) unobstructed(namespace string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.obstructed, namespace)
}
