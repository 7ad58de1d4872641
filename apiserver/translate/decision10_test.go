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
	saysElsewhere(t, here.Status.Conditions)
	if here.Status.Cluster != otherCluster || here.Status.Namespace != "" {
		t.Errorf("here: %+v", here.Status)
	}
}

// saysElsewhere fails the test unless the conditions say that another cluster
// projects the object.
func saysElsewhere(t *testing.T, conditions []metav1.Condition) {
	t.Helper()
	for kind, status := range map[string]metav1.ConditionStatus{"Ready": "False", "Projected": "False", "Stalled": "True"} {
		if c := condition(conditions, kind); c.Status != status || c.Reason != v1alpha1.ReasonProjectedByAnotherCluster {
			t.Errorf("here: %s is %+v", kind, c)
		}
	}
}

func TestDecision10SettingsOfAProjectOfAnotherClusterSaySo(t *testing.T) {
	there, on, row := New(Options{Cluster: otherCluster}), elsewhere(t), settingsRow(`["dev"]`, "")
	current := there.ProjectSettings(row, on, 0)
	desired := current.DeepCopy()
	desired.Status.ObservedGeneration = 1
	desired.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "True", Reason: "AccessGranted", LastTransitionTime: *seconds(created)}}
	_, request, err := there.ProjectSettingsUpdate(row, on, current, desired)
	if err != nil {
		t.Fatal(err)
	}
	on = apply(on, request)
	saysElsewhere(t, translator.ProjectSettings(row, on, 0).Status.Conditions)

	// Whatever is written here, what the other cluster has observed stays.
	_, request = updateSettings(t, row, on, func(s *v1alpha1.ProjectSettings) {
		s.Labels = map[string]string{"a": "1"}
		s.Status.Conditions, s.Status.ObservedGeneration = nil, 7
	})
	after := there.ProjectSettings(row, apply(on, request), 0)
	if after.Labels["a"] != "1" || condition(after.Status.Conditions, "Ready").Reason != "AccessGranted" || after.Status.ObservedGeneration != 1 {
		t.Errorf("there: %+v", after)
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
	if got := readProject(row); got.Status.Cluster != thisCluster || condition(got.Status.Conditions, "Ready").Reason != v1alpha1.ReasonNotObserved {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestDecision10AClaimOverwritesNothingMalformed(t *testing.T) {
	updateProject(t, project("not json"), func(p *v1alpha1.Project) { p.Status.Cluster = thisCluster })
}
