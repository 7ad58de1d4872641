package translate

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// elsewhere returns the row of a project that the other cluster projects.
func elsewhere(t *testing.T) *ambientv1.Project {
	t.Helper()
	there := New(Options{Cluster: otherCluster})
	row := project(`{"note":"x"}`)
	current := there.Project(row, 0)
	desired := current.DeepCopy()
	desired.Status.Cluster, desired.Status.Namespace, desired.Status.ObservedGeneration = otherCluster, "team-a", 1
	desired.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProjected, Status: metav1.ConditionTrue, Reason: "There"}}
	request, err := there.ProjectUpdate(row, current, desired)
	if err != nil {
		t.Fatal(err)
	}
	return apply(row, request)
}

func TestDecision10AProjectOfAnotherClusterSaysSo(t *testing.T) {
	row := elsewhere(t)
	there, here := New(Options{Cluster: otherCluster}).Project(row, 0), readProject(row)
	if c := condition(there.Status.Conditions, v1alpha1.ConditionProjected); c.Status != metav1.ConditionTrue || c.Reason != "There" {
		t.Errorf("there: %+v", c)
	}
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionProjected} {
		if c := condition(here.Status.Conditions, kind); c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonProjectedByAnotherCluster {
			t.Errorf("here: %+v", c)
		}
	}
	if here.Status.Cluster != otherCluster || here.Status.Namespace != "" {
		t.Errorf("here: %+v", here.Status)
	}
}

func TestDecision10TheStatusOfAProjectOfAnotherClusterIsKept(t *testing.T) {
	row := elsewhere(t)
	before, _ := ReadReserved(row.GetAnnotations())
	row = updateProject(t, row, func(p *v1alpha1.Project) {
		p.Status.Conditions, p.Status.Namespace, p.Status.ObservedGeneration = nil, "here", 7
	})
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Spec.Description = "d" }, "description", "annotations")
	after, _ := ReadReserved(row.GetAnnotations())
	if len(after.Conditions) != 1 || !sameConditions(after.Conditions, before.Conditions) || after.Namespace != before.Namespace || after.ProjectedBy != otherCluster {
		t.Errorf("what the other cluster has observed became %+v", after)
	}
}

func TestDecision10AClaimRidesInTheReservedKey(t *testing.T) {
	row := updateProject(t, elsewhere(t), func(p *v1alpha1.Project) {
		p.Status.Cluster, p.Status.Conditions = thisCluster, nil
	}, "annotations")
	reserved, _ := ReadReserved(row.GetAnnotations())
	if reserved.ProjectedBy != thisCluster || len(reserved.Conditions) != 0 {
		t.Errorf("reserved: %+v", reserved)
	}
	if got := readProject(row); got.Status.Cluster != thisCluster || len(got.Status.Conditions) != 0 {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestDecision10AClaimOverwritesNothingMalformed(t *testing.T) {
	updateProject(t, project("not json"), func(p *v1alpha1.Project) { p.Status.Cluster = thisCluster })
}
