package agenticsession

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Status is the status of an AgenticSession as the operator writes it.
type Status struct {
	ObservedGeneration int64                 `json:"observedGeneration,omitempty"`
	Phase              v1alpha1.SessionPhase `json:"phase,omitempty"`
	StartTime          *metav1.Time          `json:"startTime,omitempty"`
	CompletionTime     *metav1.Time          `json:"completionTime,omitempty"`
	LastActivityTime   *metav1.Time          `json:"lastActivityTime,omitempty"`
	ReconciledRepos    []ReconciledRepo      `json:"reconciledRepos,omitempty"`
	ReconciledWorkflow *ReconciledWorkflow   `json:"reconciledWorkflow,omitempty"`
	StoppedReason      string                `json:"stoppedReason,omitempty"`
	SDKSessionID       string                `json:"sdkSessionId,omitempty"`
	SDKRestartCount    *int32                `json:"sdkRestartCount,omitempty"`
	Conditions         []Condition           `json:"conditions,omitempty"`
}

// ReconciledRepo is one entry of status.reconciledRepos.
type ReconciledRepo struct {
	URL                 string       `json:"url,omitempty"`
	Name                string       `json:"name,omitempty"`
	Branch              string       `json:"branch,omitempty"`
	Branches            []string     `json:"branches,omitempty"`
	CurrentActiveBranch string       `json:"currentActiveBranch,omitempty"`
	DefaultBranch       string       `json:"defaultBranch,omitempty"`
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

// Condition is one entry of status.conditions. Only type and status are sure to
// be there.
type Condition struct {
	Type               string                 `json:"type"`
	Status             metav1.ConditionStatus `json:"status"`
	Reason             string                 `json:"reason,omitempty"`
	Message            string                 `json:"message,omitempty"`
	LastTransitionTime *metav1.Time           `json:"lastTransitionTime,omitempty"`
	ObservedGeneration int64                  `json:"observedGeneration,omitempty"`
}

// ReadStatus reads the status of an AgenticSession.
func ReadStatus(object *unstructured.Unstructured) (Status, error) {
	content, found := object.Object["status"].(map[string]any)
	if !found {
		return Status{}, nil
	}
	var status Status
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &status); err != nil {
		return Status{}, fmt.Errorf("reading the status of AgenticSession %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return status, nil
}

// State is a point in the life of an AgenticSession: its phase and the run that
// it belongs to. Two states are equal if and only if nothing started or ended
// between them. Times have a precision of seconds and are RFC 3339, empty if
// unknown.
type State struct {
	Phase          v1alpha1.SessionPhase `json:"phase,omitempty"`
	StartTime      string                `json:"startTime,omitempty"`
	CompletionTime string                `json:"completionTime,omitempty"`
}

// State returns the point in life that the status shows.
func (s Status) State() State {
	return State{Phase: s.Phase, StartTime: Timestamp(s.StartTime), CompletionTime: Timestamp(s.CompletionTime)}
}

// Timestamp spells a time as State does.
func Timestamp(time *metav1.Time) string {
	if time.IsZero() {
		return ""
	}
	return time.UTC().Format(timeFormat)
}

const timeFormat = time.RFC3339

// Mark says which request was sent to the operator, so that each is sent once.
type Mark struct {
	// Phase is the upstream phase that is the request: Pending or Stopping.
	Phase v1alpha1.SessionPhase `json:"phase"`
	// Time is when the request was first seen.
	Time metav1.Time `json:"time"`
	// From is the state of the AgenticSession at that time: whatever differs
	// from it is later than the request.
	From State `json:"from"`
}

// ReadMark returns the mark on an AgenticSession, nil if it bears none. A mark
// that nobody can read counts as none: a request is rather sent again than lost.
func ReadMark(object *unstructured.Unstructured) *Mark {
	return read[Mark](object, HandledAnnotation)
}

// ReadReported returns the last terminal state known to be acknowledged by the
// upstream, nil if there is none.
func ReadReported(object *unstructured.Unstructured) *State {
	return read[State](object, ReportedAnnotation)
}

func read[T any](object *unstructured.Unstructured, annotation string) *T {
	text, found := object.GetAnnotations()[annotation]
	if !found {
		return nil
	}
	value := new(T)
	if err := json.Unmarshal([]byte(text), value); err != nil {
		return nil
	}
	return value
}

// AnnotationPatch returns a merge patch that sets and removes (nil) annotations
// of an AgenticSession, and is refused if the object is not the one that was
// read any more.
func AnnotationPatch(object *unstructured.Unstructured, annotations map[string]*string) ([]byte, error) {
	patch := map[string]any{"metadata": map[string]any{
		"resourceVersion": object.GetResourceVersion(),
		"uid":             object.GetUID(),
		"annotations":     annotations,
	}}
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encoding annotations for AgenticSession %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return data, nil
}
