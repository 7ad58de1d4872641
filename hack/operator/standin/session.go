package standin

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Phase is status.phase of an AgenticSession; it is empty until the operator
// first acts on the session.
type Phase string

// The phases of an AgenticSession.
const (
	PhasePending   Phase = "Pending"
	PhaseCreating  Phase = "Creating"
	PhaseRunning   Phase = "Running"
	PhaseStopping  Phase = "Stopping"
	PhaseStopped   Phase = "Stopped"
	PhaseCompleted Phase = "Completed"
	PhaseFailed    Phase = "Failed"
)

// Annotations by which others ask the operator to do something.
const (
	AnnotationDesiredPhase       = "ambient-code.io/desired-phase"
	AnnotationStartRequestedAt   = "ambient-code.io/start-requested-at"
	AnnotationStopRequestedAt    = "ambient-code.io/stop-requested-at"
	AnnotationStopReason         = "ambient-code.io/stop-reason"
	AnnotationForceExecutePrompt = "ambient-code.io/force-execute-prompt"
)

// Condition types that the operator sets.
const (
	ConditionReady              = "Ready"
	ConditionSecretsReady       = "SecretsReady"
	ConditionPodCreated         = "PodCreated"
	ConditionPodScheduled       = "PodScheduled"
	ConditionRunnerStarted      = "RunnerStarted"
	ConditionReposReconciled    = "ReposReconciled"
	ConditionWorkflowReconciled = "WorkflowReconciled"
	ConditionReconciled         = "Reconciled"
	ConditionS3Available        = "S3Available"
)

// Session is what the operator reads of an AgenticSession.
type Session struct {
	Namespace   string
	Name        string
	UID         types.UID
	Generation  int64
	Annotations map[string]string
	Spec        Spec
	Status      Status
}

// Spec is the part of an AgenticSession's spec that the operator acts on.
type Spec struct {
	InitialPrompt  string       `json:"initialPrompt,omitempty"`
	Repos          []Repository `json:"repos,omitempty"`
	ActiveWorkflow *Workflow    `json:"activeWorkflow,omitempty"`
	LLMSettings    LLMSettings  `json:"llmSettings,omitempty"`
}

// LLMSettings are the settings of the language model.
type LLMSettings struct {
	Model     string `json:"model,omitempty"`
	MaxTokens int64  `json:"maxTokens,omitempty"`
	// Temperature is filled in by readSession, because the operator reads it
	// in a way of its own.
	Temperature float64 `json:"-"`
}

// Repository is one entry of spec.repos.
type Repository struct {
	URL    string `json:"url"`
	Branch string `json:"branch,omitempty"`
}

// Workflow is spec.activeWorkflow.
type Workflow struct {
	GitURL string `json:"gitUrl,omitempty"`
	Branch string `json:"branch,omitempty"`
	Path   string `json:"path,omitempty"`
}

// Status is the whole status of an AgenticSession: the operator writes it back
// as one, fields that it does not set itself included.
type Status struct {
	ObservedGeneration int64               `json:"observedGeneration,omitempty"`
	Phase              Phase               `json:"phase,omitempty"`
	StartTime          *metav1.Time        `json:"startTime,omitempty"`
	CompletionTime     *metav1.Time        `json:"completionTime,omitempty"`
	LastActivityTime   *metav1.Time        `json:"lastActivityTime,omitempty"`
	ReconciledRepos    []ReconciledRepo    `json:"reconciledRepos,omitempty"`
	ReconciledWorkflow *ReconciledWorkflow `json:"reconciledWorkflow,omitempty"`
	StoppedReason      string              `json:"stoppedReason,omitempty"`
	SDKSessionID       string              `json:"sdkSessionId,omitempty"`
	SDKRestartCount    *int64              `json:"sdkRestartCount,omitempty"`
	Conditions         []Condition         `json:"conditions,omitempty"`
}

// ReconciledRepo is one entry of status.reconciledRepos.
type ReconciledRepo struct {
	URL                 string       `json:"url,omitempty"`
	Branch              string       `json:"branch,omitempty"`
	Branches            []string     `json:"branches,omitempty"`
	CurrentActiveBranch string       `json:"currentActiveBranch,omitempty"`
	DefaultBranch       string       `json:"defaultBranch,omitempty"`
	Name                string       `json:"name,omitempty"`
	Status              string       `json:"status,omitempty"`
	ClonedAt            *metav1.Time `json:"clonedAt,omitempty"`
}

// ReconciledWorkflow is status.reconciledWorkflow.
type ReconciledWorkflow struct {
	GitURL    string       `json:"gitUrl,omitempty"`
	Branch    string       `json:"branch,omitempty"`
	Path      string       `json:"path,omitempty"`
	Status    string       `json:"status,omitempty"`
	AppliedAt *metav1.Time `json:"appliedAt,omitempty"`
}

// Condition is one entry of status.conditions. Unlike Kubernetes' own type it
// has no required times: the definition asks for type and status only.
type Condition struct {
	Type               string       `json:"type"`
	Status             string       `json:"status"`
	Reason             string       `json:"reason,omitempty"`
	Message            string       `json:"message,omitempty"`
	LastTransitionTime *metav1.Time `json:"lastTransitionTime,omitempty"`
	ObservedGeneration int64        `json:"observedGeneration,omitempty"`
}

// readSession turns an AgenticSession as read from the API into a Session. The
// temperature is read as the operator reads it: as a float or not at all, and
// JSON's 1 (which is also how the API server prints 1.0) is no float.
func readSession(object *unstructured.Unstructured) (Session, error) {
	var content struct {
		Spec   Spec   `json:"spec"`
		Status Status `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &content); err != nil {
		return Session{}, fmt.Errorf("reading AgenticSession %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	if temperature, found, err := unstructured.NestedFloat64(object.Object, "spec", "llmSettings", "temperature"); err == nil && found {
		content.Spec.LLMSettings.Temperature = temperature
	}
	return Session{
		Namespace:   object.GetNamespace(),
		Name:        object.GetName(),
		UID:         object.GetUID(),
		Generation:  object.GetGeneration(),
		Annotations: object.GetAnnotations(),
		Spec:        content.Spec,
		Status:      content.Status,
	}, nil
}

// writeStatus puts status into object in place of the status it had.
func writeStatus(object *unstructured.Unstructured, status *Status) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("converting the status of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	object.Object["status"] = content
	return nil
}

// deepCopy returns a copy of status that shares nothing that is changed in
// place.
func (status *Status) deepCopy() *Status {
	next := *status
	next.Conditions = append([]Condition(nil), status.Conditions...)
	next.ReconciledRepos = append([]ReconciledRepo(nil), status.ReconciledRepos...)
	return &next
}

// setCondition sets the condition of its type; the transition time moves only
// when the condition's status does.
func (status *Status) setCondition(now metav1.Time, condition Condition) {
	condition.LastTransitionTime = &now
	for i := range status.Conditions {
		existing := &status.Conditions[i]
		if existing.Type != condition.Type {
			continue
		}
		if existing.Status == condition.Status {
			condition.LastTransitionTime = existing.LastTransitionTime
		}
		*existing = condition
		return
	}
	status.Conditions = append(status.Conditions, condition)
}
