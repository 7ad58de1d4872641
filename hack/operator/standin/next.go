package standin

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errRunnerSecretMissing ends a pass that can't start a runner; the pass is
// repeated with growing pauses until the secret is there.
var errRunnerSecretMissing = errors.New("secret " + RunnerSecretName + " is missing")

// Facts are what a pass knows of a session beyond the session itself.
type Facts struct {
	// RunnerSecret tells whether the namespace has the runner secret (or needs
	// none).
	RunnerSecret bool
	// Fresh is true while the pass that found the session without a start time
	// is still going on. Only a fresh run sends the prompt. A process that is
	// restarted in between forgets it, as the operator does.
	Fresh bool
	// PodExists is true when a runner was launched for the present run.
	PodExists bool
	// Outcome is what the script says about the runner.
	Outcome Outcome
	// Since is when the session was first seen in its present phase.
	Since time.Time
}

// Timing says how long things take that take no time without pods.
type Timing struct {
	// Step is the least time between two transitions.
	Step time.Duration
	// Run is the time that a runner spends in phase Running before the outcome
	// that its script names.
	Run time.Duration
}

// Launch is the start of a runner.
type Launch struct {
	// Prompt is true if the runner is given the initial prompt to execute, and
	// false if it resumes.
	Prompt bool
}

// Decision is what a pass does, in this order: clear ClearBefore, launch, write
// Status, clear ClearAfter.
type Decision struct {
	// ClearBefore are annotations that are used up by the launch.
	ClearBefore []string
	// Launch is nil if no runner is started.
	Launch *Launch
	// Status is the new status, nil if it is as it was.
	Status *Status
	// ClearAfter are the annotations of a request that has been acted on.
	ClearAfter []string
	// Fresh is Facts.Fresh for the next pass.
	Fresh bool
	// After asks for another pass after that time; 0 asks for none.
	After time.Duration
	// Err says why the pass failed and must be retried, nil if it did not.
	Err error
}

// Next decides what one pass does with a session. It is a pure function: the
// whole behaviour of the operator towards one session is here.
func Next(session Session, facts Facts, timing Timing, now time.Time) Decision {
	pass := pass{
		session: session,
		facts:   facts,
		timing:  timing,
		now:     now,
		// The operator writes times with a precision of seconds.
		stamp:  metav1.NewTime(now.UTC().Truncate(time.Second)),
		status: session.Status.deepCopy(),
	}
	decision := pass.decide()
	if equality.Semantic.DeepEqual(pass.status, &session.Status) {
		return decision
	}
	decision.Status = pass.status
	return decision
}

// pass is one call of Next.
type pass struct {
	session Session
	facts   Facts
	timing  Timing
	now     time.Time
	stamp   metav1.Time
	status  *Status
}

func (p *pass) decide() Decision {
	switch p.session.Status.Phase {
	case "":
		return p.initialise()
	case PhasePending:
		return p.pending()
	case PhaseCreating:
		return p.creating()
	case PhaseRunning:
		return p.running()
	case PhaseStopping:
		return p.stopping()
	default:
		return p.terminal()
	}
}

// left returns how much of duration is still to pass in the present phase.
func (p *pass) left(duration time.Duration) time.Duration {
	return max(0, duration-p.now.Sub(p.facts.Since))
}

func (p *pass) desired() Phase {
	return Phase(p.session.Annotations[AnnotationDesiredPhase])
}

func (p *pass) condition(kind, status, reason, message string) {
	p.status.setCondition(p.stamp, Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

// initialise is the first pass. The start time that it leaves behind is what
// makes every later run a resume.
func (p *pass) initialise() Decision {
	p.status.Phase = PhasePending
	p.status.StartTime = &p.stamp
	if !p.facts.RunnerSecret {
		return p.secretMissing()
	}
	return Decision{Fresh: true, After: p.timing.Step}
}

func (p *pass) secretMissing() Decision {
	p.condition(ConditionSecretsReady, "False", "RunnerSecretMissing", fmt.Sprintf("Secret %s missing", RunnerSecretName))
	return Decision{Err: errRunnerSecretMissing}
}

func (p *pass) pending() Decision {
	if p.desired() == PhaseStopped {
		return p.stopped()
	}
	if !p.facts.RunnerSecret {
		return p.secretMissing()
	}
	if wait := p.left(p.timing.Step); wait > 0 {
		return Decision{Fresh: p.facts.Fresh, After: wait}
	}
	decision := Decision{After: p.timing.Step}
	if p.desired() == PhaseRunning {
		decision.ClearAfter = []string{AnnotationDesiredPhase, AnnotationStartRequestedAt}
	}
	p.status.Phase = PhaseCreating
	p.status.ObservedGeneration = p.session.Generation
	p.condition(ConditionSecretsReady, "True", "AllRequiredSecretsFound", "Runner secret available")
	p.condition(ConditionS3Available, "False", "NotConfigured", "S3 storage not configured")
	p.reconcileSpec()
	if p.facts.PodExists {
		p.condition(ConditionPodCreated, "True", "PodExists", "Runner pod already exists")
		return decision
	}
	forced := p.session.Annotations[AnnotationForceExecutePrompt] == "true"
	if forced {
		decision.ClearBefore = []string{AnnotationForceExecutePrompt}
	}
	resume := p.session.Status.StartTime != nil && !p.facts.Fresh
	decision.Launch = &Launch{Prompt: p.session.Spec.InitialPrompt != "" && (forced || !resume)}
	p.condition(ConditionPodCreated, "True", "PodCreated", "Runner pod created")
	return decision
}

func (p *pass) creating() Decision {
	if p.desired() == PhaseStopped {
		return p.beginStop()
	}
	if p.desired() == PhaseRunning {
		// Left over from a start whose clean-up met a conflict.
		return Decision{ClearAfter: []string{AnnotationDesiredPhase, AnnotationStartRequestedAt}, After: p.left(p.timing.Step)}
	}
	if wait := p.left(p.timing.Step); wait > 0 {
		return Decision{After: wait}
	}
	p.condition(ConditionPodScheduled, "True", "Scheduled", "Scheduled on stand-in")
	if p.facts.Outcome == OutcomeCrash {
		return p.ended(PhaseFailed, "CrashLoopBackOff", "Runner waiting: CrashLoopBackOff - back-off restarting failed container")
	}
	p.status.Phase = PhaseRunning
	p.condition(ConditionRunnerStarted, "True", "ContainerRunning", "Runner container is executing")
	p.condition(ConditionReady, "True", "Running", "Session is running")
	return Decision{}
}

func (p *pass) running() Decision {
	if p.desired() == PhaseStopped {
		return p.beginStop()
	}
	if observed := p.session.Status.ObservedGeneration; observed != 0 && observed != p.session.Generation {
		p.reconcileSpec()
		p.status.ObservedGeneration = p.session.Generation
		p.condition(ConditionReconciled, "True", "SpecApplied", fmt.Sprintf("Successfully reconciled generation %d", p.session.Generation))
	}
	if p.facts.Outcome == OutcomeRun || p.facts.Outcome == OutcomeCrash {
		return Decision{}
	}
	if wait := p.left(p.timing.Run); wait > 0 {
		return Decision{After: wait}
	}
	switch p.facts.Outcome {
	case OutcomeComplete:
		return p.ended(PhaseCompleted, "Completed", "Runner finished")
	case OutcomeFail:
		return p.ended(PhaseFailed, "RunnerExit", "Runner exited with code 1: Error")
	default: // OutcomeLose
		p.reset()
		p.condition(ConditionPodCreated, "False", "PodMissing", "Pod not found, will recreate")
		return Decision{After: p.timing.Step}
	}
}

func (p *pass) ended(phase Phase, reason, message string) Decision {
	p.status.Phase = phase
	p.status.CompletionTime = &p.stamp
	p.condition(ConditionReady, "False", reason, message)
	return Decision{}
}

func (p *pass) beginStop() Decision {
	p.status.Phase = PhaseStopping
	p.condition(ConditionReady, "False", "Stopping", "Session is stopping")
	return Decision{After: p.timing.Step}
}

func (p *pass) stopping() Decision {
	if wait := p.left(p.timing.Step); wait > 0 {
		return Decision{After: wait}
	}
	return p.stopped()
}

func (p *pass) stopped() Decision {
	cause, reason, by := "user", "UserStopped", "by user"
	if p.session.Annotations[AnnotationStopReason] == "inactivity" {
		cause, reason, by = "inactivity", "InactivityTimeout", "due to inactivity"
	}
	p.status.Phase = PhaseStopped
	p.status.CompletionTime = &p.stamp
	p.status.StoppedReason = cause
	p.condition(ConditionReady, "False", reason, "Session stopped "+by)
	p.condition(ConditionPodCreated, "False", reason, "Pod deleted, stopped "+by)
	p.condition(ConditionRunnerStarted, "False", reason, "Runner stopped "+by)
	return Decision{ClearAfter: p.stopRequest()}
}

// stopRequest returns the annotations that a finished stop clears. A start that
// was asked for while the stop went on stays: it is acted on next.
func (p *pass) stopRequest() []string {
	keys := []string{AnnotationStopRequestedAt, AnnotationStopReason}
	if p.desired() == PhaseStopped {
		keys = append(keys, AnnotationDesiredPhase)
	}
	return keys
}

// terminal does nothing with a session that has ended, unless it is to run
// again. The session itself is never deleted.
func (p *pass) terminal() Decision {
	switch {
	case p.desired() == PhaseRunning:
		p.reset()
		p.condition(ConditionReady, "False", "Restarting", "Preparing to start session")
		return Decision{ClearAfter: []string{AnnotationStartRequestedAt, AnnotationStopReason}, After: p.timing.Step}
	case p.desired() == PhaseStopped && p.session.Status.Phase == PhaseStopped:
		// Left over from a stop whose clean-up met a conflict.
		return Decision{ClearAfter: p.stopRequest()}
	default:
		return Decision{}
	}
}

// reset goes back to Pending for another run.
func (p *pass) reset() {
	p.status.Phase = PhasePending
	p.status.StartTime = &p.stamp
	p.status.CompletionTime = nil
	p.status.LastActivityTime = nil
	p.status.StoppedReason = ""
}
