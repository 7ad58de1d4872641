package project

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Stores are the informers' stores that the answers come from.
type Stores struct {
	Projects, Namespaces cache.Store
	// Secrets holds the metadata of the runner secrets.
	Secrets cache.Store
}

// namespace returns the namespace with the name, if it is there and can be read.
func (s Stores) namespace(name string) (*corev1.Namespace, bool) {
	object, found, err := s.Namespaces.GetByKey(name)
	namespace, ok := object.(*corev1.Namespace)
	return namespace, err == nil && found && ok
}

// Gate knows whether a namespace may hold AgenticSessions.
type Gate struct {
	stores     Stores
	cluster    string
	unassigned string
	reserved   []string

	mutex sync.Mutex
	// secrets holds the namespaces, by UID, in which a secret was made or found
	// that the informer may not show yet.
	secrets map[types.UID]bool
	// elsewhere holds the projects of another cluster, by its UID, whose rows are gone:
	// what is left of them is that cluster's.
	elsewhere map[string]string
	// unclaimable holds the projects whose claim is not kept upstream, and whether
	// they are projected all the same.
	unclaimable map[string]bool
}

var _ session.Gate = (*Gate)(nil)

// NewGate returns a Gate of the cluster with the UID. Sessions without a project are
// shown in the namespace unassigned; reserved are further namespaces that no project
// may use.
func NewGate(stores Stores, cluster, unassigned string, reserved ...string) *Gate {
	return &Gate{stores: stores, cluster: cluster, unassigned: unassigned, reserved: reserved,
		secrets: map[types.UID]bool{}, elsewhere: map[string]string{}, unclaimable: map[string]bool{}}
}

// Obstacle implements session.Gate.
func (g *Gate) Obstacle(namespace string) session.Obstacle {
	if namespace == g.unassigned {
		return session.Obstacle{Reason: ReasonNoProject, Message: "The session belongs to no project, or to one whose name can't be a namespace."}
	}
	shown, found, err := g.stores.Projects.GetByKey(namespace)
	if err != nil || !found {
		if cluster, known := g.wasElsewhere(namespace); known {
			return heldElsewhere(namespace, cluster)
		}
		// A session may be seen before its project, which was made before it.
		return session.Obstacle{Reason: ReasonNoProject, Message: fmt.Sprintf("There is no project %s.", namespace), Transient: true}
	}
	if project, ok := shown.(*v1alpha1.Project); ok {
		switch {
		case g.isForeign(project):
			return heldElsewhere(namespace, project.Status.Cluster)
		case project.Status.Cluster != g.cluster && !g.goesOn(namespace):
			return notReady(fmt.Sprintf("Project %s is not claimed by this cluster yet.", namespace))
		}
	}
	if Reserved(namespace, g.reserved...) {
		return session.Obstacle{Reason: ReasonReserved, Message: stateReserved(namespace).message}
	}
	object, found, err := g.stores.Namespaces.GetByKey(namespace)
	if err != nil || !found {
		return notReady(fmt.Sprintf("Namespace %s is not there yet.", namespace))
	}
	held, ok := object.(*corev1.Namespace)
	switch {
	case !ok:
		return notReady(fmt.Sprintf("Namespace %s can't be read.", namespace))
	case terminating(held):
		state := stateTerminating(namespace)
		return session.Obstacle{Reason: session.ReasonNamespaceTerminating, Message: state.message}
	case !Ours(held, namespace) && !adopted(held):
		return session.Obstacle{Reason: ReasonNotAdopted, Message: stateNotAdopted(namespace).message}
	case !labelled(held, namespace):
		return notReady(fmt.Sprintf("Namespace %s is not open for the operator yet.", namespace))
	case !g.hasSecret(held):
		return notReady(fmt.Sprintf("Secret %s in namespace %s, without which the first prompt would be lost, is not there yet.", SecretName, namespace))
	default:
		return session.Obstacle{}
	}
}

// Marked tells whether the namespace bears the mark of a project whose deletion was
// certain.
func (g *Gate) Marked(namespace string) bool {
	held, found := g.stores.namespace(namespace)
	return found && Ours(held, namespace) && held.Annotations[GoneAnnotation] == "true"
}

// Terminating tells whether the namespace is being deleted.
func (g *Gate) Terminating(namespace string) bool {
	held, found := g.stores.namespace(namespace)
	return found && terminating(held)
}

// ProjectShown notes whose the project is; gone is true if its row is gone.
func (g *Gate) ProjectShown(project *v1alpha1.Project, gone bool) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if gone && g.isForeign(project) {
		g.elsewhere[project.Name] = project.Status.Cluster
	} else {
		delete(g.elsewhere, project.Name)
	}
}

// isForeign tells whether the project is another cluster's, and not to become ours.
func (g *Gate) isForeign(project *v1alpha1.Project) bool {
	return project.Status.Cluster != g.cluster && !Claims(project, g.cluster)
}

func (g *Gate) wasElsewhere(project string) (cluster string, known bool) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	cluster, known = g.elsewhere[project]
	return cluster, known
}

// withoutClaim tells whether a project whose claim can't be kept goes on here, which
// it does if its namespace is ours, and whether that is news.
func (g *Gate) withoutClaim(project *v1alpha1.Project) (going, news bool) {
	namespace, found := g.stores.namespace(project.Name)
	going = found && project.Status.Cluster == "" && Ours(namespace, project.Name)
	g.mutex.Lock()
	defer g.mutex.Unlock()
	before, known := g.unclaimable[project.Name]
	g.unclaimable[project.Name] = going
	return going, !known || going != before
}

// goesOn tells whether a project is projected although its claim is not kept.
func (g *Gate) goesOn(project string) bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.unclaimable[project]
}

// forget notes that a project is claimed, or gone.
func (g *Gate) forget(project string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	delete(g.unclaimable, project)
}

// heldElsewhere is the obstacle for a project of another cluster.
func heldElsewhere(project, cluster string) session.Obstacle {
	state := stateElsewhere(project, cluster)
	return session.Obstacle{Reason: state.reason, Message: state.message, Foreign: true}
}

func notReady(message string) session.Obstacle {
	return session.Obstacle{Reason: ReasonNotReady, Message: message, Transient: true}
}

func (g *Gate) hasSecret(namespace *corev1.Namespace) bool {
	_, shown, err := g.stores.Secrets.GetByKey(namespace.Name + "/" + SecretName)
	if err == nil && shown {
		return true
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.secrets[namespace.UID]
}

// secretMade notes that the namespace has the secret, before the informer shows
// it.
func (g *Gate) secretMade(namespace metav1.Object) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.secrets[namespace.GetUID()] = true
}

// SecretShown notes that the informer has caught up, or that the secret is gone:
// from now on its word counts.
func (g *Gate) SecretShown(namespace string) {
	held, found := g.stores.namespace(namespace)
	if !found {
		return
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	delete(g.secrets, held.UID)
}
