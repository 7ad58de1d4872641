package session

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
	"github.com/ambient-code/ambient-kube/reconciler/status"
)

// Pauses before a look at what is expected to change by itself.
const (
	// TransientPause is the time given to a namespace that is being made.
	TransientPause = time.Second
	// RestPause is the time between two looks at a transient obstacle that lasts.
	RestPause = time.Minute
	// Patience is how long a transient obstacle is not worth a word.
	Patience = 15 * time.Second
	// confirmPause is the time given to an informer that lags behind.
	confirmPause = 500 * time.Millisecond
)

// run decides and acts.
func (p *pass) run(ctx context.Context) (time.Duration, error) {
	if restored, err := p.restoreName(ctx); restored || err != nil {
		return confirmPause, err
	}
	decision := p.decide()
	if p.session.DeletionTimestamp != nil && p.resource == nil {
		return 0, nil
	}
	if decision.Action == phase.Hold && p.obstacle.Transient && p.Now().Sub(p.session.CreationTimestamp.Time) < Patience {
		return TransientPause, nil
	}
	if p.doubtful(decision) {
		confirmed, err := p.confirm(ctx, decision)
		if err != nil {
			return 0, err
		}
		if again := p.decide(); again != decision || !confirmed {
			klog.FromContext(ctx).V(2).Info("A current read says otherwise, will look again", "decided", decision.Action, "now", again.Action)
			return confirmPause, nil
		}
	}
	klog.FromContext(ctx).V(3).Info("Decided", "action", decision.Action, "reason", decision.Reason, "upstream", p.session.Status.Phase)
	if decision.Action == phase.Ignore && !(p.resource == nil && status.Unseen(p.session)) {
		return 0, nil
	}
	if err := p.act(ctx, decision); err != nil {
		return 0, p.gone(err)
	}
	again, err := p.report(ctx, decision)
	if err != nil {
		return 0, p.gone(err)
	}
	if p.refused != nil {
		return 0, p.refused
	}
	if again == 0 && p.obstacle.Transient {
		again = RestPause
	}
	return again, nil
}

// act does what the decision asks for on the side of the cluster. That the cluster
// refuses the AgenticSession as the Session wants it hinders nothing else.
func (p *pass) act(ctx context.Context, decision phase.Decision) error {
	if decision.Action == phase.Create {
		return p.unlessRefused(p.create(ctx))
	}
	if p.resource == nil {
		return nil
	}
	if p.resource.GetDeletionTimestamp() != nil {
		return nil
	}
	if p.obstacle.Reason == "" {
		if err := p.unlessRefused(p.project(ctx)); err != nil {
			return err
		}
	}
	switch decision.Action {
	case phase.SendStart:
		return p.sendStart(ctx)
	case phase.SendStop:
		return p.sendStop(ctx)
	case phase.Withdraw:
		return p.withdraw(ctx)
	default:
		return nil
	}
}

// report writes the Session's status, if it is not what it should be, and notes
// on the AgenticSession what has been acknowledged.
func (p *pass) report(ctx context.Context, decision phase.Decision) (time.Duration, error) {
	if p.inBurst() {
		return burstPause, nil
	}
	if wait := p.reports.Wait(p.key); wait > 0 && decision.Action != phase.Create {
		return wait, nil
	}
	change := p.change(decision)
	desired := status.Desired(p.session, p.resource, p.status, change)
	if !status.Equal(p.session.Status, desired) {
		before := p.session
		configuration, err := status.Configuration(p.session, desired)
		if err != nil {
			return 0, err
		}
		applied, err := p.Client.ApplySessionStatus(ctx, configuration)
		if err != nil {
			return 0, err
		}
		p.sessions.remember(applied)
		p.session = applied
		p.noteActivity(before.Status.LastActivityTime.Equal(desired.LastActivityTime))
		p.tell(decision, before)
		klog.FromContext(ctx).V(1).Info("Status applied", "from", before.Status.Phase, "to", desired.Phase, "action", decision.Action)
	}
	if err := p.settle(ctx, decision); err != nil {
		return 0, err
	}
	if p.resource != nil && !p.status.LastActivityTime.Equal(desired.LastActivityTime) {
		return p.activityPause(), nil
	}
	return 0, nil
}

// change says what the decision means for the Session's status.
func (p *pass) change(decision phase.Decision) status.Change {
	change := status.Change{
		Report:      decision.Action == phase.Report,
		InStep:      p.inStep,
		ActivityDue: p.activityPause() == 0,
		Now:         p.Now(),
	}
	if p.resource == nil {
		change.Vanished = p.unnamed()
	}
	switch decision.Action {
	case phase.Lose, phase.Finish:
		change.End = v1alpha1.SessionStopped
		change.Projection = not(decision.Reason, endMessages[decision.Reason])
	case phase.NoteLoss:
		change.Projection = not(decision.Reason, endMessages[decision.Reason])
	case phase.Hold:
		change.Projection = p.held(decision.Reason)
	default:
		change.Projection = p.projection()
	}
	if p.refused != nil {
		change.Projection = p.refusal()
	}
	return change
}

var endMessages = map[string]string{
	phase.ReasonLost:         "The AgenticSession is gone. It was not made again, because that would send the prompt once more; a start request does it.",
	phase.ReasonNeverStarted: "The session was stopped before it had an AgenticSession.",
}

func not(reason, message string) *status.Projection {
	return &status.Projection{Status: "False", Reason: reason, Message: message}
}

// held says why there is no AgenticSession. A loss that is noted stays noted: it
// is what tells a start request from the phase of the first start.
func (p *pass) held(reason string) *status.Projection {
	message := p.unstarted.Message
	if reason == p.obstacle.Reason {
		message = p.obstacle.Message
	}
	return p.without(reason, message)
}

func (p *pass) without(reason, message string) *status.Projection {
	if p.input().LossNoted {
		return not(phase.ReasonLost, "The AgenticSession is gone, and can't be made again now: "+message)
	}
	return not(reason, message)
}

// projection says how the AgenticSession that is there came out.
func (p *pass) projection() *status.Projection {
	switch {
	case p.obstacle.Reason == ReasonNamespaceTerminating:
		return not(p.obstacle.Reason, p.obstacle.Message)
	case p.obstacle.Reason != "" || p.resource == nil || p.resource.GetDeletionTimestamp() != nil:
		return nil
	case len(p.omitted) > 0:
		return &status.Projection{Status: "True", Reason: reasonUnmappable, Message: "An AgenticSession has no place for " + Enumerate(p.omitted) + "."}
	default:
		return &status.Projection{Status: "True", Reason: reasonProjected, Message: fmt.Sprintf("AgenticSession %s runs the session.", p.resource.GetName())}
	}
}

// ReasonNamespaceTerminating is the reason of condition Projected while the
// namespace is being deleted.
const ReasonNamespaceTerminating = "NamespaceTerminating"

// tell leaves an event for what users would ask about.
func (p *pass) tell(decision phase.Decision, before *v1alpha1.Session) {
	p.tellOfCreation()
	if p.refused != nil {
		// What the cluster says may quote the session, which more people may not read.
		p.Events.Event(p.session, corev1.EventTypeWarning, v1alpha1.ReasonRefused, "The cluster refuses the AgenticSession; condition Projected says why")
		return
	}
	switch decision.Action {
	case phase.Lose, phase.NoteLoss:
		p.Events.Event(p.session, corev1.EventTypeWarning, decision.Reason, endMessages[decision.Reason])
	case phase.Finish:
		p.Events.Event(p.session, corev1.EventTypeNormal, "Stopped", endMessages[decision.Reason])
	case phase.Hold:
		p.Events.Event(p.session, corev1.EventTypeNormal, "NotProjected", decision.Reason+": "+p.held(decision.Reason).Message)
	case phase.Report:
		if before.Status.Phase != p.session.Status.Phase {
			p.Events.Eventf(p.session, corev1.EventTypeNormal, "PhaseChanged", "Phase %s, as the operator reports", p.status.Phase)
		}
	}
}

func (p *pass) activityPause() time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	written, known := p.active[p.key]
	if !known {
		return 0
	}
	return max(0, status.ActivityInterval-p.Now().Sub(written))
}

func (p *pass) noteActivity(same bool) {
	if same {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.active[p.key] = p.Now()
}

// state returns the AgenticSession's point in life.
func (p *pass) state() agenticsession.State { return p.status.State() }
