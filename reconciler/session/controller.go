package session

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/status"
)

// Obstacle says why a session can't have an AgenticSession. The zero value says
// that it can.
type Obstacle struct {
	// Reason and Message are those of condition Projected.
	Reason, Message string
	// Transient is true if the obstacle is expected to pass by itself, soon.
	Transient bool
	// Foreign is true if another cluster projects the session's project: nothing
	// is written, made or deleted here.
	Foreign bool
}

// Gate knows whether a namespace may hold AgenticSessions.
type Gate interface {
	// Obstacle returns what stands in the way in the namespace.
	Obstacle(namespace string) Obstacle
}

// Starts knows which sessions that nobody asked to start are started.
type Starts interface {
	// Unstarted returns why the session isn't started, as reason and message of
	// condition Projected, both empty if it is.
	Unstarted(session *v1alpha1.Session) (reason, message string)
}

// Brake stops removals that are inferred from absence when they are many.
type Brake interface {
	// Absent says that the source of the named object is absent and returns
	// whether the object may be removed; if not, after which time to ask again.
	Absent(name string) (allowed bool, again time.Duration)
	// Present says that the source of the named object is there.
	Present(name string)
}

// Freshness knows how current the informer of Sessions is.
type Freshness interface {
	// Await returns nil once the informer holds all that the API server held at the
	// moment, or later; an error if that can't be known before the context ends.
	Await(ctx context.Context, moment time.Time) error
}

// Options are what a Controller is made of.
type Options struct {
	Client Client
	// Freshness may be nil: then Sessions are read one by one.
	Freshness Freshness
	// Busy tells whether further sessions wait for a pass; nil: none ever do.
	Busy func() bool
	// Sessions and Resources are the informers' stores, with Indexers.
	Sessions, Resources cache.Indexer
	Gate                Gate
	Starts              Starts
	Brake               Brake
	Events              record.EventRecorder
	// Coalesce is how long changes of an AgenticSession are gathered before they
	// are reported.
	Coalesce time.Duration
	// Now returns the time.
	Now func() time.Time
}

// Controller makes passes over sessions.
type Controller struct {
	Options
	reports   *status.Coalescer[Key]
	sessions  *overlay[*v1alpha1.Session]
	resources *overlay[*unstructured.Unstructured]

	mutex sync.Mutex
	// deleted holds the sessions whose deletion was received as an event.
	deleted map[Key]bool
	// names holds the id for which each AgenticSession's name is being used.
	names map[cache.ObjectName]string
	// made holds the AgenticSessions that were made or seen and that their Sessions
	// don't name yet.
	made map[Key]v1alpha1.AgenticSessionReference
	// creations are the AgenticSessions that were made and not told of yet, and
	// lastCreation is when the last one was made.
	creations    map[Key]creation
	lastCreation time.Time
	// applied is the configuration that was last applied for a session.
	applied map[Key]*unstructured.Unstructured
	// active is when the time of the last activity was last written.
	active map[Key]time.Time
}

// New returns a Controller.
func New(options Options) *Controller {
	return &Controller{
		Options:   options,
		reports:   status.NewCoalescer[Key](options.Coalesce, options.Now),
		sessions:  newOverlay[*v1alpha1.Session](options.Now),
		resources: newOverlay[*unstructured.Unstructured](options.Now),
		deleted:   map[Key]bool{},
		names:     map[cache.ObjectName]string{},
		made:      map[Key]v1alpha1.AgenticSessionReference{},
		creations: map[Key]creation{},
		applied:   map[Key]*unstructured.Unstructured{},
		active:    map[Key]time.Time{},
	}
}

// ResourceChanged notes a change of an AgenticSession, and returns after which
// time a pass should look at it.
func (c *Controller) ResourceChanged(resource *unstructured.Unstructured) time.Duration {
	return c.reports.Note(KeyOfResource(resource))
}

// ResourceDeleted notes that an AgenticSession is gone.
func (c *Controller) ResourceDeleted(resource *unstructured.Unstructured) {
	c.resources.forget(resource.GetUID())
}

// Reconcile makes one pass over a session. It returns after which time to make
// another, 0 if none is due.
func (c *Controller) Reconcile(ctx context.Context, key Key) (time.Duration, error) {
	if key.ID == "" {
		return 0, nil
	}
	session, err := c.session(key)
	if err != nil {
		return 0, err
	}
	if c.foreign(key, session) {
		c.forget(key)
		return 0, nil
	}
	if session == nil {
		return c.removed(ctx, key)
	}
	c.Brake.Present(key.String())
	c.mutex.Lock()
	delete(c.deleted, key)
	c.mutex.Unlock()

	p, err := c.look(key, session)
	if err != nil {
		return 0, err
	}
	return p.run(ctx)
}

// foreign tells whether another cluster projects the project of the session, which may
// be nil: also of one that is shown outside of its project's namespace.
func (c *Controller) foreign(key Key, session *v1alpha1.Session) bool {
	if c.Gate.Obstacle(key.Namespace).Foreign {
		return true
	}
	return session != nil && home(session) != key && c.Gate.Obstacle(home(session).Namespace).Foreign
}
