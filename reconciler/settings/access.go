package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// held returns our RoleBindings in the namespace, in order.
func (c *Controller) held(namespace string) ([]*rbacv1.RoleBinding, error) {
	objects, err := c.Bindings.ByIndex(cache.NamespaceIndex, namespace)
	if err != nil {
		return nil, fmt.Errorf("looking up RoleBindings in %s: %w", namespace, err)
	}
	var result []*rbacv1.RoleBinding
	for _, object := range objects {
		if binding, ok := object.(*rbacv1.RoleBinding); ok && ours(binding) {
			result = append(result, binding)
		}
	}
	slices.SortFunc(result, func(a, b *rbacv1.RoleBinding) int { return strings.Compare(a.Name, b.Name) })
	return result, nil
}

// named returns the binding with the name, nil if it is not held.
func named(held []*rbacv1.RoleBinding, name string) *rbacv1.RoleBinding {
	for _, binding := range held {
		if binding.Name == name {
			return binding
		}
	}
	return nil
}

// missing returns the entries whose bindings are not held as they should be.
func missing(held []*rbacv1.RoleBinding, wanted []entry) []entry {
	return slices.DeleteFunc(slices.Clone(wanted), func(e entry) bool {
		binding := named(held, e.name())
		return binding != nil && stands(binding, e.binding)
	})
}

// grant makes the bindings that are missing, and sets right those that are not as
// they should be. It returns the entries (open) for which that failed, and how: one
// hinders none of the others.
func (c *Controller) grant(ctx context.Context, settings *v1alpha1.ProjectSettings, held []*rbacv1.RoleBinding, wanted []entry) (open []entry, failed failures) {
	for _, entry := range missing(held, wanted) {
		if err := c.bind(ctx, held, entry); err != nil {
			open, failed = append(open, entry), append(failed, failure{entry.field, err})
			continue
		}
		klog.FromContext(ctx).Info("Access granted", "binding", entry.name())
		c.Events.Eventf(settings, corev1.EventTypeNormal, "AccessGranted", "Group %s has role %s", entry.access.GroupName, clusterRole(entry.access.Role))
	}
	return open, failed
}

// bind makes the binding of an entry.
func (c *Controller) bind(ctx context.Context, held []*rbacv1.RoleBinding, entry entry) error {
	if standing := named(held, entry.name()); standing != nil && standing.RoleRef != roleRef(entry.access.Role) {
		// The role of a binding can't be changed.
		if err := c.remove(ctx, standing); err != nil {
			return err
		}
	}
	namespace, options := *entry.binding.Namespace, metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	if _, err := c.Kube.RbacV1().RoleBindings(namespace).Apply(ctx, entry.binding, options); err != nil {
		return fmt.Errorf("applying RoleBinding %s/%s: %w", namespace, entry.name(), err)
	}
	return nil
}

// kept returns which of our bindings stay: those of the entries and, for an entry
// whose own does not stand (open), what gives its group as much or less, so that
// nobody loses access for being given more. A group whose role was lowered keeps
// nothing of the higher one.
func kept(namespace string, wanted, open []entry) func(*rbacv1.RoleBinding) bool {
	granted, instead := map[string]bool{}, map[string]entry{}
	for _, entry := range wanted {
		granted[entry.name()] = true
	}
	for _, entry := range open {
		delete(granted, entry.name())
		for _, role := range roles[slices.Index(roles, entry.access.Role):] {
			lesser := newEntry(namespace, entry.field, v1alpha1.GroupAccess{GroupName: entry.access.GroupName, Role: role})
			instead[lesser.name()] = lesser
		}
	}
	return func(binding *rbacv1.RoleBinding) bool {
		lesser, found := instead[binding.Name]
		return granted[binding.Name] || found && gives(binding, lesser.binding)
	}
}

// nothing keeps no binding.
func nothing(*rbacv1.RoleBinding) bool { return false }

// revoke removes those of our bindings that don't stay: one that can't be removed
// hinders none of the others. The settings are nil if they are gone.
func (c *Controller) revoke(ctx context.Context, settings *v1alpha1.ProjectSettings, held []*rbacv1.RoleBinding, stays func(*rbacv1.RoleBinding) bool) failures {
	var failed failures
	for _, binding := range held {
		if stays(binding) {
			continue
		}
		if err := c.remove(ctx, binding); err != nil {
			failed = append(failed, failure{accessField, err})
			continue
		}
		klog.FromContext(ctx).Info("Access revoked", "binding", binding.Name)
		if settings != nil {
			c.Events.Eventf(settings, corev1.EventTypeNormal, "AccessRevoked", "Group %s no longer has role %s", binding.Annotations[groupAnnotation], binding.RoleRef.Name)
		}
	}
	return failed
}

func (c *Controller) remove(ctx context.Context, binding *rbacv1.RoleBinding) error {
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &binding.UID}}
	err := c.Kube.RbacV1().RoleBindings(binding.Namespace).Delete(ctx, binding.Name, options)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing RoleBinding %s/%s: %w", binding.Namespace, binding.Name, err)
	}
	return nil
}
