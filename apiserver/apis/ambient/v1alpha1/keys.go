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
	// ManagedByLabel names who made a namespace for a project.
	ManagedByLabel = "ambient-code.io/managed-by"
	// ManagedByReconciler is the value of ManagedByLabel on our namespaces.
	ManagedByReconciler = "ambient-kube-reconciler"
)

// Condition types of the group's kinds.
const (
	// ConditionReady says whether the object is in the state that was asked for.
	ConditionReady = "Ready"
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
// Projected of a Project, False, in each cluster but the one that projects it.
const ReasonProjectedByAnotherCluster = "ProjectedByAnotherCluster"

// IsTerminal tells whether a session in the phase has ended.
func (p SessionPhase) IsTerminal() bool {
	switch p {
	case SessionStopped, SessionCompleted, SessionFailed:
		return true
	default:
		return false
	}
}
