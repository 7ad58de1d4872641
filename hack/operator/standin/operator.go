package standin

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// ManagedLabel must be "true" on a namespace in which the operator is to act.
const ManagedLabel = "ambient-code.io/managed"

// RunnerSecretName names the secret without which no runner starts.
const RunnerSecretName = "ambient-runner-secrets"

// The resources that the operator reads and writes.
var (
	AgenticSessions = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}
	ProjectSettings = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "projectsettings"}

	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
)

// Run is the operator. It returns nil when ctx ends and everything that it
// started has ended, and an error if it can't begin.
func Run(ctx context.Context, config *rest.Config, options Options) error {
	if err := options.Validate(); err != nil {
		return fmt.Errorf("options of the stand-in operator: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = options.QPS, options.Burst
	config = rest.AddUserAgent(config, "ambient-operator-standin")
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return run(ctx, client, options)
}

// run is Run on a client.
func run(ctx context.Context, client dynamic.Interface, options Options) error {
	operator := newOperator(client, options)
	defer operator.queue.ShutDown()

	sessions := dynamicinformer.NewFilteredDynamicInformer(client, AgenticSessions, metav1.NamespaceAll, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}, nil).Informer()
	scripts := dynamicinformer.NewFilteredDynamicInformer(client, configMaps, metav1.NamespaceAll, 0, nil, func(list *metav1.ListOptions) {
		list.FieldSelector = "metadata.name=" + ScriptName
	}).Informer()
	managed := dynamicinformer.NewFilteredDynamicInformer(client, namespaces, metav1.NamespaceAll, 0, nil, func(list *metav1.ListOptions) {
		list.LabelSelector = ManagedLabel + "=true"
	}).Informer()

	if err := operator.handle(ctx, sessions, scripts, managed); err != nil {
		return fmt.Errorf("registering event handlers: %w", err)
	}

	var running sync.WaitGroup
	defer running.Wait()
	// What follows must end when Run does, for whatever reason it does.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, informer := range []cache.SharedIndexInformer{sessions, scripts, managed} {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), sessions.HasSynced, scripts.HasSynced, managed.HasSynced) {
		return nil
	}
	klog.FromContext(ctx).Info("Stand-in operator is ready", "step", options.Timing.Step, "workers", options.Workers)
	for range options.Workers {
		running.Go(func() { operator.work(ctx) })
	}
	<-ctx.Done()
	operator.queue.ShutDown()
	return nil
}

// operator carries out what Next decides.
type operator struct {
	client   dynamic.Interface
	options  Options
	queue    workqueue.TypedRateLimitingInterface[types.NamespacedName]
	launches recorder

	// mutex guards the map. A value belongs to the worker that has its key: the
	// queue gives a key to one worker at a time.
	mutex  sync.Mutex
	memory map[types.NamespacedName]*memory
}

func newOperator(client dynamic.Interface, options Options) *operator {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](20*time.Millisecond, options.RetryLimit)
	return &operator{
		client:   client,
		options:  options,
		queue:    workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: "agenticsessions"}),
		launches: recorder{client: client},
		memory:   map[types.NamespacedName]*memory{},
	}
}

// work takes sessions from the queue until it is shut down.
func (o *operator) work(ctx context.Context) {
	for {
		key, quit := o.queue.Get()
		if quit {
			return
		}
		o.workOn(ctx, key)
		o.queue.Done(key)
	}
}

func (o *operator) workOn(ctx context.Context, key types.NamespacedName) {
	logger := klog.FromContext(ctx).WithValues("agenticSession", key)
	after, err := o.reconcile(klog.NewContext(ctx, logger), key)
	switch {
	case ctx.Err() != nil:
		// The end of the process is no failure of the pass.
	case err != nil:
		// Conflicts and missing secrets are daily business, not errors.
		logger.Info("Pass failed and will be repeated", "err", err, "conflict", apierrors.IsConflict(err), "attempt", o.queue.NumRequeues(key)+1)
		o.queue.AddRateLimited(key)
	default:
		o.queue.Forget(key)
		if after > 0 {
			o.queue.AddAfter(key, after)
		}
	}
}
