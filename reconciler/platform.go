package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/settings"
)

// platformInterval is the time between two looks whether the platform's settings
// are defined.
const platformInterval = 5 * time.Second

// listPatience is how long the first list of them may take until it is begun anew.
const listPatience = time.Minute

// platform watches the platform's settings for as long as their definition is
// installed.
type platform struct {
	discovery discovery.DiscoveryInterface
	dynamic   dynamic.Interface
	// bindings holds the RoleBindings that bear the operator's label.
	bindings cache.Indexer
	// changed is called with the namespace of settings that were changed, appeared
	// when all are known that there are.
	changed  func(namespace string)
	appeared func()

	mutex sync.Mutex
	// store holds the settings, nil while they are not known.
	store cache.Store
	// lost is told when a request found that the definition is gone.
	lost chan struct{}
}

func newPlatform(c *clients, bindings cache.Indexer) *platform {
	return &platform{discovery: c.kube.Discovery(), dynamic: c.dynamic, bindings: bindings, lost: make(chan struct{}, 1)}
}

var _ settings.Platform = (*platform)(nil)

// Installed implements settings.Platform.
func (p *platform) Installed() bool { return p.known() != nil }

// Held implements settings.Platform.
func (p *platform) Held(namespace string) (*unstructured.Unstructured, error) {
	store := p.known()
	if store == nil {
		return nil, nil
	}
	object, found, err := store.GetByKey(namespace + "/" + settings.PlatformName)
	if err != nil {
		return nil, fmt.Errorf("looking up the platform's settings in %s: %w", namespace, err)
	}
	if held, ok := object.(*unstructured.Unstructured); found && ok {
		return held, nil
	}
	return nil, nil
}

// Granted implements settings.Platform.
func (p *platform) Granted(namespace string) ([]*rbacv1.RoleBinding, error) {
	objects, err := p.bindings.ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil, fmt.Errorf("looking up RoleBindings in %s: %w", namespace, err)
	}
	var result []*rbacv1.RoleBinding
	for _, object := range objects {
		if binding, ok := object.(*rbacv1.RoleBinding); ok {
			result = append(result, binding)
		}
	}
	return result, nil
}

// Apply implements settings.Platform.
func (p *platform) Apply(ctx context.Context, object *unstructured.Unstructured) error {
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	_, err := p.dynamic.Resource(settings.PlatformResource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, options)
	if apierrors.IsNotFound(err) && !namespaceMissing(err) {
		// It may be back before anybody has looked: all begins anew.
		p.know(nil)
		select {
		case p.lost <- struct{}{}:
		default:
		}
	}
	if err != nil {
		return fmt.Errorf("applying %s %s/%s: %w", settings.PlatformResource.Resource, object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// namespaceMissing tells whether it is the namespace that was not found.
func namespaceMissing(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

func (p *platform) known() cache.Store {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.store
}

func (p *platform) know(store cache.Store) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.store = store
}

// run looks for the definition until ctx ends. That it is missing is as good as
// that it is there.
func (p *platform) run(ctx context.Context) {
	logger := klog.FromContext(ctx)
	for {
		defined, err := p.defined()
		switch {
		case err != nil:
			logger.Info("Whether the platform's settings are defined is not known, will look again", "reason", err.Error())
		case defined:
			logger.Info("The platform's settings are defined, and kept in step")
			if err := p.follow(ctx); err != nil && ctx.Err() == nil {
				logger.Info("The platform's settings are not kept in step now, will try again", "reason", err.Error())
			}
		}
		if !sleep(ctx, platformInterval) {
			return
		}
	}
}

// follow watches the settings until their definition is gone or ctx ends.
func (p *platform) follow(ctx context.Context) error {
	informer := dynamicinformer.NewFilteredDynamicInformer(p.dynamic, settings.PlatformResource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	if err := prepare("the platform's settings", informer); err != nil {
		return err
	}
	look := func(object *unstructured.Unstructured) { p.changed(object.GetNamespace()) }
	registration, err := informer.AddEventHandler(every(look, nil))
	if err != nil {
		return fmt.Errorf("watching the platform's settings: %w", err)
	}
	watching, end := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer func() {
		p.know(nil)
		end()
		watch.Wait()
	}()
	watch.Go(func() { informer.RunWithContext(watching) })
	if err := p.list(ctx, registration); err != nil {
		return err
	}
	select {
	case <-p.lost: // by an earlier definition
	default:
	}
	p.know(informer.GetStore())
	p.appeared()
	ticker := time.NewTicker(platformInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.lost:
			return errors.New("they were not found")
		case <-ticker.C:
		}
		if defined, err := p.defined(); err == nil && !defined {
			return errors.New("they are defined no more")
		}
	}
}

// list waits for the first list.
func (p *platform) list(ctx context.Context, registration cache.ResourceEventHandlerRegistration) error {
	listing, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	if !cache.WaitForCacheSync(listing.Done(), registration.HasSynced) && ctx.Err() == nil {
		return errors.New("the first list took too long")
	}
	return ctx.Err()
}

// defined asks whether the cluster has the platform's settings.
func (p *platform) defined() (bool, error) {
	list, err := p.discovery.ServerResourcesForGroupVersion(settings.PlatformResource.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for the platform's kinds: %w", err)
	}
	return slices.ContainsFunc(list.APIResources, func(resource metav1.APIResource) bool {
		return resource.Name == settings.PlatformResource.Resource
	}), nil
}
