package translate

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// Reasons of the conditions that are computed.
const (
	// ReasonNotStarted: nobody has acted on the session yet.
	ReasonNotStarted = "NotStarted"
	// ReasonUnknownPhase: the upstream shows a phase that is not known here.
	ReasonUnknownPhase = "UnknownPhase"
	// ReasonSessionFailed: the session has failed.
	ReasonSessionFailed = "SessionFailed"
	// ReasonNameTaken: several sessions ask for one name.
	ReasonNameTaken = "NameTaken"
	// ReasonNamespaceExists: the namespace of the project belongs to somebody else.
	ReasonNamespaceExists = "NamespaceExists"
)

// withComputed puts the conditions that are computed around those that the
// upstream holds.
func (t *Translator) withComputed(row *ambientv1.Session, session *v1alpha1.Session, placement Placement, held []metav1.Condition, p *problems) []metav1.Condition {
	conditions := make([]metav1.Condition, 0, len(held)+4)
	conditions = append(conditions, ready(session))
	if c, found := stalled(session, held); found {
		conditions = append(conditions, c)
	}
	conditions = append(conditions, held...)
	if c, found := p.condition(&session.ObjectMeta); found {
		conditions = append(conditions, c)
	}
	if placement.NameConflict {
		conditions = append(conditions, metav1.Condition{
			Type:               v1alpha1.ConditionNameConflict,
			Status:             metav1.ConditionTrue,
			ObservedGeneration: session.Generation,
			LastTransitionTime: session.CreationTimestamp,
			Reason:             ReasonNameTaken,
			Message:            t.conflict(row, placement),
		})
	}
	if placement.ForeignNamespace != "" {
		conditions = append(conditions, metav1.Condition{
			Type:               v1alpha1.ConditionNamespaceNotAdopted,
			Status:             metav1.ConditionTrue,
			ObservedGeneration: session.Generation,
			LastTransitionTime: session.CreationTimestamp,
			Reason:             ReasonNamespaceExists,
			Message: fmt.Sprintf("Namespace %q exists and does not belong to the project, whose sessions are kept out of it; to let the project use it: kubectl annotate namespace %s %s=true",
				placement.ForeignNamespace, placement.ForeignNamespace, v1alpha1.AdoptAnnotation),
		})
	}
	return conditions
}

func (t *Translator) conflict(row *ambientv1.Session, placement Placement) string {
	wanted := t.SessionName(row)
	if wanted == placement.Name {
		return fmt.Sprintf("Another session asks for the name %q, too; it is served under a name of its own.", wanted)
	}
	return fmt.Sprintf("An older session holds the name %q; this one is served as %q.", wanted, placement.Name)
}

// ready computes the condition Ready so that kstatus reads it rightly: True is
// done, False is on the way, and Stalled beside it is failed.
func ready(session *v1alpha1.Session) metav1.Condition {
	status := &session.Status
	c := metav1.Condition{
		Type:               v1alpha1.ConditionReady,
		Status:             metav1.ConditionFalse,
		ObservedGeneration: session.Generation,
		Reason:             string(status.Phase),
	}
	switch status.Phase {
	case v1alpha1.SessionRunning:
		c.Status, c.Message = metav1.ConditionTrue, "The agent runs."
		c.LastTransitionTime = firstOf(session, status.StartTime)
	case v1alpha1.SessionCompleted:
		// A session comes here from Running, where it was ready already.
		c.Status, c.Message = metav1.ConditionTrue, "The agent has ended successfully."
		c.LastTransitionTime = firstOf(session, status.StartTime, status.CompletionTime)
	case v1alpha1.SessionStopped:
		c.Status, c.Message = metav1.ConditionTrue, "The agent was stopped."
		c.LastTransitionTime = firstOf(session, status.CompletionTime, status.StartTime)
	case v1alpha1.SessionFailed:
		c.Message = "The agent ended with an error, or could not start."
		c.LastTransitionTime = firstOf(session, status.CompletionTime, status.StartTime)
	case v1alpha1.SessionPending:
		c.Message = "A start was requested."
		c.LastTransitionTime = firstOf(session, status.CompletionTime)
	case v1alpha1.SessionCreating:
		c.Message = "The agent's pod is being made."
		c.LastTransitionTime = firstOf(session, status.CompletionTime)
	case v1alpha1.SessionStopping:
		c.Message = "A stop was requested."
		c.LastTransitionTime = firstOf(session, status.StartTime)
	case "":
		c.Reason, c.Message = ReasonNotStarted, "Nobody has acted on the session yet."
		c.LastTransitionTime = session.CreationTimestamp
	default:
		c.Status, c.Reason = metav1.ConditionUnknown, ReasonUnknownPhase
		c.Message = "The phase of the session is not known to this server."
		c.LastTransitionTime = session.CreationTimestamp
	}
	return c
}

// stalled returns Stalled=True if the session has failed, or can't begin until
// somebody does something.
func stalled(session *v1alpha1.Session, held []metav1.Condition) (metav1.Condition, bool) {
	c := metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, ObservedGeneration: session.Generation}
	switch session.Status.Phase {
	case v1alpha1.SessionFailed:
		c.Reason, c.Message = ReasonSessionFailed, "The session has failed; it can be started again."
		c.LastTransitionTime = firstOf(session, session.Status.CompletionTime, session.Status.StartTime)
		return c, true
	case "", v1alpha1.SessionPending:
		at := indexOfType(held, v1alpha1.ConditionProjected)
		if at < 0 || held[at].Status != metav1.ConditionFalse || !slices.Contains(refusals, held[at].Reason) {
			return c, false
		}
		c.Reason, c.Message, c.LastTransitionTime = held[at].Reason, held[at].Message, held[at].LastTransitionTime
		return c, true
	default:
		return c, false
	}
}

// refusals are the reasons for which a session is not projected until somebody
// does something.
var refusals = []string{v1alpha1.ReasonNamespaceReserved, v1alpha1.ReasonNamespaceNotAdopted, v1alpha1.ReasonNoProject, v1alpha1.ReasonRefused, v1alpha1.ReasonBaselineMissing}

// firstOf returns the first of the times that is there, or else the creation's.
func firstOf(session *v1alpha1.Session, times ...*metav1.Time) metav1.Time {
	for _, t := range times {
		if t != nil {
			return *t
		}
	}
	return session.CreationTimestamp
}
