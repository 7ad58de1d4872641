package session

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// note remembers the AgenticSession of the pass until the Session names it: till then
// nothing else would tell, once it is gone, that its prompt was sent.
func (p *pass) note() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.named() == p.resource.GetUID() {
		delete(p.made, p.key)
		return
	}
	p.made[p.key] = v1alpha1.AgenticSessionReference{
		Namespace: p.resource.GetNamespace(), Name: p.resource.GetName(), UID: p.resource.GetUID(),
	}
}

// unnamed returns the AgenticSession that the session last had and that the Session
// doesn't name, nil if there is none.
func (p *pass) unnamed() *v1alpha1.AgenticSessionReference {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	last, found := p.made[p.key]
	if !found || p.named() == last.UID {
		return nil
	}
	return &last
}

// named returns the UID of the AgenticSession that the Session names, "" if it names
// none: the upstream assigns a name before there is one.
func (p *pass) named() types.UID {
	if p.session.Status.AgenticSession == nil {
		return ""
	}
	return p.session.Status.AgenticSession.UID
}
