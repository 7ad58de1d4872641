package project

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// Claims tells whether the cluster may claim the project: nobody has claimed it
// and no person gave it to another cluster, or a person gives it to this one.
func Claims(project *v1alpha1.Project, cluster string) bool {
	switch project.Annotations[v1alpha1.ProjectIntoAnnotation] {
	case "":
		return project.Status.Cluster == ""
	case cluster:
		return project.Status.Cluster != cluster
	default:
		return false
	}
}

// claim returns the project if it is this cluster's, claimed now if need be, and
// nil if nothing may be done for it.
func (c *Controller) claim(ctx context.Context, project *v1alpha1.Project) (*v1alpha1.Project, error) {
	if project.Status.Cluster == c.Cluster {
		c.forget(project.Name)
		return project, nil
	}
	if !Claims(project, c.Cluster) {
		c.leave(ctx, project)
		return nil, nil
	}
	// The resource version makes it a compare-and-swap: of two clusters that see
	// the project unclaimed, one is refused.
	conditions := project.Status.Conditions
	if project.Status.Cluster != "" {
		conditions = nil // they tell of the other cluster
	}
	configuration := applyv1alpha1.Project(project.Name).
		WithUID(project.UID).
		WithResourceVersion(project.ResourceVersion).
		WithStatus(configured(project.Status, own(conditions)).WithCluster(c.Cluster))
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	claimed, err := c.Projects.AmbientV1alpha1().Projects().ApplyStatus(ctx, configuration, options)
	if err != nil {
		return nil, fmt.Errorf("claiming project %s: %w", project.Name, err)
	}
	if claimed.Status.Cluster != c.Cluster {
		return c.unclaimable(ctx, project), nil
	}
	c.forget(project.Name)
	klog.FromContext(ctx).Info("Project claimed", "project", project.Name, "cluster", c.Cluster, "before", project.Status.Cluster)
	if project.Status.Cluster != "" {
		c.Events.Eventf(project, corev1.EventTypeNormal, "ProjectClaimed", "Claimed from cluster %s, as annotation %s asks for", project.Status.Cluster, v1alpha1.ProjectIntoAnnotation)
	}
	return claimed, nil
}

// unclaimable returns the project if it may go on without a claim, nil if not. Its
// annotations upstream are no JSON object: nothing can be kept there, and whoever
// had claimed the project can't be read. Who has its namespace goes on, so that a
// column that was damaged stops nothing; nobody begins.
func (c *Controller) unclaimable(ctx context.Context, project *v1alpha1.Project) *v1alpha1.Project {
	const reason = "ClaimNotKept"
	going, news := c.Gate.withoutClaim(project)
	if news {
		message := "The claim of the project by this cluster is not kept upstream, since the project's annotations there are not a JSON object. "
		if going {
			message += "It is projected all the same: its namespace stands here."
		} else {
			message += "Nothing is made for it. Make its annotations upstream a JSON object."
		}
		klog.FromContext(ctx).Info("Project can't be claimed", "project", project.Name, "projected", going)
		c.Events.Event(project, corev1.EventTypeWarning, reason, message)
	}
	if !going {
		return nil
	}
	return project
}

// leave says, once, that the project is another cluster's. Its status is not
// written: the other cluster's reconciler would write it back.
func (c *Controller) leave(ctx context.Context, project *v1alpha1.Project) {
	owner := project.Status.Cluster
	if owner == "" {
		owner = project.Annotations[v1alpha1.ProjectIntoAnnotation]
	}
	if !c.foreign.note(project.Name, owner) {
		return
	}
	klog.FromContext(ctx).Info("Project is projected by another cluster, nothing is done for it here", "project", project.Name, "cluster", owner)
	c.Events.Event(project, corev1.EventTypeWarning, v1alpha1.ReasonProjectedByAnotherCluster, stateElsewhere(project.Name, owner).message)
}

// Foreign returns how many projects another cluster projects.
func (c *Controller) Foreign() int { return c.foreign.count() }

// forget notes that the project is ours, or gone.
func (c *Controller) forget(project string) {
	c.foreign.forget(project)
	c.Gate.forget(project)
}

// foreign holds the projects of other clusters, with their clusters.
type foreign struct {
	mutex    sync.Mutex
	clusters map[string]string
}

// note returns false if it was known that the project is the cluster's.
func (f *foreign) note(project, cluster string) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.clusters[project] == cluster {
		return false
	}
	if f.clusters == nil {
		f.clusters = map[string]string{}
	}
	f.clusters[project] = cluster
	return true
}

func (f *foreign) forget(project string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.clusters, project)
}

func (f *foreign) count() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.clusters)
}
