package session

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// restoreName gives a Session the name back that its AgenticSession knows, if the
// record of it was lost upstream. It returns true if it did: the Session is another
// object then, and gets a pass of its own.
func (p *pass) restoreName(ctx context.Context) (restored bool, err error) {
	name, err := p.lostName()
	if err != nil || name == "" {
		return false, err
	}
	err = p.Client.RestoreName(ctx, p.session, name)
	if apierrors.IsInvalid(err) {
		// It goes by its id then, and so does its AgenticSession.
		klog.FromContext(ctx).Info("The session can't have its name back", "name", name, "reason", err.Error())
		p.Events.Eventf(p.session, corev1.EventTypeWarning, "NameLost", "AgenticSession %s says that this session was named %s, but it can't have that name back", p.resource.GetName(), name)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	klog.FromContext(ctx).Info("Gave a session its name back", "was", p.session.Name, "name", name)
	p.Events.Eventf(p.resource, corev1.EventTypeNormal, "NameRestored", "Session %s is named %s again, as is written here", p.session.Name, name)
	return true, nil
}

// lostName returns the name that the AgenticSession knows and the Session lost;
// empty if there is none. A name that somebody else wrote there proves nothing.
func (p *pass) lostName() (string, error) {
	if p.resource == nil || p.session.DeletionTimestamp != nil || p.session.Name != strings.ToLower(p.key.ID) {
		return "", nil
	}
	name, err := agenticsession.AppliedSessionName(p.resource)
	if err != nil || name == "" || name == p.session.Name {
		return "", err
	}
	at := objectName(p.session.Namespace, name)
	holder, found, err := p.Sessions.GetByKey(at.String())
	if err != nil {
		return "", fmt.Errorf("looking up session %s: %w", at, err)
	}
	if session, ok := holder.(*v1alpha1.Session); found && ok && KeyOfSession(session) != p.key {
		return "", nil
	}
	return name, nil
}
