package translate

import (
	"math"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// Session returns the object that stands for the row. It never fails: what cannot
// be shown is left out and named in the condition Translated.
func (t *Translator) Session(row *ambientv1.Session, placement Placement) *v1alpha1.Session {
	var p problems
	id := row.GetMetadata().GetId()
	session := &v1alpha1.Session{
		ObjectMeta: objectMeta(placement.Namespace, placement.Name, UID("Session", id, row.GetProjectId()), row.GetMetadata().GetCreatedAt(), &p),
	}
	session.Labels = withSessionID(readLabels(row.GetLabels(), &p, v1alpha1.SessionIDLabel), id)
	annotations, reserved, state := readAnnotations(row.GetAnnotations(), ReservedAnnotation, &p)
	session.Annotations = annotations
	if state == reservedPresent {
		t.setReserved(&session.ObjectMeta, &reserved)
	}

	session.Spec = sessionSpec(row, reserved.CreatedBy, &p)
	conditions, details := readConditions(row.GetConditions(), &p)
	session.Status = sessionStatus(row, details, &p)

	session.Generation = placement.Generation
	if session.Generation == 0 {
		observed := highestObserved(details.ObservedGeneration, conditions)
		session.Generation = storedGeneration(&reserved, observed, (*sessionHash)(&session.Spec))
	}
	session.Status.Conditions = t.withComputed(row, session, placement, conditions, &p)
	return session
}

// withSessionID adds the derived label.
func withSessionID(labels map[string]string, id string) map[string]string {
	if id == "" || !isLabelValue(id) {
		return labels
	}
	if labels == nil {
		labels = make(map[string]string, 1)
	}
	labels[v1alpha1.SessionIDLabel] = id
	return labels
}

func sessionSpec(row *ambientv1.Session, createdBy string, p *problems) v1alpha1.SessionSpec {
	if createdBy == "" {
		createdBy = row.GetCreatedByUserId()
	}
	return v1alpha1.SessionSpec{
		DisplayName:       row.GetName(),
		Prompt:            row.GetPrompt(),
		RepositoryURL:     row.GetRepoUrl(),
		Repositories:      repositories.values(row.GetRepos(), p),
		Workflow:          readWorkflow(row.GetWorkflowId(), p),
		LLM:               llmSettings(row, p),
		TimeoutSeconds:    clone(row.GetTimeout(), row != nil && row.Timeout != nil),
		Environment:       readMap(environmentColumn, row.GetEnvironmentVariables(), p, nil),
		ResourceOverrides: readObject(resourceOverridesColumn, row.GetResourceOverrides(), overrideProperties, p),
		ParentSessionID:   row.GetParentSessionId(),
		AssignedUserID:    row.GetAssignedUserId(),
		BotAccountName:    row.GetBotAccountName(),
		CreatedBy:         createdBy,
		AgentID:           row.GetAgentId(),
	}
}

func llmSettings(row *ambientv1.Session, p *problems) *v1alpha1.LLMSettings {
	return orNil(v1alpha1.LLMSettings{
		Model:       row.GetLlmModel(),
		Temperature: temperature(row, p),
		MaxTokens:   clone(row.GetLlmMaxTokens(), row != nil && row.LlmMaxTokens != nil),
	})
}

// temperature leaves out the numbers that JSON lacks: with one of them, the whole list
// that the session stands in could not be written.
func temperature(row *ambientv1.Session, p *problems) *float64 {
	value := row.GetLlmTemperature()
	if math.IsNaN(value) || math.IsInf(value, 0) {
		p.add(ReasonInvalidValues, temperatureColumn+" is not a number that can be shown")
		return nil
	}
	return clone(value, row != nil && row.LlmTemperature != nil)
}

// clone returns the value of an optional column; the object must not share memory
// with the row.
func clone[T any](value T, present bool) *T {
	if !present {
		return nil
	}
	return &value
}

func sessionStatus(row *ambientv1.Session, d details, p *problems) v1alpha1.SessionStatus {
	return v1alpha1.SessionStatus{
		ObservedGeneration: d.ObservedGeneration,
		Phase:              v1alpha1.SessionPhase(row.GetPhase()),
		StartTime:          readTime(startColumn, row.GetStartTime(), p),
		CompletionTime:     readTime(completionColumn, row.GetCompletionTime(), p),
		LastActivityTime:   d.LastActivityTime,
		StoppedReason:      d.StoppedReason,
		SessionID:          row.GetMetadata().GetId(),
		ProjectID:          row.GetProjectId(),
		AgenticSession:     agenticSession(row),
		SDKSessionID:       row.GetSdkSessionId(),
		SDKRestartCount:    clone(row.GetSdkRestartCount(), row != nil && row.SdkRestartCount != nil),
		Repositories:       reconciledRepositories.values(row.GetReconciledRepos(), p),
		Workflow:           readObject(reconciledWorkflowColumn, row.GetReconciledWorkflow(), reconciledWorkflowProperties, p),
	}
}

// agenticSession names the custom resource. The upstream sets the name by itself
// when the session is created; only the rest can be written. It names the id in
// its mixed case, while a resource can only bear the lower-case form.
func agenticSession(row *ambientv1.Session) *v1alpha1.AgenticSessionReference {
	return orNil(v1alpha1.AgenticSessionReference{
		Namespace: row.GetKubeNamespace(),
		Name:      strings.ToLower(row.GetKubeCrName()),
		UID:       types.UID(row.GetKubeCrUid()),
	})
}

// text returns the value of an optional column to send.
func text(value string) *string { return proto.String(value) }
