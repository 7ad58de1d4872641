package session

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// create makes the AgenticSession. Without force: what exists already under the
// name and is not ours is not taken over.
func (p *pass) create(ctx context.Context) error {
	name, err := p.reserve(agenticsession.Name(p.key.ID), agenticsession.AlternativeName(p.key.ID))
	if err != nil {
		return err
	}
	desired := agenticsession.Build(p.session, name)
	created, err := p.Client.ApplyResource(ctx, desired.Object, false)
	if apierrors.IsConflict(err) {
		existing, readErr := p.Client.GetResource(ctx, p.key.Namespace, name)
		if readErr != nil {
			return readErr
		}
		if KeyOfResource(existing) != p.key {
			p.occupy(name)
			return fmt.Errorf("name %s belongs to another AgenticSession, will use another: %w", name, err)
		}
		// Ours, made a moment ago, and changed by others since: a drift like any.
		return err
	}
	if err != nil {
		return err
	}
	p.resources.created(p.key, created)
	p.omitted, p.inStep = desired.Omitted, true
	p.remember(desired.Object)
	klog.FromContext(ctx).Info("AgenticSession made", "name", name)
	p.noteCreation(created)
	return p.take(created)
}

// taken stands for an object that is not a session's of ours.
const taken = "\x00"

// reserve returns the first of the names that no AgenticSession of another
// session has or is getting.
func (p *pass) reserve(names ...string) (string, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, name := range names {
		at := objectName(p.key.Namespace, name)
		if holder, known := p.names[at]; known && holder != p.key.ID {
			continue
		}
		object, found, err := p.Resources.GetByKey(at.String())
		if err != nil {
			return "", fmt.Errorf("looking up AgenticSession %s: %w", at, err)
		}
		if resource, ok := object.(*unstructured.Unstructured); found && ok && KeyOfResource(resource) != p.key {
			continue
		}
		p.names[at] = p.key.ID
		return name, nil
	}
	return "", fmt.Errorf("every name for the AgenticSession of %s is taken", p.key)
}

// occupy notes that the name belongs to an object that is none of ours.
func (p *pass) occupy(name string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.names[objectName(p.key.Namespace, name)] = taken
}

// project brings the AgenticSession in line with the Session.
func (p *pass) project(ctx context.Context) error {
	desired := agenticsession.Build(p.session, p.resource.GetName())
	p.omitted = desired.Omitted
	needed, err := agenticsession.NeedsApply(p.resource, desired.Object)
	if err != nil {
		return err
	}
	if !needed {
		p.remember(desired.Object)
		p.inStep = true
		return nil
	}
	healed := p.remembers(desired.Object)
	// An apply makes what is not there. The UID says that it is to change an object
	// that was read, for one that is gone must not run again unasked.
	change := desired.Object.DeepCopy()
	change.SetUID(p.resource.GetUID())
	applied, err := p.Client.ApplyResource(ctx, change, true)
	if apierrors.IsConflict(err) {
		p.resources.forget(p.resource.GetUID())
		return err
	}
	if err != nil {
		return err
	}
	p.resources.remember(applied)
	p.remember(desired.Object)
	p.inStep = true
	switch {
	case applied.GetResourceVersion() == p.resource.GetResourceVersion():
		// The platform's definition fills in other values than are known here: nobody
		// changed anything, nor has it been.
	case !healed:
		p.Events.Eventf(p.session, corev1.EventTypeNormal, "Updated", "Brought AgenticSession %s in line with the Session", applied.GetName())
		p.Events.Eventf(applied, corev1.EventTypeNormal, "Updated", "Brought in line with Session %s", p.session.Name)
	default:
		klog.FromContext(ctx).Info("AgenticSession healed", "name", applied.GetName())
		message := fmt.Sprintf("Fields that belong to Session %s had been changed and were set back; change the Session instead", p.session.Name)
		p.Events.Event(applied, corev1.EventTypeWarning, "Healed", message)
		p.Events.Eventf(p.session, corev1.EventTypeWarning, "Healed", "AgenticSession %s had been changed by others and was set back", applied.GetName())
	}
	return p.take(applied)
}

// remember notes the configuration that was last found or made true.
func (p *pass) remember(desired *unstructured.Unstructured) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.applied[p.key] = desired
}

// remembers tells whether the configuration was true before, so that whatever
// differs from it was changed by others.
func (p *pass) remembers(desired *unstructured.Unstructured) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	last, known := p.applied[p.key]
	return known && equality.Semantic.DeepEqual(last.Object, desired.Object)
}

func (p *pass) sendStart(ctx context.Context) error {
	return p.send(ctx, v1alpha1.SessionPending, v1alpha1.SessionRunning, agenticsession.StartRequestedAnnotation, agenticsession.StopRequestedAnnotation, "StartRequested")
}

func (p *pass) sendStop(ctx context.Context) error {
	return p.send(ctx, v1alpha1.SessionStopping, v1alpha1.SessionStopped, agenticsession.StopRequestedAnnotation, agenticsession.StartRequestedAnnotation, "StopRequested")
}

// send asks the operator for a phase, and marks the request as sent in the same
// write. The write is refused if the AgenticSession is not as it was read.
func (p *pass) send(ctx context.Context, request, desired v1alpha1.SessionPhase, at, opposite, reason string) error {
	now := metav1.NewTime(p.Now().UTC())
	mark, err := json.Marshal(agenticsession.Mark{Phase: request, Time: now, From: p.state()})
	if err != nil {
		return fmt.Errorf("encoding the mark of a request: %w", err)
	}
	requestedAt := agenticsession.Timestamp(&now)
	err = p.annotate(ctx, map[string]*string{
		agenticsession.DesiredPhaseAnnotation: text(string(desired)),
		at:                                    &requestedAt,
		opposite:                              nil,
		agenticsession.HandledAnnotation:      text(string(mark)),
	})
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Request sent to the operator", "desired", desired)
	p.Events.Eventf(p.session, corev1.EventTypeNormal, reason, "Asked the operator for phase %s", desired)
	p.Events.Eventf(p.resource, corev1.EventTypeNormal, reason, "Session %s asks for phase %s", p.session.Name, desired)
	return nil
}

// withdraw takes back a start request, and its mark with it: the next request is
// another one, whatever state it finds.
func (p *pass) withdraw(ctx context.Context) error {
	err := p.annotate(ctx, map[string]*string{
		agenticsession.DesiredPhaseAnnotation:   nil,
		agenticsession.StartRequestedAnnotation: nil,
		agenticsession.HandledAnnotation:        nil,
	})
	// What the operator has acted on is no news.
	if err == nil && p.session.Status.Phase == v1alpha1.SessionStopping {
		p.Events.Event(p.session, corev1.EventTypeNormal, "StartWithdrawn", "Took the start back before the operator acted on it, because of the stop")
		p.Events.Eventf(p.resource, corev1.EventTypeNormal, "StartWithdrawn", "Session %s is to be stopped, the start is taken back", p.session.Name)
	}
	return err
}

// settle notes on the AgenticSession which end the upstream has acknowledged,
// and drops the mark of a request that is over. The status is written by then.
func (p *pass) settle(ctx context.Context, decision phase.Decision) error {
	if p.resource == nil || p.resource.GetDeletionTimestamp() != nil {
		return nil
	}
	in := p.input()
	state := in.Resource.State
	annotations := map[string]*string{}
	acknowledged := decision.Action == phase.Report && state.Phase.IsTerminal() && state.Phase == in.Upstream
	if acknowledged && (in.Resource.Reported == nil || *in.Resource.Reported != state) {
		reported, err := json.Marshal(state)
		if err != nil {
			return fmt.Errorf("encoding a state: %w", err)
		}
		annotations[agenticsession.ReportedAnnotation] = text(string(reported))
	}
	if mark := in.Resource.Mark; mark != nil && !phase.IsRequest(in.Upstream) {
		annotations[agenticsession.HandledAnnotation] = nil
		running := state.Phase == v1alpha1.SessionCreating || state.Phase == v1alpha1.SessionRunning
		if mark.Phase == v1alpha1.SessionPending && in.Resource.Desired == v1alpha1.SessionRunning && running {
			annotations[agenticsession.DesiredPhaseAnnotation] = nil
			annotations[agenticsession.StartRequestedAnnotation] = nil
		}
	}
	if len(annotations) == 0 {
		return nil
	}
	return p.annotate(ctx, annotations)
}

// annotate sets and removes (nil) annotations of the protocol.
func (p *pass) annotate(ctx context.Context, annotations map[string]*string) error {
	patch, err := agenticsession.AnnotationPatch(p.resource, annotations)
	if err != nil {
		return err
	}
	patched, err := p.Client.PatchResource(ctx, p.key.Namespace, p.resource.GetName(), patch)
	if err != nil {
		return err
	}
	p.resources.remember(patched)
	return p.take(patched)
}

// gone drops what is remembered of an AgenticSession that turned out not to
// exist.
func (p *pass) gone(err error) error {
	if apierrors.IsNotFound(err) && p.resource != nil {
		p.resources.forget(p.resource.GetUID())
	}
	return err
}

func text(value string) *string { return &value }

// Enumerate joins a list of names for people, and ends it early where it grows long: an
// event has 1,024 characters.
func Enumerate(names []string) string {
	const limit = 20
	if len(names) > limit {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
	}
	return strings.Join(names, ", ")
}
