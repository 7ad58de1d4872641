package status

import (
	"regexp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// ActivityInterval is how often the time of the last activity may be written.
const ActivityInterval = time.Minute

// computed are the condition types that the API server computes itself.
var computed = []string{v1alpha1.ConditionReady, v1alpha1.ConditionStalled, v1alpha1.ConditionTranslated, v1alpha1.ConditionNameConflict}

// Projection is what condition Projected is to say.
type Projection struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// Change is what is to become of a Session's status.
type Change struct {
	// Report carries the operator's phase, with its times and reason, up.
	Report bool
	// End, if not empty, ends the session in that phase, now.
	End v1alpha1.SessionPhase
	// Vanished is an AgenticSession that is gone and that the Session never named, nil
	// if there is none: recorded, it is known to whoever comes after us.
	Vanished *v1alpha1.AgenticSessionReference
	// Projection is nil if condition Projected stays as it is.
	Projection *Projection
	// InStep is true if the AgenticSession says what the Session says, so that
	// the operator's observed generation speaks of the Session's present one.
	InStep bool
	// ActivityDue is true if the time of the last activity may be written again.
	ActivityDue bool
	// Now is the present time.
	Now time.Time
}

// Desired returns the status that the session should have. The resource is its
// AgenticSession, with the status read from it, or nil.
func Desired(session *v1alpha1.Session, resource *unstructured.Unstructured, from agenticsession.Status, change Change) v1alpha1.SessionStatus {
	to := *session.Status.DeepCopy()
	now := metav1.NewTime(change.Now.UTC().Truncate(time.Second))
	projected := keptProjection(session.Status.Conditions)
	if change.Vanished != nil {
		to.AgenticSession = reference(session, *change.Vanished)
	}
	if resource != nil {
		to.AgenticSession = reference(session, v1alpha1.AgenticSessionReference{
			Namespace: resource.GetNamespace(), Name: resource.GetName(), UID: resource.GetUID(),
		})
		if from.Phase != "" {
			observe(&to, session, resource, from, change)
		}
	}
	if resource == nil && Unseen(session) {
		to.ObservedGeneration = session.Generation
	}
	if change.Report && from.Phase != "" {
		reportPhase(&to, from)
	}
	if change.End != "" {
		to.Phase = change.End
		to.CompletionTime = &now
	}
	to.Conditions = slices.DeleteFunc(to.Conditions, func(condition metav1.Condition) bool {
		return isComputed(condition.Type) || condition.Type == v1alpha1.ConditionProjected
	})
	if change.Projection != nil {
		projected = newProjection(projected, *change.Projection, now)
	}
	if projected != nil {
		to.Conditions = append(to.Conditions, *projected)
	}
	return to
}

// reference names the AgenticSession of a session. The name stays where there is one:
// the upstream assigned it and lets nobody change it, also where the AgenticSession
// had to take another. Its UID tells which it is.
func reference(session *v1alpha1.Session, to v1alpha1.AgenticSessionReference) *v1alpha1.AgenticSessionReference {
	if assigned := session.Status.AgenticSession; assigned != nil && assigned.Name != "" {
		to.Name = assigned.Name
	}
	return &to
}

// Unseen tells whether a session that has ended and that somebody has looked at was
// changed since: the operator looks at it no more. What nobody has ever looked at is
// judged by its phase alone, and needs no write.
func Unseen(session *v1alpha1.Session) bool {
	observed := session.Status.ObservedGeneration
	return session.Status.Phase.IsTerminal() && observed != 0 && observed < session.Generation
}

// reportPhase carries up what belongs to the phase. The upstream can't forget a
// time; the times of the last run stay until the next run sets them.
func reportPhase(to *v1alpha1.SessionStatus, from agenticsession.Status) {
	to.Phase = from.Phase
	to.StoppedReason = from.StoppedReason
	if from.StartTime != nil {
		to.StartTime = from.StartTime.DeepCopy()
	}
	if from.CompletionTime != nil {
		to.CompletionTime = from.CompletionTime.DeepCopy()
	}
}

// observe carries up what the operator says besides the phase.
func observe(to *v1alpha1.SessionStatus, session *v1alpha1.Session, resource *unstructured.Unstructured, from agenticsession.Status, change Change) {
	seen := from.ObservedGeneration != 0 && from.ObservedGeneration >= resource.GetGeneration()
	// The operator looks at changes of what runs only. Where nothing runs, a change
	// has no effect but on the next start, and that finds it in the AgenticSession.
	if change.InStep && (seen || from.Phase.IsTerminal() && Unseen(session)) {
		to.ObservedGeneration = session.Generation
	}
	if from.LastActivityTime == nil || to.LastActivityTime == nil || change.ActivityDue {
		to.LastActivityTime = from.LastActivityTime.DeepCopy()
	}
	// Today's operator leaves both to the runner, which may write them upstream.
	if from.SDKSessionID != "" {
		to.SDKSessionID = from.SDKSessionID
	}
	if from.SDKRestartCount != nil {
		to.SDKRestartCount = from.SDKRestartCount
	}
	to.Repositories = repositories(from.ReconciledRepos)
	to.Workflow = workflow(from.ReconciledWorkflow)
	to.Conditions = conditions(from.Conditions, session.Status.Conditions, resource.GetCreationTimestamp())
}

func repositories(from []agenticsession.ReconciledRepo) []v1alpha1.ReconciledRepository {
	var to []v1alpha1.ReconciledRepository
	for _, repository := range from {
		to = append(to, v1alpha1.ReconciledRepository{
			URL:                 repository.URL,
			Name:                repository.Name,
			Branch:              repository.Branch,
			Branches:            repository.Branches,
			CurrentActiveBranch: repository.CurrentActiveBranch,
			DefaultBranch:       repository.DefaultBranch,
			Status:              repository.Status,
			ClonedAt:            repository.ClonedAt.DeepCopy(),
		})
	}
	return to
}

func workflow(from *agenticsession.ReconciledWorkflow) *v1alpha1.ReconciledWorkflow {
	if from == nil {
		return nil
	}
	return &v1alpha1.ReconciledWorkflow{
		GitURL:    from.GitURL,
		Branch:    from.Branch,
		Path:      from.Path,
		Status:    from.Status,
		AppliedAt: from.AppliedAt.DeepCopy(),
	}
}

var validReason = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// reasonUnspecified stands where the operator gives no reason, or one that a
// Kubernetes condition may not have.
const reasonUnspecified = "Unspecified"

// conditions maps the operator's conditions, of which only type and status are
// sure to be there, to complete ones.
func conditions(from []agenticsession.Condition, known []metav1.Condition, created metav1.Time) []metav1.Condition {
	var to []metav1.Condition
	for _, condition := range from {
		if condition.Type == "" || isComputed(condition.Type) || condition.Type == v1alpha1.ConditionProjected {
			continue
		}
		mapped := metav1.Condition{
			Type:               condition.Type,
			Status:             condition.Status,
			Reason:             condition.Reason,
			Message:            condition.Message,
			ObservedGeneration: condition.ObservedGeneration,
			LastTransitionTime: created,
		}
		if !validReason.MatchString(mapped.Reason) {
			mapped.Reason = reasonUnspecified
		}
		if condition.LastTransitionTime != nil {
			mapped.LastTransitionTime = *condition.LastTransitionTime
		} else if before := find(known, condition.Type); before != nil && before.Status == condition.Status {
			mapped.LastTransitionTime = before.LastTransitionTime
		}
		// The type is the key of the list: of two entries the last one stands.
		to = slices.DeleteFunc(to, func(other metav1.Condition) bool { return other.Type == mapped.Type })
		to = append(to, mapped)
	}
	return to
}

func keptProjection(known []metav1.Condition) *metav1.Condition {
	if found := find(known, v1alpha1.ConditionProjected); found != nil {
		return found.DeepCopy()
	}
	return nil
}

func newProjection(before *metav1.Condition, projection Projection, now metav1.Time) *metav1.Condition {
	after := &metav1.Condition{
		Type:               v1alpha1.ConditionProjected,
		Status:             projection.Status,
		Reason:             projection.Reason,
		Message:            projection.Message,
		LastTransitionTime: now,
	}
	if before != nil && before.Status == after.Status {
		after.LastTransitionTime = before.LastTransitionTime
	}
	return after
}

func find(conditions []metav1.Condition, kind string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == kind {
			return &conditions[i]
		}
	}
	return nil
}

func isComputed(kind string) bool { return slices.Contains(computed, kind) }
