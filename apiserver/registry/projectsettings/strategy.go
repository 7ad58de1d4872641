package projectsettings

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/validation"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

// strategy governs everything of ProjectSettings but their status.
type strategy struct{ resource.Base }

var _ resource.Strategy = strategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.SpecReset()
}

// PrepareForCreate implements rest.RESTCreateStrategy.
func (strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	settings := object.(*v1alpha1.ProjectSettings)
	settings.Status = v1alpha1.ProjectSettingsStatus{}
	settings.Generation = 1
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, object runtime.Object) field.ErrorList {
	return validation.ValidateProjectSettings(object.(*v1alpha1.ProjectSettings))
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (strategy) PrepareForUpdate(_ context.Context, object, previous runtime.Object) {
	settings, old := object.(*v1alpha1.ProjectSettings), previous.(*v1alpha1.ProjectSettings)
	old.Status.DeepCopyInto(&settings.Status)
	if !apiequality.Semantic.DeepEqual(settings.Spec, old.Spec) {
		settings.Generation = old.Generation + 1
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	return validation.ValidateProjectSettingsUpdate(object.(*v1alpha1.ProjectSettings), previous.(*v1alpha1.ProjectSettings))
}

// statusStrategy governs the status of ProjectSettings.
type statusStrategy struct{ resource.Base }

var _ resource.StatusStrategy = statusStrategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.StatusReset()
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) PrepareForUpdate(_ context.Context, object, previous runtime.Object) {
	settings, old := object.(*v1alpha1.ProjectSettings), previous.(*v1alpha1.ProjectSettings)
	resource.KeepMetadata(&settings.ObjectMeta, &old.ObjectMeta)
	old.Spec.DeepCopyInto(&settings.Spec)
	if settings.Status.SettingsID == "" {
		settings.Status.SettingsID = old.Status.SettingsID
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	return validation.ValidateProjectSettingsStatusUpdate(object.(*v1alpha1.ProjectSettings), previous.(*v1alpha1.ProjectSettings))
}
