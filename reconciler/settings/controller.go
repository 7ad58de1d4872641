package settings

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// Reasons of the conditions Ready and Projected of ProjectSettings.
const (
	reasonGranted = "AccessGranted"
	reasonRefused = "RoleRefused"
)

const (
	// waiting is the pause before another look at a namespace that is being made.
	waiting = time.Second
	// rest is the pause between two looks at a transient obstacle that lasts.
	rest = time.Minute
	// patience is how long a transient obstacle is not worth a word.
	patience = 15 * time.Second
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

// project makes the cluster say what the settings say.
func (c *Controller) project(ctx context.Context, settings *v1alpha1.ProjectSettings) error {
	namespace := settings.Namespace
	wanted, refused := entries(namespace, settings.Spec.GroupAccess)
	held, err := c.held(namespace)
	if err != nil {
		return err
	}
	if err := c.grant(ctx, settings, held, wanted); err != nil {
		return err
	}
	if err := c.revoke(ctx, settings, held, kept(namespace, wanted, nil)); err != nil {
		return err
	}
	omitted, err := c.mirror(ctx, namespace, settings)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		message := fmt.Sprintf("Only the roles %s can be given; nothing is granted for %s.", strings.Join(roles, ", "), strings.Join(refused, ", "))
		return c.report(ctx, settings, project.Refused, reasonRefused, message)
	}
	message := fmt.Sprintf("%d groups have access.", len(settings.Spec.GroupAccess))
	if len(omitted) > 0 {
		message += fmt.Sprintf(" The platform's settings have no place for %s.", strings.Join(omitted, ", "))
	}
	return c.report(ctx, settings, project.Ready, reasonGranted, message)
}

// hold grants nothing while there is an obstacle. What was taken away is revoked all
// the same: a namespace that is no longer the project's may hold what was granted
// while it was. In one that ends, nothing is done any more.
func (c *Controller) hold(ctx context.Context, settings *v1alpha1.ProjectSettings, obstacle session.Obstacle) (time.Duration, error) {
	namespace := settings.Namespace
	var failure error
	if !c.Gate.Terminating(namespace) {
		held, err := c.held(namespace)
		if err != nil {
			return 0, err
		}
		wanted, _ := entries(namespace, settings.Spec.GroupAccess)
		failure = c.revoke(ctx, settings, held, kept(namespace, wanted, missing(held, wanted)))
	}
	again := time.Duration(0)
	switch {
	case !obstacle.Transient:
		c.unobstructed(namespace)
	case c.obstructedFor(namespace) < patience:
		return waiting, failure
	default:
		again = rest
	}
	return again, errors.Join(failure, c.report(ctx, settings, verdict(obstacle), obstacle.Reason, obstacle.Message))
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

// verdict says whether an obstacle goes away without anybody's help, as a namespace
// does that is being deleted: it is made again.
func verdict(obstacle session.Obstacle) project.Verdict {
	if obstacle.Transient || obstacle.Reason == project.ReasonTerminating {
		return project.OnItsWay
	}
	return project.Refused
}
