package session

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// doubtful tells whether the decision would do harm if it rested on a cache that
// lags behind.
func (p *pass) doubtful(decision phase.Decision) bool {
	switch decision.Action {
	case phase.Create, phase.Lose, phase.Finish, phase.NoteLoss:
		return true
	case phase.Report:
		// An older word of the operator must not overwrite a request or an end.
		upstream := p.session.Status.Phase
		return upstream != p.status.Phase && (phase.IsRequest(upstream) || upstream.IsTerminal())
	default:
		return false
	}
}

// confirm replaces what the pass saw by what the API servers hold now. It
// returns false if the session or its AgenticSession turned out to be gone.
//
// A stale Session can't do harm where its status is written, because the write
// names the version that was read; it can where an AgenticSession is made.
func (p *pass) confirm(ctx context.Context, decision phase.Decision) (bool, error) {
	if p.resource != nil {
		return p.confirmPresent(ctx)
	}
	session, err := p.current(ctx, decision)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil || session == nil {
		return false, err
	}
	if KeyOfSession(session) != p.key || session.DeletionTimestamp != nil {
		return false, nil
	}
	p.sessions.remember(session)
	p.session = session
	if decision.Action == phase.Create {
		// If it is there after all, it is ours and an apply changes nothing.
		return true, nil
	}
	return true, p.find(ctx)
}

const (
	// youth is how long a session that nobody has acted on is new, by the upstream's
	// clock.
	youth = time.Minute
	// freshEnough is how long ago a state of the API server may be that counts as
	// current for a new session, and freshPatience how long is waited for it.
	freshEnough, freshPatience = 250 * time.Millisecond, 2 * time.Second
)

// current returns the Session as the API server holds it, nil if it holds none. For new
// sessions, which may come by the thousand, it is the informer's once that is known to
// lag behind no more: nobody but us records that an AgenticSession was made, so that no
// word of the upstream, which a read of one Session asks, could say that this one was.
func (p *pass) current(ctx context.Context, decision phase.Decision) (*v1alpha1.Session, error) {
	if p.Freshness == nil || decision.Action != phase.Create || p.named() != "" || p.Now().Sub(p.session.CreationTimestamp.Time) > youth {
		return p.Client.GetSession(ctx, p.session.Namespace, p.session.Name)
	}
	bounded, cancel := context.WithTimeout(ctx, freshPatience)
	defer cancel()
	if err := p.Freshness.Await(bounded, p.Now().Add(-freshEnough)); err != nil {
		klog.FromContext(ctx).V(2).Info("How current the informer is can't be told, the Session is read", "err", err)
		return p.Client.GetSession(ctx, p.session.Namespace, p.session.Name)
	}
	return p.Controller.session(p.key)
}

func (p *pass) confirmPresent(ctx context.Context) (bool, error) {
	resource, err := p.Client.GetResource(ctx, p.key.Namespace, p.resource.GetName())
	if apierrors.IsNotFound(err) {
		p.resources.forget(p.resource.GetUID())
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if resource.GetUID() != p.resource.GetUID() {
		p.resources.forget(p.resource.GetUID())
		return false, nil
	}
	p.resources.remember(resource)
	return true, p.take(resource)
}

// find looks for the AgenticSession that a session seems to lack: by its label,
// since the one that a lost request made may not be recorded, and, in case that
// somebody took the label off or an older control plane made it, by the UID of the
// last one that is known under the names that it could have.
func (p *pass) find(ctx context.Context) error {
	list, err := p.Client.ListResources(ctx, p.key)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		found := make([]*unstructured.Unstructured, 0, len(list))
		for i := range list {
			found = append(found, &list[i])
		}
		chosen := choose(p.session, found)
		p.resources.created(p.key, chosen)
		return p.take(chosen)
	}
	recorded := p.session.Status.AgenticSession
	if unnamed := p.unnamed(); unnamed != nil {
		recorded = unnamed
	}
	if recorded == nil || recorded.UID == "" {
		return nil
	}
	for _, name := range []string{agenticsession.Name(p.key.ID), agenticsession.AlternativeName(p.key.ID)} {
		resource, err := p.Client.GetResource(ctx, p.key.Namespace, name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if resource.GetUID() == recorded.UID {
			p.resources.created(p.key, resource)
			return p.take(resource)
		}
	}
	return nil
}
