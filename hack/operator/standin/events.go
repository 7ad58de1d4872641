package standin

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// handle connects the informers with the operator: each event of a session and
// each change of a script causes a pass, and the appearance of a managed
// namespace its ProjectSettings. A namespace that becomes managed causes no
// pass: what happened in it before stays unseen, as with the platform's.
func (o *operator) handle(ctx context.Context, sessions, scripts, managed cache.SharedIndexInformer) error {
	enqueue := func(event any) {
		if object, ok := objectOf(event); ok {
			o.queue.Add(types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()})
		}
	}
	if _, err := sessions.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, event any) { enqueue(event) },
		DeleteFunc: enqueue,
	}); err != nil {
		return fmt.Errorf("watching AgenticSessions: %w", err)
	}

	enqueueNamespace := func(event any) {
		script, ok := objectOf(event)
		if !ok || script.GetName() != ScriptName {
			return
		}
		concerned, err := sessions.GetIndexer().ByIndex(cache.NamespaceIndex, script.GetNamespace())
		if err != nil {
			klog.FromContext(ctx).Error(err, "Finding the sessions of a script", "namespace", script.GetNamespace())
			return
		}
		for _, session := range concerned {
			enqueue(session)
		}
	}
	if _, err := scripts.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueueNamespace,
		UpdateFunc: func(_, event any) { enqueueNamespace(event) },
		DeleteFunc: enqueueNamespace,
	}); err != nil {
		return fmt.Errorf("watching scripts: %w", err)
	}

	if !o.options.CreateProjectSettings {
		return nil
	}
	if _, err := managed.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(event any) {
			if namespace, ok := objectOf(event); ok {
				o.createProjectSettings(ctx, namespace.GetName())
			}
		},
	}); err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	return nil
}

// createProjectSettings makes the empty ProjectSettings of a namespace, once:
// like the platform's operator it does not try again.
func (o *operator) createProjectSettings(ctx context.Context, namespace string) {
	settings := newObject(ProjectSettings.GroupVersion().String(), "ProjectSettings", namespace, "projectsettings")
	settings.Object["spec"] = map[string]any{"groupAccess": []any{}}
	_, err := o.client.Resource(ProjectSettings).Namespace(namespace).Create(ctx, settings, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		klog.FromContext(ctx).Info("ProjectSettings not created", "namespace", namespace, "err", err)
	}
}

// objectOf returns the object of an event, the last known one if the event is a
// deletion that was missed.
func objectOf(event any) (*unstructured.Unstructured, bool) {
	if unknown, ok := event.(cache.DeletedFinalStateUnknown); ok {
		event = unknown.Obj
	}
	object, ok := event.(*unstructured.Unstructured)
	return object, ok
}

// newObject returns an object that has an identity and nothing else.
func newObject(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}
