package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyrbacv1 "k8s.io/client-go/applyconfigurations/rbac/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Reasons of the conditions Ready and Projected of ProjectSettings.
const (
	reasonGranted = "AccessGranted"
	reasonRefused = "RoleRefused"
)

// waiting is the pause before another look at a namespace that is being made.
const waiting = time.Second

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
	Gate     session.Gate
	Brake    session.Brake
	Events   record.EventRecorder
}

// Controller makes passes over ProjectSettings.
type Controller struct {
	Options

	mutex sync.Mutex
	// deleted holds the namespaces whose settings' deletion was received as an
	// event.
	deleted map[string]bool
}

// New returns a Controller.
func New(options Options) *Controller {
	return &Controller{Options: options, deleted: map[string]bool{}}
}

// Deleted notes that the deletion of the settings in a namespace was received as
// an event, which is proof.
func (c *Controller) Deleted(namespace string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.deleted[namespace] = true
}

func (c *Controller) proven(namespace string) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.deleted[namespace]
}

func (c *Controller) present(namespace string) {
	c.Brake.Present(namespace)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.deleted, namespace)
}

// Reconcile makes one pass over the settings in the namespace.
func (c *Controller) Reconcile(ctx context.Context, namespace string) (time.Duration, error) {
	obstacle := c.Gate.Obstacle(namespace)
	if obstacle.Foreign {
		return 0, nil
	}
	object, found, err := c.Store.GetByKey(namespace + "/" + v1alpha1.ProjectSettingsName)
	if err != nil {
		return 0, fmt.Errorf("looking up the settings in %s: %w", namespace, err)
	}
	settings, ok := object.(*v1alpha1.ProjectSettings)
	if !found || !ok {
		return c.removed(ctx, namespace)
	}
	c.present(namespace)
	if obstacle.Reason == project.ReasonNoProject {
		// Without a project's row there is no place for a status either.
		return 0, nil
	}
	if obstacle.Transient {
		return waiting, nil
	}
	if obstacle.Reason != "" {
		return 0, c.report(ctx, settings, verdict(obstacle.Reason), obstacle.Reason, obstacle.Message)
	}
	wanted, refused := bindings(namespace, settings.Spec.GroupAccess)
	if err := c.grant(ctx, settings, wanted); err != nil {
		return 0, err
	}
	if err := c.revoke(ctx, settings, namespace, wanted); err != nil {
		return 0, err
	}
	omitted, err := c.mirror(ctx, namespace, settings)
	if err != nil {
		return 0, err
	}
	if len(refused) > 0 {
		message := fmt.Sprintf("Only the roles %s can be given; nothing is granted for %s.", strings.Join(roles, ", "), strings.Join(refused, ", "))
		return 0, c.report(ctx, settings, project.Refused, reasonRefused, message)
	}
	message := fmt.Sprintf("%d groups have access.", len(settings.Spec.GroupAccess))
	if len(omitted) > 0 {
		message += fmt.Sprintf(" The platform's settings have no place for %s.", strings.Join(omitted, ", "))
	}
	return 0, c.report(ctx, settings, project.Ready, reasonGranted, message)
}

// verdict says whether an obstacle goes away without anybody's help, as a namespace
// does that is being deleted: it is made again.
func verdict(reason string) project.Verdict {
	if reason == project.ReasonTerminating {
		return project.OnItsWay
	}
	return project.Refused
}

// removed revokes all access in a namespace whose settings are gone.
func (c *Controller) removed(ctx context.Context, namespace string) (time.Duration, error) {
	held, err := c.held(namespace)
	if err != nil {
		return 0, err
	}
	mirrored, err := c.mirrored(namespace)
	if err != nil {
		return 0, err
	}
	if len(held) == 0 && !mirrored || c.Gate.Obstacle(namespace).Reason == project.ReasonTerminating {
		c.present(namespace)
		return 0, nil
	}
	if !c.proven(namespace) {
		if allowed, again := c.Brake.Absent(namespace); !allowed {
			return again, nil
		}
	}
	_, err = c.Settings.AmbientV1alpha1().ProjectSettings(namespace).Get(ctx, v1alpha1.ProjectSettingsName, metav1.GetOptions{})
	if err == nil {
		return waiting, nil
	}
	if !apierrors.IsNotFound(err) {
		return 0, fmt.Errorf("asking for the settings in %s: %w", namespace, err)
	}
	if err := c.revoke(ctx, nil, namespace, nil); err != nil {
		return 0, err
	}
	if _, err := c.mirror(ctx, namespace, nil); err != nil {
		return 0, err
	}
	c.present(namespace)
	return 0, nil
}

// held returns our RoleBindings in the namespace.
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
	return result, nil
}

// grant makes the bindings that are missing, and sets right those that are not as
// they should be.
func (c *Controller) grant(ctx context.Context, settings *v1alpha1.ProjectSettings, wanted map[string]*applyrbacv1.RoleBindingApplyConfiguration) error {
	held, err := c.held(settings.Namespace)
	if err != nil {
		return err
	}
	byName := map[string]*rbacv1.RoleBinding{}
	for _, binding := range held {
		byName[binding.Name] = binding
	}
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	for name, configuration := range wanted {
		standing := byName[name]
		if standing != nil && stands(standing, configuration) {
			continue
		}
		if standing != nil && standing.RoleRef.Name != *configuration.RoleRef.Name {
			// The role of a binding can't be changed.
			if err := c.remove(ctx, standing); err != nil {
				return err
			}
		}
		if _, err := c.Kube.RbacV1().RoleBindings(settings.Namespace).Apply(ctx, configuration, options); err != nil {
			return fmt.Errorf("applying RoleBinding %s/%s: %w", settings.Namespace, name, err)
		}
		klog.FromContext(ctx).Info("Access granted", "binding", name)
		c.Events.Eventf(settings, corev1.EventTypeNormal, "AccessGranted", "Group %s has role %s", *configuration.Subjects[0].Name, *configuration.RoleRef.Name)
	}
	return nil
}

// revoke removes our bindings that are not wanted. The settings are nil if they
// are gone.
func (c *Controller) revoke(ctx context.Context, settings *v1alpha1.ProjectSettings, namespace string, wanted map[string]*applyrbacv1.RoleBindingApplyConfiguration) error {
	held, err := c.held(namespace)
	if err != nil {
		return err
	}
	slices.SortFunc(held, func(a, b *rbacv1.RoleBinding) int { return strings.Compare(a.Name, b.Name) })
	for _, binding := range held {
		if _, keep := wanted[binding.Name]; keep {
			continue
		}
		if err := c.remove(ctx, binding); err != nil {
			return err
		}
		klog.FromContext(ctx).Info("Access revoked", "binding", binding.Name)
		if settings != nil {
			c.Events.Eventf(settings, corev1.EventTypeNormal, "AccessRevoked", "Group %s no longer has role %s", binding.Annotations[groupAnnotation], binding.RoleRef.Name)
		}
	}
	return nil
}

func (c *Controller) remove(ctx context.Context, binding *rbacv1.RoleBinding) error {
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &binding.UID}}
	err := c.Kube.RbacV1().RoleBindings(binding.Namespace).Delete(ctx, binding.Name, options)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("removing RoleBinding %s/%s: %w", binding.Namespace, binding.Name, err)
	}
	return nil
}

// report applies the status, if it is not what it should be.
func (c *Controller) report(ctx context.Context, settings *v1alpha1.ProjectSettings, verdict project.Verdict, reason, message string) error {
	known := settings.Status
	conditions := project.Conditions(known.Conditions, settings.Generation, verdict, reason, message)
	if known.ObservedGeneration == settings.Generation && project.SameConditions(known.Conditions, conditions) {
		return nil
	}
	status := applyv1alpha1.ProjectSettingsStatus().
		WithObservedGeneration(settings.Generation).
		WithConditions(project.ApplyConditions(conditions)...)
	if known.SettingsID != "" {
		status.WithSettingsID(known.SettingsID)
	}
	configuration := applyv1alpha1.ProjectSettings(settings.Name, settings.Namespace).
		WithUID(settings.UID).
		WithResourceVersion(settings.ResourceVersion).
		WithStatus(status)
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	if _, err := c.Settings.AmbientV1alpha1().ProjectSettings(settings.Namespace).ApplyStatus(ctx, configuration, options); err != nil {
		return fmt.Errorf("applying the status of the settings in %s: %w", settings.Namespace, err)
	}
	if verdict != project.Ready {
		c.Events.Event(settings, corev1.EventTypeWarning, reason, message)
	}
	return nil
}
