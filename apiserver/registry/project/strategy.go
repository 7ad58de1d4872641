package project

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

// strategy governs everything of a Project but its status.
type strategy struct{ resource.Base }

var _ resource.Strategy = strategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.SpecReset()
}

// PrepareForCreate implements rest.RESTCreateStrategy.
func (strategy) PrepareForCreate(_ context.Context, object runtime.Object) {
	project := object.(*v1alpha1.Project)
	project.Status = v1alpha1.ProjectStatus{}
	project.Generation = 1
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, object runtime.Object) field.ErrorList {
	return validation.ValidateProject(object.(*v1alpha1.Project))
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (strategy) PrepareForUpdate(_ context.Context, object, previous runtime.Object) {
	project, old := object.(*v1alpha1.Project), previous.(*v1alpha1.Project)
	old.Status.DeepCopyInto(&project.Status)
	if !apiequality.Semantic.DeepEqual(project.Spec, old.Spec) {
		project.Generation = old.Generation + 1
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	return validation.ValidateProjectUpdate(object.(*v1alpha1.Project), previous.(*v1alpha1.Project))
}

// statusStrategy governs a Project's status.
type statusStrategy struct{ resource.Base }

var _ resource.StatusStrategy = statusStrategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.StatusReset()
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) PrepareForUpdate(_ context.Context, object, previous runtime.Object) {
	project, old := object.(*v1alpha1.Project), previous.(*v1alpha1.Project)
	resource.KeepMetadata(&project.ObjectMeta, &old.ObjectMeta)
	project.Spec = old.Spec
	if project.Status.UpstreamName == "" {
		project.Status.UpstreamName = old.Status.UpstreamName
	}
	if project.Status.Cluster == "" {
		// Who leaves the claim out does not give it up: another cluster would take it.
		project.Status.Cluster = old.Status.Cluster
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	return validation.ValidateProjectStatusUpdate(object.(*v1alpha1.Project), previous.(*v1alpha1.Project))
}
