package agenticsession

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// FieldManager is the one field manager under which the reconciler writes.
const FieldManager = "ambient-kube-reconciler"

// Resource is the resource that the platform's operator acts on.
var Resource = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}

// Kind is the kind of Resource.
var Kind = schema.GroupVersionKind{Group: "vteam.ambient-code", Version: "v1alpha1", Kind: "AgenticSession"}

// Labels of projected objects, besides those that package v1alpha1 names.
const (
	// ManagedByLabel names the program that made an object.
	ManagedByLabel = "ambient-code.io/managed-by"
	// ManagedLabel, "true" on a namespace, opens it for the operator.
	ManagedLabel = "ambient-code.io/managed"
)

// Annotations by which the operator is asked for something. It removes them
// when it has acted.
const (
	DesiredPhaseAnnotation   = "ambient-code.io/desired-phase"
	StartRequestedAnnotation = "ambient-code.io/start-requested-at"
	StopRequestedAnnotation  = "ambient-code.io/stop-requested-at"
)

// ParentAnnotation holds the upstream id of the session that this one continues.
const ParentAnnotation = "vteam.ambient-code/parent-session-id"

// Annotations that the reconciler keeps for itself.
const (
	// SessionNameAnnotation holds metadata.name of the Session.
	SessionNameAnnotation = "ambient.io/session-name"
	// ReportedAnnotation holds the last terminal state that the upstream is
	// known to have acknowledged: a State as JSON.
	ReportedAnnotation = "ambient.io/reported"
	// HandledAnnotation holds the request that was last sent to the operator: a
	// Mark as JSON.
	HandledAnnotation = "ambient.io/handled-request"
)
