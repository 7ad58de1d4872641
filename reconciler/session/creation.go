package session

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	// burstGap is how long after a creation others are expected to follow it, while
	// sessions wait for a pass.
	burstGap = 200 * time.Millisecond
	// burstPause is the time before a status that was put off is looked at again, and
	// burstPatience the longest time for which it is.
	burstPause, burstPatience = 500 * time.Millisecond, 5 * time.Second
)

// creation is an AgenticSession that was made and not told of yet.
type creation struct {
	resource *unstructured.Unstructured
	at       time.Time
}

// noteCreation notes that the AgenticSession was made by this pass.
func (p *pass) noteCreation(resource *unstructured.Unstructured) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.lastCreation = p.Now()
	p.creations[p.key] = creation{resource: resource, at: p.lastCreation}
}

// inBurst tells whether the status of a session whose AgenticSession was just made can
// wait, because others still wait for theirs. That it was made is known here meanwhile.
func (p *pass) inBurst() bool {
	p.mutex.Lock()
	made, found := p.creations[p.key]
	goesOn := p.Now().Sub(p.lastCreation) < burstGap
	p.mutex.Unlock()
	return p.resource != nil && found && goesOn && p.Now().Sub(made.at) < burstPatience && p.Busy != nil && p.Busy()
}

// tellOfCreation leaves the events of a creation when the Session names what was made.
func (p *pass) tellOfCreation() {
	p.mutex.Lock()
	made, found := p.creations[p.key]
	delete(p.creations, p.key)
	p.mutex.Unlock()
	if !found {
		return
	}
	p.Events.Eventf(p.session, corev1.EventTypeNormal, "Projected", "Made AgenticSession %s", made.resource.GetName())
	p.Events.Eventf(made.resource, corev1.EventTypeNormal, "Projected", "Made for Session %s", p.session.Name)
	if len(p.omitted) > 0 {
		p.Events.Event(p.session, corev1.EventTypeWarning, reasonUnmappable, p.projection().Message)
	}
}
