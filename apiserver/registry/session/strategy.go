package session

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/warning"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/unmapped"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/validation"
	"github.com/ambient-code/ambient-kube/apiserver/registry/internal/resource"
)

// strategy governs everything of a Session but its status.
type strategy struct{ resource.Base }

var _ resource.Strategy = strategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.SpecReset(
		fieldpath.MakePathOrDie("spec", "createdBy"),
		fieldpath.MakePathOrDie("spec", "agentID"),
		fieldpath.MakePathOrDie("metadata", "labels", v1alpha1.SessionIDLabel),
	)
}

// PrepareForCreate implements rest.RESTCreateStrategy.
func (strategy) PrepareForCreate(ctx context.Context, object runtime.Object) {
	session := object.(*v1alpha1.Session)
	session.Status = v1alpha1.SessionStatus{}
	session.Generation = 1
	// As with the uid: what is made is another session than the one that the
	// manifest may have been exported from.
	delete(session.Labels, v1alpha1.SessionIDLabel)
	normalize(&session.Spec)
	if session.Spec.CreatedBy == "" {
		session.Spec.CreatedBy = requester(ctx)
	}
	if session.Spec.DisplayName == "" {
		session.Spec.DisplayName = session.Name
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(ctx context.Context, object runtime.Object) field.ErrorList {
	session := object.(*v1alpha1.Session)
	errs := append(validation.ValidateSession(session), validation.RefuseRestoredName(session)...)
	if session.Spec.CreatedBy != requester(ctx) {
		errs = append(errs, field.Forbidden(field.NewPath("spec", "createdBy"), "is read-only: the server sets it to the requesting user"))
	}
	return errs
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (strategy) PrepareForUpdate(ctx context.Context, object, previous runtime.Object) {
	session, old := object.(*v1alpha1.Session), previous.(*v1alpha1.Session)
	old.Status.DeepCopyInto(&session.Status)
	normalize(&session.Spec)
	restoreReadOnly(session, old)
	for _, path := range keepLasting(&session.Spec, &old.Spec) {
		warning.AddWarning(ctx, "", path+": kept, since the upstream cannot clear it; set another value instead")
	}
	if session.Spec.DisplayName == "" && old.Spec.DisplayName != "" {
		session.Spec.DisplayName = session.Name
	}
	if !apiequality.Semantic.DeepEqual(session.Spec, old.Spec) {
		session.Generation = old.Generation + 1
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	session := object.(*v1alpha1.Session)
	return append(validation.ValidateSessionUpdate(session, previous.(*v1alpha1.Session)), validation.RefuseRestoredName(session)...)
}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (strategy) WarningsOnCreate(_ context.Context, object runtime.Object) []string {
	return unmappedWarnings(&object.(*v1alpha1.Session).Spec, &v1alpha1.SessionSpec{})
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (strategy) WarningsOnUpdate(_ context.Context, object, previous runtime.Object) []string {
	return unmappedWarnings(&object.(*v1alpha1.Session).Spec, &previous.(*v1alpha1.Session).Spec)
}

// requester returns the name of the user who makes the request.
func requester(ctx context.Context) string {
	if user, ok := genericapirequest.UserFrom(ctx); ok {
		return user.GetName()
	}
	return ""
}

// normalize removes what is present and says nothing: the upstream cannot tell
// it from what is absent.
func normalize(spec *v1alpha1.SessionSpec) {
	if len(spec.Repositories) == 0 {
		spec.Repositories = nil
	}
	if len(spec.Environment) == 0 {
		spec.Environment = nil
	}
	if spec.Workflow != nil && *spec.Workflow == (v1alpha1.Workflow{}) {
		spec.Workflow = nil
	}
	if spec.LLM != nil && *spec.LLM == (v1alpha1.LLMSettings{}) {
		spec.LLM = nil
	}
	if spec.ResourceOverrides != nil && *spec.ResourceOverrides == (v1alpha1.ResourceOverrides{}) {
		spec.ResourceOverrides = nil
	}
}

// restoreReadOnly puts back what only the server sets where an update leaves it
// out, as a replacement by the original manifest does. Another value stays, to
// be refused.
func restoreReadOnly(session, old *v1alpha1.Session) {
	if session.Spec.CreatedBy == "" {
		session.Spec.CreatedBy = old.Spec.CreatedBy
	}
	if session.Spec.AgentID == "" {
		session.Spec.AgentID = old.Spec.AgentID
	}
	id, labelled := old.Labels[v1alpha1.SessionIDLabel]
	if _, present := session.Labels[v1alpha1.SessionIDLabel]; labelled && !present {
		if session.Labels == nil {
			session.Labels = map[string]string{}
		}
		session.Labels[v1alpha1.SessionIDLabel] = id
	}
}

// keepLasting keeps what an update leaves out and the upstream cannot clear:
// numbers, the parent session, and the model, without which no session runs. It
// returns the paths of what it kept.
func keepLasting(spec, old *v1alpha1.SessionSpec) (kept []string) {
	if spec.TimeoutSeconds == nil && old.TimeoutSeconds != nil {
		timeout := *old.TimeoutSeconds
		spec.TimeoutSeconds = &timeout
		kept = append(kept, "spec.timeoutSeconds")
	}
	if spec.ParentSessionID == "" && old.ParentSessionID != "" {
		spec.ParentSessionID = old.ParentSessionID
		kept = append(kept, "spec.parentSessionID")
	}
	if old.LLM == nil {
		return kept
	}
	settings, before := v1alpha1.LLMSettings{}, old.LLM.DeepCopy()
	if spec.LLM != nil {
		settings = *spec.LLM
	}
	if settings.Model == "" && before.Model != "" {
		settings.Model = before.Model
		kept = append(kept, "spec.llm.model")
	}
	if settings.Temperature == nil && before.Temperature != nil {
		settings.Temperature = before.Temperature
		kept = append(kept, "spec.llm.temperature")
	}
	if settings.MaxTokens == nil && before.MaxTokens != nil {
		settings.MaxTokens = before.MaxTokens
		kept = append(kept, "spec.llm.maxTokens")
	}
	spec.LLM = &settings
	return kept
}

// unmappedWarnings names what differs from old and is stored, but reaches no agent.
func unmappedWarnings(spec, old *v1alpha1.SessionSpec) []string {
	var result []string
	for _, lost := range unmapped.Fields(spec, old) {
		result = append(result, lost.Path+": "+lost.Why)
	}
	return result
}

// statusStrategy governs a Session's status.
type statusStrategy struct{ resource.Base }

var _ resource.StatusStrategy = statusStrategy{}

// GetResetFields implements rest.ResetFieldsStrategy.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resource.StatusReset()
}

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) PrepareForUpdate(_ context.Context, object, previous runtime.Object) {
	session, old := object.(*v1alpha1.Session), previous.(*v1alpha1.Session)
	name, restoring := session.Annotations[v1alpha1.RestoreNameAnnotation]
	resource.KeepMetadata(&session.ObjectMeta, &old.ObjectMeta)
	if restoring {
		metav1.SetMetaDataAnnotation(&session.ObjectMeta, v1alpha1.RestoreNameAnnotation, name)
	}
	old.Spec.DeepCopyInto(&session.Spec)
	status, before := &session.Status, &old.Status
	if status.SessionID == "" {
		status.SessionID = before.SessionID
	}
	if status.ProjectID == "" {
		status.ProjectID = before.ProjectID
	}
	if before.AgenticSession == nil || before.AgenticSession.Name == "" {
		return
	}
	if status.AgenticSession == nil {
		status.AgenticSession = &v1alpha1.AgenticSessionReference{}
	}
	if status.AgenticSession.Name == "" {
		status.AgenticSession.Name = before.AgenticSession.Name
	}
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (statusStrategy) ValidateUpdate(_ context.Context, object, previous runtime.Object) field.ErrorList {
	return validation.ValidateSessionStatusUpdate(object.(*v1alpha1.Session), previous.(*v1alpha1.Session))
}
