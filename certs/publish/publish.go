// Package publish tells kube-apiserver which authorities sign our serving
// certificates: it writes the caBundle of APIServices and webhook configurations
// by server-side apply, as one field manager and nothing but that field.
//
// It owns what such an apply looks like. It must not know where authorities come
// from, or when they change.
package publish

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"golang.org/x/sync/errgroup"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/internal/watching"
)

// FieldManager owns the caBundles.
const FieldManager = "ambient-kube-certs"

// Target is an object with one or more caBundles.
type Target struct {
	resource schema.GroupVersionResource
	kind     string
	name     string
	// bundles returns the caBundles of the object, base64.
	bundles func(object map[string]any) []string
	// fields returns the fields of the object's caBundles and no others, but for
	// those by which they are found.
	fields func(object map[string]any, bundle string) map[string]any
}

// APIService is the registration of an aggregated API.
func APIService(name string) Target {
	return Target{
		resource: schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"},
		kind:     "APIService", name: name,
		bundles: func(object map[string]any) []string { return []string{text(object, "spec", "caBundle")} },
		fields: func(_ map[string]any, bundle string) map[string]any {
			return map[string]any{"spec": map[string]any{"caBundle": bundle}}
		},
	}
}

// ValidatingWebhooks are all webhooks of a configuration.
func ValidatingWebhooks(name string) Target {
	return Target{
		resource: schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
		kind:     "ValidatingWebhookConfiguration", name: name,
		bundles: func(object map[string]any) []string {
			var bundles []string
			for _, webhook := range webhooks(object) {
				bundles = append(bundles, text(webhook, "clientConfig", "caBundle"))
			}
			return bundles
		},
		fields: func(object map[string]any, bundle string) map[string]any {
			var list []any
			for _, webhook := range webhooks(object) {
				list = append(list, map[string]any{"name": webhook["name"], "clientConfig": map[string]any{"caBundle": bundle}})
			}
			return map[string]any{"webhooks": list}
		},
	}
}

func webhooks(object map[string]any) []map[string]any {
	list, _, err := unstructured.NestedSlice(object, "webhooks")
	if err != nil {
		return nil
	}
	var webhooks []map[string]any
	for _, item := range list {
		if webhook, ok := item.(map[string]any); ok {
			webhooks = append(webhooks, webhook)
		}
	}
	return webhooks
}

// text returns a field, or nothing where there is none.
func text(object map[string]any, path ...string) string {
	value, _, err := unstructured.NestedString(object, path...)
	if err != nil {
		return ""
	}
	return value
}

// covered tells whether all caBundles of the object trust all of the bundle.
func (t Target) covered(object map[string]any, bundle certs.Bundle) bool {
	for _, encoded := range t.bundles(object) {
		data, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return false
		}
		held, err := certs.ParseBundle(data)
		if err != nil || !held.Covers(bundle) {
			return false
		}
	}
	return true
}

// Publisher writes caBundles. Its methods may be called at the same time.
type Publisher struct {
	Client  dynamic.Interface
	Targets []Target
}

// Publish makes all targets that there are trust the bundle. Where one trusts more
// than that, which another replica may have reason to want for a moment, it is left
// alone unless it is to be exact.
func (p *Publisher) Publish(ctx context.Context, bundle certs.Bundle, exact bool) error {
	var errs []error
	for _, target := range p.Targets {
		errs = append(errs, p.publish(ctx, target, bundle, exact))
	}
	return errors.Join(errs...)
}

func (p *Publisher) publish(ctx context.Context, target Target, bundle certs.Bundle, exact bool) error {
	client := p.Client.Resource(target.resource)
	held, err := client.Get(ctx, target.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		// It is watched: as soon as it is there, it gets its bundle.
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s %s: %w", target.kind, target.name, err)
	}
	if !exact && target.covered(held.Object, bundle) {
		return nil
	}
	patch := &unstructured.Unstructured{Object: target.fields(held.Object, base64.StdEncoding.EncodeToString(bundle.PEM()))}
	patch.SetGroupVersionKind(target.resource.GroupVersion().WithKind(target.kind))
	patch.SetName(target.name)
	// Never makes one anew that was deleted meanwhile.
	patch.SetUID(held.GetUID())
	if _, err := client.Apply(ctx, target.name, patch, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
		return fmt.Errorf("writing the caBundle of %s %s: %w", target.kind, target.name, err)
	}
	return nil
}

// Watch calls changed whenever a target changes, until ctx ends.
func (p *Publisher) Watch(ctx context.Context, changed func()) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, target := range p.Targets {
		group.Go(func() error { return watching.Object(ctx, p.Client, target.resource, "", target.name, changed) })
	}
	return group.Wait()
}
