package translate

import (
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// SessionCreate returns the request that creates the session. What reserved does
// not say yet (metadata without a column, generation) is taken from the object.
func (t *Translator) SessionCreate(desired *v1alpha1.Session, reserved Reserved) (*ambientv1.CreateSessionRequest, error) {
	spec := desired.Spec
	if spec.DisplayName == "" {
		spec.DisplayName = desired.Name
	}
	t.takeMetadata(&reserved, &desired.ObjectMeta)
	reserved.Generation = max(1, desired.Generation)
	reserved.SpecHash = specHash((*sessionHash)(&spec), defaulted(&spec))
	annotations, err := newAnnotations(desired.Annotations, reserved)
	if err != nil {
		return nil, err
	}
	request := &ambientv1.CreateSessionRequest{
		Name:            spec.DisplayName,
		RepoUrl:         present(spec.RepositoryURL),
		Prompt:          present(spec.Prompt),
		AssignedUserId:  present(spec.AssignedUserID),
		WorkflowId:      present(writeWorkflow("", nil, spec.Workflow)),
		Timeout:         spec.TimeoutSeconds,
		ParentSessionId: present(spec.ParentSessionID),
		BotAccountName:  present(spec.BotAccountName),
		Annotations:     text(annotations),
	}
	if llm := spec.LLM; llm != nil {
		request.LlmModel = present(llm.Model)
		request.LlmTemperature = llm.Temperature
		request.LlmMaxTokens = llm.MaxTokens
	}
	if len(spec.Repositories) > 0 {
		request.Repos = text(repositories.rewrite("", spec.Repositories))
	}
	if overrides := writeObject("", overrideProperties, nil, spec.ResourceOverrides); overrides != emptyObject {
		request.ResourceOverrides = text(overrides)
	}
	if len(spec.Environment) > 0 {
		request.EnvironmentVariables = text(editObject("", mapChanges(nil, spec.Environment)))
	}
	if changes := mapChanges(nil, desired.Labels, v1alpha1.SessionIDLabel); len(changes) > 0 {
		request.Labels = text(editObject("", changes))
	}
	if desired.Namespace != t.options.UnassignedNamespace {
		request.ProjectId = present(desired.Namespace)
	}
	return request, nil
}

// present is the column for a value; an empty one is not sent.
func present(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}

// newAnnotations writes the annotations of a new row.
func newAnnotations(annotations map[string]string, reserved Reserved) (string, error) {
	return WithReserved(editObject("", mapChanges(nil, annotations, reservedKeys...)), reserved)
}

// SessionUpdate returns the requests that turn current, the translation of row,
// into desired; nil when there is nothing to send. A value that the upstream
// cannot clear is refused as invalid. Fields that are read-only do not count.
func (t *Translator) SessionUpdate(row *ambientv1.Session, current, desired *v1alpha1.Session) (*ambientv1.UpdateSessionRequest, *ambientv1.UpdateSessionStatusRequest, error) {
	spec, err := t.sessionSpecUpdate(row, current, desired)
	if err != nil {
		return nil, nil, err
	}
	return spec, sessionStatusUpdate(row, current, desired), nil
}

// sender notes whether anything is sent.
type sender struct{ sending bool }

// text sends a text column that changed; the empty text clears it.
func (s *sender) text(column **string, current, desired string) {
	if current != desired {
		s.send(column, desired)
	}
}

func (s *sender) send(column **string, value string) {
	*column, s.sending = &value, true
}

// number sends a number that changed. The upstream cannot clear one: it returns
// false when that would be needed.
func number[T comparable](s *sender, column **T, current, desired *T) bool {
	switch {
	case desired == nil:
		return current == nil
	case current == nil || *current != *desired:
		value := *desired
		*column, s.sending = &value, true
	}
	return true
}

func (t *Translator) sessionSpecUpdate(row *ambientv1.Session, current, desired *v1alpha1.Session) (*ambientv1.UpdateSessionRequest, error) {
	request := &ambientv1.UpdateSessionRequest{Id: row.GetMetadata().GetId()}
	s := &sender{}
	if refused := sessionColumns(s, request, row, &current.Spec, &desired.Spec); len(refused) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.Kind("Session"), desired.Name, refused)
	}
	if changes := mapChanges(current.Labels, desired.Labels, v1alpha1.SessionIDLabel); len(changes) > 0 {
		s.send(&request.Labels, editObject(row.GetLabels(), changes))
	}
	if _, restoring := desired.Annotations[v1alpha1.RestoreNameAnnotation]; restoring && MalformedAnnotations(row.GetAnnotations()) {
		// What is there may be all that is left of something.
		return nil, apierrors.NewInvalid(v1alpha1.Kind("Session"), desired.Name, field.ErrorList{field.Forbidden(
			field.NewPath("metadata", "annotations").Key(v1alpha1.RestoreNameAnnotation), "the upstream's annotations are malformed and stay as they are")})
	}
	annotations, send, err := t.updateAnnotations(annotationsUpdate{
		text:    row.GetAnnotations(),
		key:     ReservedAnnotation,
		changes: mapChanges(current.Annotations, desired.Annotations, reservedKeys...),
		from:    &current.ObjectMeta,
		to:      &desired.ObjectMeta,
		before:  (*sessionHash)(&current.Spec),
		after:   (*sessionHash)(&desired.Spec),
		also:    func(reserved *Reserved) { restoreName(reserved, desired) },
	}, s.sending)
	if err != nil {
		return nil, err
	}
	if send {
		s.send(&request.Annotations, annotations)
	}
	if !s.sending {
		return nil, nil
	}
	return request, nil
}

// restoreName gives a session that has no chosen name the one that the reconciler
// found on its AgenticSession.
func restoreName(reserved *Reserved, desired *v1alpha1.Session) {
	if name := desired.Annotations[v1alpha1.RestoreNameAnnotation]; reserved.Name == "" && isLabel(name) {
		reserved.Name = name
	}
}

// sessionColumns fills in the columns whose field in the spec changed. It returns
// the changes that the upstream cannot make.
func sessionColumns(s *sender, request *ambientv1.UpdateSessionRequest, row *ambientv1.Session, current, desired *v1alpha1.SessionSpec) field.ErrorList {
	var refused field.ErrorList
	path := field.NewPath("spec")
	refuse := func(path *field.Path) {
		refused = append(refused, field.Forbidden(path, "the upstream cannot remove this value once it is set; set the value that is wanted instead"))
	}
	s.text(&request.Name, current.DisplayName, desired.DisplayName)
	s.text(&request.Prompt, current.Prompt, desired.Prompt)
	s.text(&request.RepoUrl, current.RepositoryURL, desired.RepositoryURL)
	s.text(&request.AssignedUserId, current.AssignedUserID, desired.AssignedUserID)
	s.text(&request.BotAccountName, current.BotAccountName, desired.BotAccountName)
	if desired.ParentSessionID == "" && current.ParentSessionID != "" {
		refuse(path.Child("parentSessionID"))
	} else {
		s.text(&request.ParentSessionId, current.ParentSessionID, desired.ParentSessionID)
	}
	if !number(s, &request.Timeout, current.TimeoutSeconds, desired.TimeoutSeconds) {
		refuse(path.Child("timeoutSeconds"))
	}
	before, after := orZero(current.LLM), orZero(desired.LLM)
	s.text(&request.LlmModel, before.Model, after.Model)
	if !number(s, &request.LlmTemperature, before.Temperature, after.Temperature) {
		refuse(path.Child("llm", "temperature"))
	}
	if !number(s, &request.LlmMaxTokens, before.MaxTokens, after.MaxTokens) {
		refuse(path.Child("llm", "maxTokens"))
	}
	if !equality.Semantic.DeepEqual(current.Repositories, desired.Repositories) {
		s.send(&request.Repos, repositories.rewrite(row.GetRepos(), desired.Repositories))
	}
	if orZero(current.Workflow) != orZero(desired.Workflow) {
		s.send(&request.WorkflowId, writeWorkflow(row.GetWorkflowId(), current.Workflow, desired.Workflow))
	}
	if orZero(current.ResourceOverrides) != orZero(desired.ResourceOverrides) {
		s.send(&request.ResourceOverrides, writeObject(row.GetResourceOverrides(), overrideProperties, current.ResourceOverrides, desired.ResourceOverrides))
	}
	if changes := mapChanges(current.Environment, desired.Environment); len(changes) > 0 {
		s.send(&request.EnvironmentVariables, editObject(row.GetEnvironmentVariables(), changes))
	}
	return refused
}
