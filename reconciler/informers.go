package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/dynamic/dynamicinformer"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	informersrbacv1 "k8s.io/client-go/informers/rbac/v1"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	informersv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/informers/externalversions/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/session"
	"github.com/ambient-code/ambient-kube/reconciler/settings"
)

// informers are the informers of everything that is watched.
type informers struct {
	sessions, projects, settings                 cache.SharedIndexInformer
	resources, namespaces, secrets, roleBindings cache.SharedIndexInformer
	// operatorBindings are the RoleBindings that the platform's operator made.
	operatorBindings cache.SharedIndexInformer
}

func newInformers(c *clients) *informers {
	byNamespace := func() cache.Indexers {
		return cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	}
	labelled := func(selector string) func(*metav1.ListOptions) {
		return func(options *metav1.ListOptions) { options.LabelSelector = selector }
	}
	return &informers{
		sessions: informersv1alpha1.NewSessionInformer(c.ambient, metav1.NamespaceAll, 0, session.Indexers()),
		projects: informersv1alpha1.NewProjectInformer(c.ambient, 0, cache.Indexers{}),
		settings: informersv1alpha1.NewProjectSettingsInformer(c.ambient, metav1.NamespaceAll, 0, byNamespace()),
		resources: dynamicinformer.NewFilteredDynamicInformer(c.dynamic, agenticsession.Resource, metav1.NamespaceAll, 0,
			session.Indexers(), labelled(v1alpha1.SessionIDLabel)).Informer(),
		namespaces: informerscorev1.NewNamespaceInformer(c.kube, 0, cache.Indexers{}),
		// Only that the secret is there matters; what it holds stays where it is.
		secrets: metadatainformer.NewFilteredMetadataInformer(c.metadata, corev1.SchemeGroupVersion.WithResource("secrets"), metav1.NamespaceAll, 0,
			byNamespace(), func(options *metav1.ListOptions) {
				options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, project.SecretName).String()
			}).Informer(),
		roleBindings: informersrbacv1.NewFilteredRoleBindingInformer(c.kube, metav1.NamespaceAll, 0,
			byNamespace(), labelled(settings.ProjectionLabel+"="+settings.ProjectionValue)),
		operatorBindings: informersrbacv1.NewFilteredRoleBindingInformer(c.kube, metav1.NamespaceAll, 0,
			byNamespace(), labelled(agenticsession.ManagedLabel+"=true")),
	}
}

// presentSessions returns a function that asks for the resourceVersion of the Sessions
// as they are now.
func presentSessions(c *clients) func(ctx context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		list, err := c.ambient.AmbientV1alpha1().Sessions(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return "", fmt.Errorf("listing sessions: %w", err)
		}
		return list.ResourceVersion, nil
	}
}

// named returns the informers with the names of what they watch.
func (i *informers) named() map[string]cache.SharedIndexInformer {
	return map[string]cache.SharedIndexInformer{
		"sessions": i.sessions, "projects": i.projects, "projectsettings": i.settings, "agenticsessions": i.resources,
		"namespaces": i.namespaces, "secrets": i.secrets, "rolebindings": i.roleBindings,
		"the operator's rolebindings": i.operatorBindings,
	}
}

// prepare makes lost watches a matter of information: they come back by
// themselves.
func prepare(name string, informer cache.SharedIndexInformer) error {
	err := informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		klog.FromContext(ctx).Info("Watch was lost, will be opened again", "resource", name, "reason", err.Error())
	})
	if err != nil {
		return fmt.Errorf("preparing the informer of %s: %w", name, err)
	}
	return nil
}

// changed runs when an object is there, was changed, or is gone. Proof is false
// where a deletion was inferred from a list that lacks the object.
type changes[T metav1.Object] struct {
	added   func(object T)
	changed func(before, after T)
	deleted func(object T, proof bool)
}

var _ cache.ResourceEventHandler = changes[*v1alpha1.Session]{}

// OnAdd implements cache.ResourceEventHandler.
func (c changes[T]) OnAdd(object any, _ bool) {
	if typed, ok := object.(T); ok {
		c.added(typed)
	}
}

// OnUpdate implements cache.ResourceEventHandler. An object that was replaced by
// another of its name while nobody looked is one gone and one new.
func (c changes[T]) OnUpdate(before, after any) {
	was, wasOK := before.(T)
	is, isOK := after.(T)
	switch {
	case !wasOK || !isOK:
	case was.GetUID() != is.GetUID():
		c.deleted(was, false)
		c.added(is)
	case was.GetResourceVersion() != is.GetResourceVersion():
		c.changed(was, is)
	}
}

// OnDelete implements cache.ResourceEventHandler.
func (c changes[T]) OnDelete(object any) {
	proof := true
	if unknown, isUnknown := object.(cache.DeletedFinalStateUnknown); isUnknown {
		object, proof = unknown.Obj, false
	}
	if typed, ok := object.(T); ok {
		c.deleted(typed, proof)
	}
}
