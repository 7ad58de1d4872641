package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/baseline"
	"github.com/ambient-code/ambient-kube/reconciler/brake"
	"github.com/ambient-code/ambient-kube/reconciler/freshness"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/queue"
	"github.com/ambient-code/ambient-kube/reconciler/session"
	"github.com/ambient-code/ambient-kube/reconciler/settings"
	"github.com/ambient-code/ambient-kube/release"
)

// Run runs the reconciler until ctx ends, and returns nil then.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	config, err := o.restConfig()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(release.NewCollector(), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c, err := newClients(config, registry)
	if err != nil {
		return err
	}
	probes := newProbes()
	leading := newLeading(registry)
	probes.gather(registry)

	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	working, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var server sync.WaitGroup
	serve := func(further map[string]http.Handler) {
		server.Go(func() {
			if err := probes.serve(serving, o.HealthBindAddress, further); err != nil {
				fail(err)
			}
		})
	}
	defer func() {
		stopServing()
		server.Wait()
	}()

	if o.Mode == ModeTest {
		return ended(ctx, working, dryRun(working, c, registry, probes, serve))
	}
	serve(nil)
	if err := o.serveWebhooks(serving, c, registry, probes, &server, fail); err != nil {
		return err
	}
	work := func(ctx context.Context) error {
		cluster, err := identity(ctx, c.kube)
		if err != nil {
			return err
		}
		leading.Set(1)
		defer leading.Set(0)
		// Every time in the lead begins with an empty memory.
		term := prometheus.NewRegistry()
		probes.gather(registry, term)
		return newRun(o, c, cluster, term, probes).lead(ctx)
	}
	for {
		if o.LeaderElect {
			err = lead(working, o, c.kube, probes, work)
		} else {
			err = work(working)
		}
		if !errors.Is(err, errLeadLost) || working.Err() != nil {
			break
		}
		klog.FromContext(ctx).Info("The lead was lost, all work ended; standing by")
	}
	return ended(ctx, working, err)
}

// identity returns the UID of the namespace kube-system, by which a cluster is
// known; it waits until it is told.
func identity(ctx context.Context, kube kubernetes.Interface) (string, error) {
	for {
		system, err := kube.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err == nil {
			return string(system.UID), nil
		}
		klog.FromContext(ctx).Info("The cluster's identity can't be read, will try again", "err", err.Error())
		if !sleep(ctx, retryPause) {
			return "", fmt.Errorf("reading the cluster's identity: %w", context.Cause(ctx))
		}
	}
}

// ended returns why the process ends: nil if it was asked to.
func ended(ctx, working context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // what ended because of it is no reason of its own
	}
	if err == nil {
		err = context.Cause(working)
	}
	return err
}

// run is one time in the lead.
type run struct {
	options   Options
	clients   *clients
	probes    *probes
	logger    klog.Logger
	informers *informers
	events    record.EventRecorder
	broadcast record.EventBroadcaster
	baseline  *baseline.Baseline
	guard     *guard

	gate           *project.Gate
	leftover       *project.Leftover
	sessionPasses  *session.Controller
	settingsPasses *settings.Controller
	platform       *platform
	sessions       *queue.Queue[session.Key]
	projects       *queue.Queue[string]
	settings       *queue.Queue[string]
}

// Limits of removals that are inferred from absence.
var (
	objectLimits    = brake.Limits{Window: time.Minute, Most: 50, Least: 10, Share: 0.2}
	namespaceLimits = brake.Limits{Window: 10 * time.Minute, Most: 1, Least: 2}
)

func newRun(o Options, c *clients, cluster string, registry *prometheus.Registry, probes *probes) *run {
	r := &run{options: o, clients: c, probes: probes, informers: newInformers(c)}
	r.broadcast = record.NewBroadcaster()
	r.events = recorder{
		EventRecorder: r.broadcast.NewRecorder(eventScheme(), corev1.EventSource{Component: agenticsession.FieldManager}),
		namespaces:    r.informers.namespaces.GetStore(),
	}
	r.baseline = baseline.New(c.kube, c.ambient, o.LeaseNamespace, o.StartPolicy)
	r.guard = newGuard(c.kube, o.LeaseNamespace, o.LeaseName, registry)
	r.guard.events = r.events

	stores := project.Stores{Projects: r.informers.projects.GetStore(), Namespaces: r.informers.namespaces.GetStore(), Secrets: r.informers.secrets.GetStore()}
	reserved := []string{o.LeaseNamespace, o.UnassignedNamespace}
	r.gate = project.NewGate(stores, cluster, o.UnassignedNamespace, reserved...)
	r.leftover = &project.Leftover{
		Policy: o.NamespacePolicy, Projects: c.ambient, Resources: c.dynamic, Kube: c.kube, Namespaces: stores.Namespaces,
		Brake: r.guard.brake("namespaces", namespaceLimits, func() int { return len(stores.Namespaces.List()) }),
	}
	projectPasses := project.New(project.Options{
		Projects: c.ambient, Kube: c.kube, Stores: stores, Gate: r.gate, Leftover: r.leftover, Events: r.events,
		Cluster: cluster, Reserved: reserved,
	})
	showForeign(registry, projectPasses.Foreign)
	showBaseline(registry, r.baseline.Missing)
	r.sessionPasses = session.New(session.Options{
		Client:   session.NewClient(c.ambient, c.dynamic),
		Sessions: r.informers.sessions.GetIndexer(), Resources: r.informers.resources.GetIndexer(),
		Gate: r.gate, Starts: r.baseline, Events: r.events, Coalesce: o.Coalesce, Now: time.Now,
		Freshness: freshness.NewBarrier(presentSessions(c), r.informers.sessions.GetStore().LastStoreSyncResourceVersion, time.Now),
		Busy:      func() bool { return r.sessions.Waiting() > 0 },
		Brake:     r.guard.brake("agenticsessions", objectLimits, func() int { return len(r.informers.resources.GetStore().ListKeys()) }),
	})
	r.platform = newPlatform(c, r.informers.operatorBindings.GetIndexer())
	r.platform.changed = func(namespace string) { r.settings.Add(namespace) }
	r.platform.appeared = r.touchSettings
	r.settingsPasses = settings.New(settings.Options{
		Settings: c.ambient, Kube: c.kube, Store: r.informers.settings.GetStore(), Bindings: r.informers.roleBindings.GetIndexer(),
		Platform: r.platform, Gate: r.gate, Events: r.events,
		Brake: r.guard.brake("projectsettings", objectLimits, func() int { return len(r.informers.settings.GetStore().ListKeys()) }),
	})
	metrics := queue.NewMetrics(registry)
	options := func(name string) queue.Options {
		return queue.Options{Name: name, Workers: o.Workers, Metrics: metrics}
	}
	r.sessions = queue.New(options("sessions"), r.sessionPasses.Reconcile)
	r.projects = queue.New(options("projects"), projectPasses.Reconcile)
	r.settings = queue.New(options("projectsettings"), r.settingsPasses.Reconcile)
	return r
}

// lead works until ctx ends. Passes that are under way then get the time to
// finish, unless the lease is lost.
func (r *run) lead(ctx context.Context) error {
	r.logger = klog.FromContext(ctx)
	r.broadcast.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: r.clients.kube.CoreV1().Events("")})
	defer r.broadcast.Shutdown()
	// Not every time in the lead gets as far as running them.
	defer r.sessions.Stop()
	defer r.projects.Stop()
	defer r.settings.Stop()

	// What is under way outlives ctx for a while.
	passes, endPasses := context.WithCancel(context.WithoutCancel(ctx))
	defer endPasses()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	watching, endWatching := context.WithCancel(ctx)
	defer endWatching()
	if err := r.watch(watching, &tasks); err != nil {
		return err
	}
	if !r.prepared(ctx) {
		return nil
	}
	r.logger.Info("Leading, passes begin")
	r.probes.waitFor("")
	tasks.Go(func() { r.guard.run(watching) })
	tasks.Go(func() { r.platform.run(watching) })
	tasks.Go(func() { r.seekBaseline(watching) })
	tasks.Go(func() {
		<-ctx.Done()
		if errors.Is(context.Cause(ctx), errLeadLost) {
			endPasses()
			return
		}
		select {
		case <-time.After(r.options.Grace):
			endPasses()
		case <-passes.Done():
		}
	})
	var queues sync.WaitGroup
	queues.Go(func() { r.sessions.Run(ctx, passes) })
	queues.Go(func() { r.projects.Run(ctx, passes) })
	queues.Go(func() { r.settings.Run(ctx, passes) })
	queues.Wait()
	endPasses()
	return nil
}

// watch starts the informers.
func (r *run) watch(ctx context.Context, tasks *sync.WaitGroup) error {
	handlers := r.handlers()
	for name, informer := range r.informers.named() {
		if err := prepare(name, informer); err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(handlers[name]); err != nil {
			return fmt.Errorf("watching %s: %w", name, err)
		}
		tasks.Go(func() { informer.RunWithContext(ctx) })
	}
	return nil
}

// retryPause is the time between two tries to prepare.
const retryPause = time.Second

// prepared waits until everything is known that passes need; it returns false if
// ctx ended before.
func (r *run) prepared(ctx context.Context) bool {
	steps := []struct {
		name string
		done func() error
	}{
		{"the first lists", r.synced},
		{"the lease's annotations", func() error {
			if !r.options.LeaderElect {
				return nil
			}
			return r.guard.restore(ctx)
		}},
		{"the record of old sessions", func() error { return r.loadBaseline(ctx) }},
	}
	for _, step := range steps {
		r.probes.waitFor(step.name)
		for {
			err := step.done()
			if err == nil {
				break
			}
			r.probes.waitFor(step.name + ": " + err.Error())
			r.logger.V(2).Info("Not prepared yet", "step", step.name, "reason", err.Error())
			pause := retryPause
			if step.name == steps[0].name {
				pause = 50 * time.Millisecond
			}
			if !sleep(ctx, pause) {
				return false
			}
		}
	}
	return ctx.Err() == nil
}

// synced returns an error that names the informers that have not listed yet.
func (r *run) synced() error {
	var missing []string
	for name, informer := range r.informers.named() {
		if !informer.HasSynced() {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("missing %s", describe(missing))
}

// loadBaseline loads or makes the record of old sessions. That it is lost is not
// an error: then nothing new is started.
func (r *run) loadBaseline(ctx context.Context) error {
	found, err := r.baseline.Load(ctx, r.projectedBefore())
	if err != nil {
		return err
	}
	if !found {
		r.logger.Info("The record of old sessions is lost; nothing that has no AgenticSession is started until a person restores it",
			"configmap", r.options.LeaseNamespace+"/"+baseline.ConfigMapName)
	}
	return nil
}

// projectedBefore tells whether anything that an earlier reconciler left is there.
func (r *run) projectedBefore() bool {
	if len(r.informers.resources.GetStore().ListKeys()) > 0 {
		return true
	}
	managed := false
	err := cache.ListAll(r.informers.namespaces.GetStore(), project.Managed(), func(any) { managed = true })
	return managed || err != nil
}

// baselineInterval is the time between two looks for a restored record.
const baselineInterval = 5 * time.Second

// seekBaseline waits for a person to restore the record, if it is lost.
func (r *run) seekBaseline(ctx context.Context) {
	if r.baseline.Loaded() {
		return
	}
	for sleep(ctx, baselineInterval) {
		found, err := r.baseline.Load(ctx, true)
		if err != nil {
			r.logger.Info("The record of old sessions can't be loaded", "err", err.Error())
			continue
		}
		if found {
			for _, namespace := range slices.Collect(maps.Keys(r.sessionNamespaces())) {
				r.touch(namespace)
			}
			return
		}
	}
}

// sessionNamespaces returns the namespaces that hold sessions.
func (r *run) sessionNamespaces() map[string]bool {
	result := map[string]bool{}
	for _, key := range r.informers.sessions.GetStore().ListKeys() {
		if namespace, _, err := cache.SplitMetaNamespaceKey(key); err == nil {
			result[namespace] = true
		}
	}
	return result
}

// sleep waits, and returns false if ctx ended before.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
