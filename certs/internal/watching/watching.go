// Package watching tells that one object has changed. It owns the informer for
// that; it must not know what the object holds.
package watching

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Object calls changed whenever the named object is made, changed or deleted, until
// ctx ends. The namespace of what has none is empty. The right to list and watch
// that name is enough.
func Object(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource, namespace, name string, changed func()) error {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	informer := dynamicinformer.NewFilteredDynamicInformer(client, resource, namespace, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		options.FieldSelector = selector
	}).Informer()
	// It is opened again by itself.
	if err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		klog.FromContext(ctx).Info("Watch was lost, will be opened again", "resource", resource.Resource, "name", name, "reason", err.Error())
	}); err != nil {
		return fmt.Errorf("preparing the watch of %s %s: %w", resource.Resource, name, err)
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(_, _ any) { changed() },
		DeleteFunc: func(any) { changed() },
	}); err != nil {
		return fmt.Errorf("watching %s %s: %w", resource.Resource, name, err)
	}
	informer.RunWithContext(ctx)
	return nil
}
