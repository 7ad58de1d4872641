package v1alpha1

// Labels and annotations of the group.
const (
	// SessionIDLabel holds a Session's exact upstream id.
	SessionIDLabel = "ambient.io/session-id"
	// ProjectIDLabel holds an upstream project id on projected objects.
	ProjectIDLabel = "ambient-code.io/project-id"
	// AllowCascadeAnnotation, "true" on a Namespace or a Project, lets the
	// deletion of that object delete the objects in it upstream, too.
	AllowCascadeAnnotation = "ambient.io/allow-cascade"
	// AllowBurnAnnotation, "true" on ProjectSettings, lets a deletion delete
	// the upstream row, which can never be made again.
	AllowBurnAnnotation = "ambient.io/allow-burn"
	// AdoptAnnotation, "true" on a Namespace, lets a Project of that name use it.
	AdoptAnnotation = "ambient.io/adopt"
	// ProjectIntoAnnotation, on a Project, names the cluster that is to project it,
	// by the UID of its namespace kube-system: a person hands the project over.
	ProjectIntoAnnotation = "ambient.io/project-into"
	// RestoreNameAnnotation, in a write of the status of a Session that goes by its
	// id, gives the Session the name back that it lost together with its record
	// upstream. It is never stored, and refused in any other write.
	RestoreNameAnnotation = "ambient.io/restore-name"
	// ManagedByLabel names who made a namespace for a project.
	ManagedByLabel = "ambient-code.io/managed-by"
	// ManagedByReconciler is the value of ManagedByLabel on our namespaces.
	ManagedByReconciler = "ambient-kube-reconciler"
)

// Condition types of the group's kinds.
const (
	// ConditionReady says whether the object is in the state that was asked for.
	ConditionReady = "Ready"
	// ConditionStalled is True while nothing more will happen to the object until
	// somebody does something, and is absent otherwise. Tools that understand
	// kstatus read it as failed.
	ConditionStalled = "Stalled"
	// ConditionTranslated is False while upstream data cannot be shown as it is.
	ConditionTranslated = "Translated"
	// ConditionProjected says whether the object is projected into the cluster.
	ConditionProjected = "Projected"
	// ConditionNameConflict is True while another object holds the chosen name.
	ConditionNameConflict = "NameConflict"
	// ConditionNamespaceNotAdopted is True while the namespace of a session's
	// project exists and belongs to somebody else.
	ConditionNamespaceNotAdopted = "NamespaceNotAdopted"
)

// ReasonProjectedByAnotherCluster is the reason of the conditions Ready and
// Projected of a Project and its ProjectSettings, False, in each cluster but the
// one that projects it.
const ReasonProjectedByAnotherCluster = "ProjectedByAnotherCluster"

// ReasonNotObserved is the reason of the condition Ready, Unknown, of a Project or
// ProjectSettings that no reconciler has looked at yet.
const ReasonNotObserved = "NotObserved"

// Reasons of the condition Projected, False, that stay until somebody does
// something about the project's namespace: Stalled is True beside them.
const (
	// ReasonNamespaceReserved: the project's name is that of a namespace that no
	// project may use.
	ReasonNamespaceReserved = "NamespaceReserved"
	// ReasonNamespaceNotAdopted: the namespace was there before the project.
	ReasonNamespaceNotAdopted = "NamespaceNotAdopted"
	// ReasonNoProject: the session belongs to no project, or to one that can have
	// no namespace.
	ReasonNoProject = "NoProject"
	// ReasonBaselineMissing: the record that tells old from new sessions is lost.
	ReasonBaselineMissing = "BaselineMissing"
	// ReasonRefused: a quota, a policy or its definition refuses the AgenticSession as
	// the Session wants it, or the access that ProjectSettings give.
	ReasonRefused = "Refused"
)

// NotObserved tells whether a condition of that type and reason is the one that our
// API server computes for Projects and ProjectSettings that nobody has looked at: it
// is not stored, and nobody reports it.
func NotObserved(conditionType, reason string) bool {
	return conditionType == ConditionReady && reason == ReasonNotObserved
}

// IsTerminal tells whether a session in the phase has ended.
func (p SessionPhase) IsTerminal() bool {
	switch p {
	case SessionStopped, SessionCompleted, SessionFailed:
		return true
	default:
		return false
	}
}
