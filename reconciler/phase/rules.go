package phase

import (
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

func keep(Input) Decision   { return Decision{Action: Keep} }
func report(Input) Decision { return Decision{Action: Report} }

// unbegun: nobody has acted on the session, and it has no AgenticSession.
func unbegun(in Input) Decision {
	switch {
	case in.Recorded:
		return lose(in)
	case in.Obstacle != "":
		return Decision{Hold, in.Obstacle}
	case in.Unstarted != "":
		return Decision{Hold, in.Unstarted}
	default:
		return Decision{Action: Create}
	}
}

// asked: a start was requested, and there is no AgenticSession. If one was
// recorded and its loss isn't, the phase may still be that of the first start.
func asked(in Input) Decision {
	switch {
	case in.Recorded && !in.LossNoted:
		return lose(in)
	case in.Obstacle != "":
		return Decision{Hold, in.Obstacle}
	case in.Unstarted == ReasonBaselineMissing:
		return Decision{Hold, in.Unstarted}
	default:
		return Decision{Action: Create}
	}
}

// lose: the session left Pending or had an AgenticSession, and has none. Where
// none can be made anyway, the phase is left to whoever set it.
func lose(in Input) Decision {
	if in.Obstacle != "" {
		return Decision{Hold, in.Obstacle}
	}
	return Decision{Lose, ReasonLost}
}

// finish: a stop was requested, and nothing is there to be stopped.
func finish(in Input) Decision {
	if in.Recorded {
		return Decision{Finish, ReasonLost}
	}
	return Decision{Finish, ReasonNeverStarted}
}

// ended: the session has ended and has no AgenticSession.
func ended(in Input) Decision {
	if in.Projected {
		return Decision{NoteLoss, ReasonLost}
	}
	return Decision{Action: Ignore}
}

// begun: a start was requested, and the AgenticSession runs.
func begun(in Input) Decision {
	if mark(in, v1alpha1.SessionPending) != nil && in.Resource.Desired == v1alpha1.SessionRunning {
		if in.Resource.State.Phase == v1alpha1.SessionRunning {
			return Decision{Action: Withdraw}
		}
		// The operator is about to remove its request.
		return Decision{Action: Keep}
	}
	return Decision{Action: Report}
}

// again: upstream Pending and a terminal AgenticSession. Either the phase is
// older than the end, which then has to be reported, or it is the request to run
// once more.
func again(in Input) Decision {
	sent := mark(in, v1alpha1.SessionPending)
	switch {
	case sent != nil && sent.From == in.Resource.State:
		return Decision{Action: Keep}
	case sent != nil && in.Resource.Desired == v1alpha1.SessionRunning:
		return Decision{Action: Withdraw}
	case !Acknowledged(in):
		return Decision{Action: Report}
	default:
		return Decision{Action: SendStart}
	}
}

// stop: a stop was requested, and the AgenticSession has not ended.
func stop(in Input) Decision {
	sent := mark(in, v1alpha1.SessionStopping)
	if sent == nil {
		return Decision{Action: SendStop}
	}
	if in.Resource.Desired == v1alpha1.SessionStopped {
		return Decision{Action: Keep}
	}
	// The operator took the request away. Only another run is a later word.
	state := in.Resource.State
	later := sent.From.StartTime != "" && state.StartTime != "" && state.StartTime != sent.From.StartTime
	if later && (state.Phase == v1alpha1.SessionCreating || state.Phase == v1alpha1.SessionRunning) {
		return Decision{Action: Report}
	}
	return Decision{Action: Keep}
}

// halt: a stop was requested, and the AgenticSession is terminal: there is nothing
// to stop, unless the operator is yet to act on a start.
func halt(in Input) Decision {
	if mark(in, v1alpha1.SessionPending) != nil && in.Resource.Desired == v1alpha1.SessionRunning {
		return Decision{Action: Withdraw}
	}
	return Decision{Action: Report}
}

// revived: the upstream holds an end, and the AgenticSession runs. The end wins
// over the run that it ended; another run was started beside the upstream.
func revived(in Input) Decision {
	state := in.Resource.State
	if in.Start == "" || state.StartTime != in.Start {
		return Decision{Action: Report}
	}
	// Times have a precision of seconds: the end of this very object was seen,
	// so that it can only be running again.
	if reported := in.Resource.Reported; reported != nil && reported.StartTime == state.StartTime {
		return Decision{Action: Report}
	}
	return Decision{Action: Keep}
}

// mark returns the mark of a request of the phase, nil if none was sent.
func mark(in Input, request v1alpha1.SessionPhase) *agenticsession.Mark {
	if sent := in.Resource.Mark; sent != nil && sent.Phase == request {
		return sent
	}
	return nil
}

// Acknowledged tells whether the upstream holds the terminal state that the
// AgenticSession is in, or held it before a request overwrote the phase: the
// times of an end are written together with it and nothing else writes them.
func Acknowledged(in Input) bool {
	state := in.Resource.State
	if reported := in.Resource.Reported; reported != nil && *reported == state {
		return true
	}
	return state.CompletionTime != "" && state.CompletionTime == in.Completion && (state.StartTime == "" || state.StartTime == in.Start)
}

// IsRequest tells whether an upstream phase asks for something.
func IsRequest(upstream v1alpha1.SessionPhase) bool {
	return upstream == v1alpha1.SessionPending || upstream == v1alpha1.SessionStopping
}
