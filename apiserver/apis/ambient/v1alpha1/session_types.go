package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// +genclient
// +genclient:method=Start,verb=create,subresource=start,input=SessionRequest
// +genclient:method=Stop,verb=create,subresource=stop,input=SessionRequest
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Session is one run of an AI coding agent. It lives in the namespace of its
// project; the system of record is the platform's API server.
type Session struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata. The name is the one chosen at creation, or the
	// lower-case form of the upstream id for sessions created elsewhere.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the session is asked to do, and with what.
	// +optional
	Spec SessionSpec `json:"spec,omitempty"`

	// What is known of the run. Written by the platform, not by users.
	// +optional
	Status SessionStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SessionList is a list of Sessions.
type SessionList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// The sessions.
	Items []Session `json:"items"`
}

// SessionSpec is the desired content of a Session. A field that is absent and
// one that is empty mean the same: the upstream cannot tell them apart.
type SessionSpec struct {
	// Human-readable name, at most 255 bytes; need not be unique. Defaults to
	// the object's name.
	// +optional
	DisplayName string `json:"displayName,omitempty"`

	// The first instruction given to the agent.
	// +optional
	Prompt string `json:"prompt,omitempty"`

	// URL of the only repository of the session. Used when repositories is empty.
	// +optional
	RepositoryURL string `json:"repositoryURL,omitempty"`

	// Repositories that are cloned into the session's workspace.
	// +optional
	// +listType=atomic
	Repositories []Repository `json:"repositories,omitempty"`

	// Workflow that guides the agent: either a stored one, by id, or one in a
	// Git repository.
	// +optional
	Workflow *Workflow `json:"workflow,omitempty"`

	// Settings of the language model.
	// +optional
	LLM *LLMSettings `json:"llm,omitempty"`

	// Time in seconds after which the session is ended. When absent, the
	// operator's default applies (300).
	// +optional
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// Environment variables of the agent's process. They may hold secrets, so
	// whoever may read Sessions may read them.
	// +optional
	Environment map[string]string `json:"environment,omitempty"`

	// Compute and storage that differ from the platform's defaults.
	// +optional
	ResourceOverrides *ResourceOverrides `json:"resourceOverrides,omitempty"`

	// Upstream id of the session that this one continues.
	// +optional
	ParentSessionID string `json:"parentSessionID,omitempty"`

	// Id of the user whom the session is assigned to.
	// +optional
	AssignedUserID string `json:"assignedUserID,omitempty"`

	// Name of the account that the agent acts as towards other systems.
	// +optional
	BotAccountName string `json:"botAccountName,omitempty"`

	// Who created the session. Read-only: set by the server from the requesting
	// user, or by the upstream for sessions created there.
	// +optional
	CreatedBy string `json:"createdBy,omitempty"`

	// Id of the agent definition that the session was started from. Read-only:
	// only the upstream can set it.
	// +optional
	AgentID string `json:"agentID,omitempty"`
}

// Repository is a Git repository of a Session.
type Repository struct {
	// Clone URL.
	URL string `json:"url"`

	// Branch to check out.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Directory name in the workspace; derived from the URL when empty.
	// +optional
	Name string `json:"name,omitempty"`

	// Whether the agent's commits are pushed without being asked for.
	// +optional
	AutoPush *bool `json:"autoPush,omitempty"`
}

// Workflow names a workflow in one of two ways: id alone, or gitURL with an
// optional branch and path.
type Workflow struct {
	// Id of a stored workflow. Excludes the other fields.
	// +optional
	ID string `json:"id,omitempty"`

	// URL of the Git repository that holds the workflow.
	// +optional
	GitURL string `json:"gitURL,omitempty"`

	// Branch of the repository.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Directory of the workflow in the repository.
	// +optional
	Path string `json:"path,omitempty"`
}

// LLMSettings are the settings of the language model. Each absent field takes
// the upstream's default when the session is created.
type LLMSettings struct {
	// Name of the model.
	// +optional
	Model string `json:"model,omitempty"`

	// Sampling temperature, 0 to 2. 0 is a value, not an absence.
	// +optional
	Temperature *float64 `json:"temperature,omitempty"`

	// Upper limit of the tokens of one answer.
	// +optional
	MaxTokens *int32 `json:"maxTokens,omitempty"`
}

// ResourceOverrides are compute and storage settings of one session.
type ResourceOverrides struct {
	// CPU of the agent's container, as a Kubernetes quantity.
	// +optional
	CPU string `json:"cpu,omitempty"`

	// Memory of the agent's container, as a Kubernetes quantity.
	// +optional
	Memory string `json:"memory,omitempty"`

	// StorageClass of the workspace.
	// +optional
	StorageClassName string `json:"storageClassName,omitempty"`

	// PriorityClass of the agent's pod.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// SessionPhase is the upstream's word for where a session stands. The empty
// phase means that nobody has acted on the session yet.
// +enum
type SessionPhase string

const (
	// SessionPending: a start was requested.
	SessionPending SessionPhase = "Pending"
	// SessionCreating: the agent's pod is being made.
	SessionCreating SessionPhase = "Creating"
	// SessionRunning: the agent runs.
	SessionRunning SessionPhase = "Running"
	// SessionStopping: a stop was requested.
	SessionStopping SessionPhase = "Stopping"
	// SessionStopped: the agent was stopped.
	SessionStopped SessionPhase = "Stopped"
	// SessionCompleted: the agent ended by itself, successfully.
	SessionCompleted SessionPhase = "Completed"
	// SessionFailed: the agent ended with an error, or could not start.
	SessionFailed SessionPhase = "Failed"
)

// SessionStatus is what is known of a Session's run.
type SessionStatus struct {
	// The metadata.generation of the Session that the operator last acted on.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Where the session stands. Empty until somebody acts on it.
	// +optional
	Phase SessionPhase `json:"phase,omitempty"`

	// When the current run began.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// When the last run ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// When the agent last did something.
	// +optional
	LastActivityTime *metav1.Time `json:"lastActivityTime,omitempty"`

	// Why the session was stopped: user or inactivity.
	// +optional
	StoppedReason string `json:"stoppedReason,omitempty"`

	// Exact upstream id of the session (mixed case). Read-only.
	// +optional
	SessionID string `json:"sessionID,omitempty"`

	// Upstream id of the session's project. Read-only.
	// +optional
	ProjectID string `json:"projectID,omitempty"`

	// The AgenticSession that runs the session in this cluster.
	// +optional
	AgenticSession *AgenticSessionReference `json:"agenticSession,omitempty"`

	// Session id that the agent's own kit uses to resume.
	// +optional
	SDKSessionID string `json:"sdkSessionID,omitempty"`

	// How often the agent's kit was restarted.
	// +optional
	SDKRestartCount *int32 `json:"sdkRestartCount,omitempty"`

	// State of each repository in the workspace.
	// +optional
	// +listType=atomic
	Repositories []ReconciledRepository `json:"repositories,omitempty"`

	// State of the workflow in the workspace.
	// +optional
	Workflow *ReconciledWorkflow `json:"workflow,omitempty"`

	// Observations of the session. Ready says whether the session is in the
	// state that was asked for; Translated=False names upstream data that could
	// not be shown; Projected=False says why no AgenticSession runs it.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// AgenticSessionReference names an AgenticSession custom resource.
type AgenticSessionReference struct {
	// Namespace of the AgenticSession.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Name of the AgenticSession.
	// +optional
	Name string `json:"name,omitempty"`

	// UID of the AgenticSession.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// ReconciledRepository is the observed state of one repository.
type ReconciledRepository struct {
	// Clone URL.
	URL string `json:"url"`

	// Directory name in the workspace.
	// +optional
	Name string `json:"name,omitempty"`

	// Branch as reported by older operators.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Branches that exist in the clone.
	// +optional
	// +listType=atomic
	Branches []string `json:"branches,omitempty"`

	// Branch that is checked out now.
	// +optional
	CurrentActiveBranch string `json:"currentActiveBranch,omitempty"`

	// Default branch of the remote.
	// +optional
	DefaultBranch string `json:"defaultBranch,omitempty"`

	// Cloning, Ready or Failed.
	// +optional
	Status string `json:"status,omitempty"`

	// When the clone was made.
	// +optional
	ClonedAt *metav1.Time `json:"clonedAt,omitempty"`
}

// ReconciledWorkflow is the observed state of the workflow.
type ReconciledWorkflow struct {
	// URL of the workflow's Git repository.
	// +optional
	GitURL string `json:"gitURL,omitempty"`

	// Branch of the repository.
	// +optional
	Branch string `json:"branch,omitempty"`

	// Directory in the repository.
	// +optional
	Path string `json:"path,omitempty"`

	// Cloning, Active or Failed.
	// +optional
	Status string `json:"status,omitempty"`

	// When the workflow was applied.
	// +optional
	AppliedAt *metav1.Time `json:"appliedAt,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// SessionRequest is the body of the subresources start and stop of a Session.
type SessionRequest struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata; the name, when given, must be the Session's.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Why the start or stop is asked for; recorded in an event.
	// +optional
	Reason string `json:"reason,omitempty"`
}
