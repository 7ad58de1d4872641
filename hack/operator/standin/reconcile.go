package standin

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// memory is what the operator knows of a session beyond its object. It does not
// survive the process.
type memory struct {
	uid   types.UID
	phase Phase
	// since is when the session was first seen in phase.
	since time.Time
	// fresh and pod are Facts.Fresh and Facts.PodExists.
	fresh bool
	pod   bool
}

// reconcile is one pass over one session. It returns when to make another, 0 if
// none is due.
func (o *operator) reconcile(ctx context.Context, key types.NamespacedName) (time.Duration, error) {
	object, err := o.client.Resource(AgenticSessions).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		o.forget(key)
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading AgenticSession %s: %w", key, err)
	}
	managed, err := o.isManaged(ctx, key.Namespace)
	if err != nil {
		return 0, err
	}
	if !managed {
		klog.FromContext(ctx).V(2).Info("Namespace is not managed, event dropped")
		return 0, nil
	}
	session, err := readSession(object)
	if err != nil {
		return 0, err
	}
	now := time.Now()
	known := o.recall(key, session, now)
	facts, err := o.gather(ctx, session, known)
	if err != nil {
		return 0, err
	}
	decision := Next(session, facts, o.options.Timing, now)
	if err := o.carryOut(ctx, object, session, decision, known); err != nil {
		return 0, err
	}
	known.fresh = decision.Fresh
	return decision.After, decision.Err
}

// isManaged tells whether the operator may act in the namespace.
func (o *operator) isManaged(ctx context.Context, name string) (bool, error) {
	namespace, err := o.client.Resource(namespaces).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return namespace.GetLabels()[ManagedLabel] == "true", nil
}

// recall returns what is known of the session, brought up to date with its
// phase.
func (o *operator) recall(key types.NamespacedName, session Session, now time.Time) *memory {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	known := o.memory[key]
	if known == nil || known.uid != session.UID {
		known = &memory{uid: session.UID, phase: session.Status.Phase, since: now}
		o.memory[key] = known
	}
	if known.phase != session.Status.Phase {
		known.phase, known.since = session.Status.Phase, now
	}
	return known
}

func (o *operator) forget(key types.NamespacedName) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.memory, key)
}

// gather collects the facts that the present phase asks for.
func (o *operator) gather(ctx context.Context, session Session, known *memory) (Facts, error) {
	facts := Facts{
		RunnerSecret: true,
		Fresh:        known.fresh,
		PodExists:    known.pod,
		Outcome:      OutcomeRun,
		Since:        known.since,
	}
	switch session.Status.Phase {
	case "", PhasePending:
		if !o.options.RequireRunnerSecret {
			return facts, nil
		}
		_, err := o.client.Resource(secrets).Namespace(session.Namespace).Get(ctx, RunnerSecretName, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return facts, fmt.Errorf("reading secret %s/%s: %w", session.Namespace, RunnerSecretName, err)
		}
		facts.RunnerSecret = err == nil
	case PhaseCreating, PhaseRunning:
		outcome, err := readOutcome(ctx, o.client, session.Namespace, session.Name)
		if err != nil {
			return facts, err
		}
		facts.Outcome = outcome
	}
	return facts, nil
}

// carryOut does what was decided, in the order that Decision names, and notes
// in known whether a pod is there. It ends at the first conflict; the pass is
// then repeated on what the API holds.
func (o *operator) carryOut(ctx context.Context, object *unstructured.Unstructured, session Session, decision Decision, known *memory) error {
	if len(decision.ClearBefore) > 0 {
		var err error
		if object, err = o.clearAnnotations(ctx, session, decision.ClearBefore); err != nil {
			return err
		}
	}
	if decision.Launch != nil {
		if o.options.RecordLaunches {
			if err := o.launches.record(ctx, session, *decision.Launch); err != nil {
				return err
			}
		}
		known.pod = true
	}
	if decision.Status != nil {
		if err := o.updateStatus(ctx, object, decision.Status); err != nil {
			return err
		}
		klog.FromContext(ctx).V(1).Info("Status written", "from", session.Status.Phase, "to", decision.Status.Phase)
		known.pod = known.pod && (decision.Status.Phase == PhaseCreating || decision.Status.Phase == PhaseRunning)
	}
	if len(decision.ClearAfter) > 0 {
		if _, err := o.clearAnnotations(ctx, session, decision.ClearAfter); err != nil {
			return err
		}
	}
	return nil
}

func (o *operator) updateStatus(ctx context.Context, object *unstructured.Unstructured, status *Status) error {
	if err := writeStatus(object, status); err != nil {
		return err
	}
	_, err := o.client.Resource(AgenticSessions).Namespace(object.GetNamespace()).UpdateStatus(ctx, object, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("updating the status of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return nil
}

// clearAnnotations takes the named annotations off the session by Get and
// Update, and returns the object as it then is. An annotation that no longer
// says what the pass acted on is a new request and stays, unless the operator is
// told to be as blind as the platform's.
func (o *operator) clearAnnotations(ctx context.Context, session Session, names []string) (*unstructured.Unstructured, error) {
	key := types.NamespacedName{Namespace: session.Namespace, Name: session.Name}
	client := o.client.Resource(AgenticSessions).Namespace(key.Namespace)
	object, err := client.Get(ctx, key.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading AgenticSession %s: %w", key, err)
	}
	if object.GetUID() != session.UID {
		return nil, fmt.Errorf("AgenticSession %s was replaced by another of its name", key)
	}
	annotations := object.GetAnnotations()
	before := len(annotations)
	for _, name := range names {
		if o.options.ClearBlindly || annotations[name] == session.Annotations[name] {
			delete(annotations, name)
		}
	}
	if len(annotations) == before {
		return object, nil
	}
	object.SetAnnotations(annotations)
	updated, err := client.Update(ctx, object, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("clearing annotations of %s: %w", key, err)
	}
	return updated, nil
}
