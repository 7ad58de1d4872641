package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// PlatformResource is the platform's own kind of settings.
var PlatformResource = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "projectsettings"}

// PlatformName is the name that the platform's settings have in every namespace.
const PlatformName = "projectsettings"

// specField is the path of all that the platform's settings say, too.
const specField = "spec"

// providers are those that the platform's definition allows.
var providers = []string{"github", "gitlab"}

// Platform is what the cluster holds of the platform's own settings. They are
// optional: not every cluster has their definition.
type Platform interface {
	// Installed tells whether the definition is installed and what there is of
	// settings is known.
	Installed() bool
	// Held returns the settings in the namespace, nil if there are none.
	Held(namespace string) (*unstructured.Unstructured, error)
	// Granted returns the RoleBindings in the namespace that bear the operator's
	// label.
	Granted(namespace string) ([]*rbacv1.RoleBinding, error)
	// Apply applies settings.
	Apply(ctx context.Context, object *unstructured.Unstructured) error
}

// platformSettings returns the platform's settings that say the same as ours, and
// the fields, with their paths, that they have no place for.
func platformSettings(namespace string, spec *v1alpha1.ProjectSettingsSpec) (*unstructured.Unstructured, []string) {
	var omitted []string
	access := []any{}
	for _, entry := range spec.GroupAccess {
		// What is left out here is refused by name already.
		if entry.GroupName != "" && slices.Contains(roles, entry.Role) {
			access = append(access, map[string]any{"groupName": entry.GroupName, "role": entry.Role})
		}
	}
	content := map[string]any{"groupAccess": access}
	var repositories []any
	for i, repository := range spec.Repositories {
		entry := map[string]any{"url": repository.URL}
		if repository.Branch != "" {
			entry["branch"] = repository.Branch
		}
		switch {
		case slices.Contains(providers, repository.Provider):
			entry["provider"] = repository.Provider
		case repository.Provider != "":
			omitted = append(omitted, fmt.Sprintf("spec.repositories[%d].provider", i))
		}
		repositories = append(repositories, entry)
	}
	if len(repositories) > 0 {
		content["repositories"] = repositories
	}
	object := &unstructured.Unstructured{Object: map[string]any{"spec": content}}
	object.SetGroupVersionKind(PlatformResource.GroupVersion().WithKind("ProjectSettings"))
	object.SetNamespace(namespace)
	object.SetName(PlatformName)
	return object, omitted
}

// mirror keeps the platform's settings in step with ours, which are nil if they
// are gone: what we never wrote is then left alone. It returns the fields that
// the platform's settings have no place for, and what failed.
//
// The operator makes RoleBindings from its settings and never removes one: those
// that its settings no longer ask for are removed here, or else access would not
// be revoked, also where the platform's settings could not be written.
func (c *Controller) mirror(ctx context.Context, namespace string, settings *v1alpha1.ProjectSettings) ([]string, failures) {
	if !c.Platform.Installed() {
		return nil, nil
	}
	held, err := c.Platform.Held(namespace)
	if err != nil {
		return nil, failures{{specField, fmt.Errorf("looking up the platform's settings in %s: %w", namespace, err)}}
	}
	spec := &v1alpha1.ProjectSettingsSpec{}
	if settings != nil {
		spec = &settings.Spec
	} else if held == nil || !agenticsession.Applied(held) {
		return nil, nil
	}
	wanted, omitted := platformSettings(namespace, spec)
	var failed failures
	if err := c.write(ctx, held, wanted); apierrors.IsNotFound(err) {
		// The definition was just removed; when it is back, a new pass is made.
		return nil, nil
	} else if err != nil {
		failed = append(failed, failure{specField, err})
	}
	return omitted, append(failed, c.clear(ctx, namespace, settings, spec)...)
}

// write applies the platform's settings, if they are not as wanted.
func (c *Controller) write(ctx context.Context, held, wanted *unstructured.Unstructured) error {
	namespace := wanted.GetNamespace()
	if held != nil {
		if needed, err := agenticsession.NeedsApply(held, wanted); err != nil {
			return fmt.Errorf("comparing the platform's settings in %s: %w", namespace, err)
		} else if !needed {
			return nil
		}
	}
	if err := c.Platform.Apply(ctx, wanted); err != nil {
		return fmt.Errorf("applying the platform's settings in %s: %w", namespace, err)
	}
	klog.FromContext(ctx).Info("The platform's settings are in step", "namespace", namespace)
	return nil
}

// clear removes what the operator made from settings that said something else than
// spec. The settings are nil if they are gone.
func (c *Controller) clear(ctx context.Context, namespace string, settings *v1alpha1.ProjectSettings, spec *v1alpha1.ProjectSettingsSpec) failures {
	leftover, err := c.leftover(namespace, spec)
	if err != nil {
		return failures{{accessField, err}}
	}
	var failed failures
	for _, binding := range leftover {
		if err := c.remove(ctx, binding); err != nil {
			failed = append(failed, failure{accessField, err})
			continue
		}
		klog.FromContext(ctx).Info("Access given by the operator revoked", "binding", binding.Name)
		if settings != nil {
			c.Events.Eventf(settings, corev1.EventTypeNormal, "AccessRevoked", "Group %s no longer has role %s", binding.Subjects[0].Name, binding.RoleRef.Name)
		}
	}
	return failed
}

// leftover returns the RoleBindings that the operator made from settings that said
// something else than spec.
func (c *Controller) leftover(namespace string, spec *v1alpha1.ProjectSettingsSpec) ([]*rbacv1.RoleBinding, error) {
	granted, err := c.Platform.Granted(namespace)
	if err != nil {
		return nil, fmt.Errorf("looking up the operator's RoleBindings in %s: %w", namespace, err)
	}
	var result []*rbacv1.RoleBinding
	for _, binding := range granted {
		access, made := madeByOperator(binding)
		if made && !slices.Contains(spec.GroupAccess, access) {
			result = append(result, binding)
		}
	}
	return result, nil
}

// madeByOperator tells whether a RoleBinding is as the operator makes them, and
// from which entry of its settings it was made.
func madeByOperator(binding *rbacv1.RoleBinding) (v1alpha1.GroupAccess, bool) {
	role, isOurs := strings.CutPrefix(binding.RoleRef.Name, clusterRole(""))
	if !isOurs || !slices.Contains(roles, role) || binding.RoleRef.Kind != "ClusterRole" || len(binding.Subjects) != 1 || binding.Subjects[0].Kind != rbacv1.GroupKind {
		return v1alpha1.GroupAccess{}, false
	}
	access := v1alpha1.GroupAccess{GroupName: binding.Subjects[0].Name, Role: role}
	return access, binding.Name == access.GroupName+"-"+role && binding.Labels[agenticsession.ManagedLabel] == "true"
}

// mirrored tells whether the platform's settings, or what the operator made of
// them, still give access that we once wrote.
func (c *Controller) mirrored(namespace string) (bool, error) {
	if !c.Platform.Installed() {
		return false, nil
	}
	held, err := c.Platform.Held(namespace)
	if err != nil {
		return false, fmt.Errorf("looking up the platform's settings in %s: %w", namespace, err)
	}
	if held == nil || !agenticsession.Applied(held) {
		return false, nil
	}
	nothing := &v1alpha1.ProjectSettingsSpec{}
	empty, _ := platformSettings(namespace, nothing)
	stands, err := agenticsession.NeedsApply(held, empty)
	if err != nil || stands {
		return stands, err
	}
	leftover, err := c.leftover(namespace, nothing)
	return len(leftover) > 0, err
}
