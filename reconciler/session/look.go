package session

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// Reasons of condition Projected that arise here.
const (
	reasonProjected  = "Projected"
	reasonUnmappable = "PartlyProjected"
	reasonInvalidID  = "InvalidSessionID"
)

// pass is one pass over one session: what was seen, and what is done about it.
type pass struct {
	*Controller
	key Key
	// session is the Session; resource its AgenticSession, nil if there is none,
	// and status what the operator wrote in it.
	session  *v1alpha1.Session
	resource *unstructured.Unstructured
	status   agenticsession.Status
	// obstacle and unstarted are what stands in the way of an AgenticSession.
	obstacle  Obstacle
	unstarted Obstacle
	// away is true if the session has an AgenticSession in the namespace of its
	// project, which belongs to somebody else now: it is left as it is.
	away bool
	// omitted names the fields of the Session that the AgenticSession lacks, and
	// inStep is true if the AgenticSession says all the rest.
	omitted []string
	inStep  bool
	// refused is how the cluster refused the AgenticSession as the Session wants it.
	refused error
}

// session returns the newest known state of a Session, nil if there is none.
func (c *Controller) session(key Key) (*v1alpha1.Session, error) {
	cached, err := lookUp[*v1alpha1.Session](c.Sessions, keyIndex, key.String())
	if err != nil {
		return nil, err
	}
	sessions := c.sessions.merge(key, cached)
	if len(sessions) == 0 {
		return nil, nil
	}
	// While a Session changes its name, two may bear the id for a moment.
	slices.SortFunc(sessions, func(a, b *v1alpha1.Session) int { return strings.Compare(a.Name, b.Name) })
	return sessions[0], nil
}

// resourcesOf returns the newest known state of the AgenticSessions that bear
// the id.
func (c *Controller) resourcesOf(key Key) ([]*unstructured.Unstructured, error) {
	cached, err := lookUp[*unstructured.Unstructured](c.Resources, keyIndex, key.String())
	if err != nil {
		return nil, err
	}
	return c.resources.merge(key, cached), nil
}

// look gathers what a pass decides on.
func (c *Controller) look(key Key, session *v1alpha1.Session) (*pass, error) {
	p := &pass{Controller: c, key: key, session: session, obstacle: c.Gate.Obstacle(key.Namespace)}
	if !agenticsession.ValidID(key.ID) {
		p.obstacle = Obstacle{Reason: reasonInvalidID, Message: "The session's id can't be a label value, by which its AgenticSession would be found."}
		return p, nil
	}
	p.unstarted.Reason, p.unstarted.Message = c.Starts.Unstarted(session)
	if at := home(session); at != key {
		left, err := c.resourcesOf(at)
		if err != nil {
			return nil, err
		}
		if p.away = len(left) > 0; p.away {
			p.obstacle = Obstacle{Reason: v1alpha1.ReasonNamespaceNotAdopted, Message: fmt.Sprintf(
				"Namespace %s does not belong to the session's project any more. AgenticSession %s is left there as it is.", at.Namespace, left[0].GetName())}
			return p, nil
		}
	}
	resources, err := c.resourcesOf(key)
	if err != nil {
		return nil, err
	}
	if len(resources) == 0 {
		return p, nil
	}
	return p, p.take(choose(session, resources))
}

// take makes the resource the one that the pass is about; nil for none.
func (p *pass) take(resource *unstructured.Unstructured) error {
	p.resource, p.status = resource, agenticsession.Status{}
	if resource == nil {
		return nil
	}
	p.note()
	var err error
	p.status, err = agenticsession.ReadStatus(resource)
	return err
}

// choose picks the AgenticSession of a session where several bear its id, as
// after a copy by hand: the recorded one, or else the oldest.
func choose(session *v1alpha1.Session, resources []*unstructured.Unstructured) *unstructured.Unstructured {
	recorded := session.Status.AgenticSession
	return slices.MinFunc(resources, func(a, b *unstructured.Unstructured) int {
		if recorded != nil && recorded.UID != "" {
			switch recorded.UID {
			case a.GetUID():
				return -1
			case b.GetUID():
				return 1
			}
		}
		createdA, createdB := a.GetCreationTimestamp(), b.GetCreationTimestamp()
		if order := createdA.Compare(createdB.Time); order != 0 {
			return order
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
}

// decide says what is to be done.
func (p *pass) decide() phase.Decision {
	if p.away {
		return phase.Decision{Action: phase.Hold, Reason: p.obstacle.Reason}
	}
	return phase.Decide(p.input())
}

// input returns what the table of phases decides on.
func (p *pass) input() phase.Input {
	in := phase.Input{
		Upstream:   p.session.Status.Phase,
		Start:      agenticsession.Timestamp(p.session.Status.StartTime),
		Completion: agenticsession.Timestamp(p.session.Status.CompletionTime),
		Recorded:   p.named() != "",
		Obstacle:   p.obstacle.Reason,
		Unstarted:  p.unstarted.Reason,
	}
	for _, condition := range p.session.Status.Conditions {
		if condition.Type == v1alpha1.ConditionProjected {
			in.Projected = condition.Status == "True"
			in.LossNoted = condition.Status == "False" && condition.Reason == phase.ReasonLost
		}
	}
	if p.resource == nil && p.unnamed() != nil {
		// The upstream knows neither that it was there nor that it is gone.
		in.Recorded, in.Projected, in.LossNoted = true, true, false
	}
	if p.resource != nil {
		in.Resource = &phase.Resource{
			State:    p.status.State(),
			Desired:  v1alpha1.SessionPhase(p.resource.GetAnnotations()[agenticsession.DesiredPhaseAnnotation]),
			Reported: agenticsession.ReadReported(p.resource),
			Mark:     agenticsession.ReadMark(p.resource),
		}
	}
	return in
}

// objectName returns the name under which an AgenticSession is known.
func objectName(namespace, name string) cache.ObjectName {
	return cache.ObjectName{Namespace: namespace, Name: name}
}
