package phase

import (
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// Action is what to do about a session.
type Action string

// The actions.
const (
	// Keep leaves the upstream's phase as it is; everything else that the
	// operator says goes up.
	Keep Action = "Keep"
	// Report writes the AgenticSession's phase to the Session.
	Report Action = "Report"
	// Create makes the AgenticSession.
	Create Action = "Create"
	// Hold leaves the session without an AgenticSession, for Decision.Reason.
	Hold Action = "Hold"
	// Lose ends a session whose AgenticSession vanished: the phase becomes
	// Stopped. Making it again would send the prompt a second time.
	Lose Action = "Lose"
	// Finish ends a session that was to be stopped and has no AgenticSession
	// (any more): the phase becomes Stopped.
	Finish Action = "Finish"
	// NoteLoss records that the AgenticSession of an ended session vanished, so
	// that a later start request is known to be one. The phase stays.
	NoteLoss Action = "NoteLoss"
	// Ignore does nothing: an ended session that was never projected.
	Ignore Action = "Ignore"
	// SendStart asks the operator to run the session again, once.
	SendStart Action = "SendStart"
	// SendStop asks the operator to stop the session, once.
	SendStop Action = "SendStop"
	// Withdraw takes back our start request: the operator has acted on it and left
	// it behind, or a stop was requested before the operator acted. It would start
	// the session (again) at the next opportunity.
	Withdraw Action = "Withdraw"
)

// Reasons of condition Projected while it is False.
const (
	// ReasonBeforeInstall: never started, and older than the installation.
	ReasonBeforeInstall = "CreatedBeforeInstall"
	// ReasonBaselineMissing: the record that tells old from new sessions is lost.
	ReasonBaselineMissing = v1alpha1.ReasonBaselineMissing
	// ReasonNotRequested: sessions are started on request only.
	ReasonNotRequested = "StartNotRequested"
	// ReasonLost: the AgenticSession vanished, and was not made again.
	ReasonLost = "CustomResourceLost"
	// ReasonNeverStarted: the session was stopped before it had an AgenticSession.
	ReasonNeverStarted = "StoppedBeforeStart"
)

// Input is everything that the decision depends on.
type Input struct {
	// Upstream is the phase of the Session; Start and Completion are its times,
	// spelled as in agenticsession.State.
	Upstream          v1alpha1.SessionPhase
	Start, Completion string
	// Recorded is true if the upstream knows the UID of an AgenticSession.
	Recorded bool
	// Projected is true while condition Projected is True, and LossNoted while
	// it is False for ReasonLost.
	Projected, LossNoted bool
	// Obstacle says why an AgenticSession can't be made now, "" if it can.
	Obstacle string
	// Unstarted says why a session that nobody asked to start isn't started,
	// "" if it is.
	Unstarted string
	// Resource is the AgenticSession, nil if there is none.
	Resource *Resource
}

// Resource is what the decision depends on of an AgenticSession.
type Resource struct {
	State agenticsession.State
	// Desired is the phase that the operator is asked for, "" if for none.
	Desired v1alpha1.SessionPhase
	// Reported is the last terminal state known to be acknowledged upstream.
	Reported *agenticsession.State
	// Mark is the request that was last sent.
	Mark *agenticsession.Mark
}

// Decision is an action, with its reason where one is shown to users.
type Decision struct {
	Action Action
	Reason string
}

type rule func(Input) Decision

// The columns of the table.
const (
	absent = iota
	fresh
	pending
	creating
	running
	stopping
	stopped
	completed
	failed
	columns
)

// The phases of the upstream, one row each; a phase that we don't know is treated
// as Running: somebody works on the session.
var table = map[v1alpha1.SessionPhase][columns]rule{
	//                          absent    ""    Pending Creating Running Stopping Stopped Completed Failed
	"":                        {unbegun, keep, keep, report, report, keep, report, report, report},
	v1alpha1.SessionPending:   {asked, keep, keep, begun, begun, keep, again, again, again},
	v1alpha1.SessionCreating:  {lose, keep, keep, report, report, keep, report, report, report},
	v1alpha1.SessionRunning:   {lose, keep, keep, report, report, keep, report, report, report},
	v1alpha1.SessionStopping:  {finish, stop, stop, stop, stop, stop, halt, halt, halt},
	v1alpha1.SessionStopped:   {ended, keep, keep, revived, revived, keep, report, report, report},
	v1alpha1.SessionCompleted: {ended, keep, keep, revived, revived, keep, report, report, report},
	v1alpha1.SessionFailed:    {ended, keep, keep, revived, revived, keep, report, report, report},
}

var columnOf = map[v1alpha1.SessionPhase]int{
	"":                        fresh,
	v1alpha1.SessionPending:   pending,
	v1alpha1.SessionCreating:  creating,
	v1alpha1.SessionRunning:   running,
	v1alpha1.SessionStopping:  stopping,
	v1alpha1.SessionStopped:   stopped,
	v1alpha1.SessionCompleted: completed,
	v1alpha1.SessionFailed:    failed,
}

// Decide looks the session up in the table.
func Decide(in Input) Decision {
	row, known := table[in.Upstream]
	if !known {
		row = table[v1alpha1.SessionRunning]
	}
	if in.Resource == nil {
		return row[absent](in)
	}
	column, known := columnOf[in.Resource.State.Phase]
	if !known {
		// A newer operator's phase: not ours to interpret, nor valid upstream.
		return keep(in)
	}
	return row[column](in)
}
