package settings

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// expectStatus checks the condition Projected, and that Stalled says the same where
// nothing happens until somebody does something.
func (s *stage) expectStatus(status metav1.ConditionStatus, reason string, stalled bool) metav1.Condition {
	s.t.Helper()
	settings, err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Get(context.Background(), v1alpha1.ProjectSettingsName, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	projected := meta.FindStatusCondition(settings.Status.Conditions, v1alpha1.ConditionProjected)
	if reason == "" {
		if projected != nil {
			s.t.Errorf("condition %+v, want none", projected)
		}
		return metav1.Condition{}
	}
	if projected == nil || projected.Status != status || projected.Reason != reason {
		s.t.Fatalf("conditions %+v, want %s for %s", settings.Status.Conditions, status, reason)
	}
	if found := meta.FindStatusCondition(settings.Status.Conditions, v1alpha1.ConditionStalled); (found != nil) != stalled || stalled && found.Reason != reason {
		s.t.Errorf("condition Stalled %+v", found)
	}
	return *projected
}

func TestNothingIsGrantedInANamespaceThatIsNotTheProjects(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.platform.installed = true
	s.obstacle = session.Obstacle{Reason: "NamespaceNotAdopted", Message: "theirs"}
	s.reconcile()
	s.expect()
	s.expectPlatform("", 0)
	s.expectStatus(metav1.ConditionFalse, "NamespaceNotAdopted", true)

	// The namespace of a deleted one is made again without anybody's help.
	s.obstacle = session.Obstacle{Reason: "NamespaceTerminating", Message: "goes"}
	s.reconcile()
	s.expectStatus(metav1.ConditionFalse, "NamespaceTerminating", false)
}

// A namespace that was taken from its project holds what was granted before.
func TestWhatIsTakenAwayIsRevokedWhateverIsInTheWay(t *testing.T) {
	for _, obstacle := range []session.Obstacle{
		{Reason: "NamespaceNotAdopted", Message: "theirs"},
		{Reason: "NamespaceReserved", Message: "nobody's"},
		{Reason: "NamespaceNotReady", Message: "no secret", Transient: true},
	} {
		t.Run(obstacle.Reason, func(t *testing.T) {
			s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"}, v1alpha1.GroupAccess{GroupName: "ops", Role: "admin"})
			s.reconcile()
			s.obstacle = obstacle
			s.reconcile()
			s.expect("dev ambient-project-view", "ops ambient-project-admin")
			s.change(v1alpha1.GroupAccess{GroupName: "ops", Role: "admin"}, v1alpha1.GroupAccess{GroupName: "new", Role: "view"})
			s.reconcile()
			s.expect("ops ambient-project-admin")
		})
	}
}

func TestWhileARoleCannotBeChangedNobodyKeepsMoreThanTheNewOne(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "raised", Role: "view"}, v1alpha1.GroupAccess{GroupName: "lowered", Role: "admin"}, v1alpha1.GroupAccess{GroupName: "same", Role: "edit"})
	s.reconcile()
	s.obstacle = session.Obstacle{Reason: "NamespaceNotAdopted", Message: "theirs"}
	s.change(v1alpha1.GroupAccess{GroupName: "raised", Role: "edit"}, v1alpha1.GroupAccess{GroupName: "lowered", Role: "view"}, v1alpha1.GroupAccess{GroupName: "same", Role: "edit"})
	s.reconcile()
	s.expect("raised ambient-project-view", "same ambient-project-edit")
}

func TestABindingThatWasChangedByHandGivesNothingWhileItCannotBeSetRight(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"}, v1alpha1.GroupAccess{GroupName: "ops", Role: "view"})
	s.reconcile()
	s.edit("dev", "view", func(binding *rbacv1.RoleBinding) { binding.Subjects[0].Name = "intruders" })
	s.edit("ops", "view", func(binding *rbacv1.RoleBinding) { binding.Annotations = nil })
	s.obstacle = session.Obstacle{Reason: "NamespaceNotAdopted", Message: "theirs"}
	s.reconcile()
	s.expect("ops ambient-project-view")
}

// edit changes the binding of a group by hand.
func (s *stage) edit(group, role string, change func(*rbacv1.RoleBinding)) {
	s.t.Helper()
	client := s.kube.RbacV1().RoleBindings(namespace)
	binding, err := client.Get(context.Background(), bindingName(group, role), metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	change(binding)
	if _, err := client.Update(context.Background(), binding, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestATransientObstacleThatLastsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
		look := func(want time.Duration) {
			t.Helper()
			if again := s.reconcile(); again != want {
				t.Errorf("looks again after %s, want %s", again, want)
			}
		}
		for range 2 {
			s.obstacle = session.Obstacle{Reason: "NamespaceNotReady", Message: "no secret", Transient: true}
			look(session.TransientPause)
			time.Sleep(session.Patience - time.Nanosecond)
			look(session.TransientPause)
			s.expectStatus(metav1.ConditionFalse, "", false)
			s.obstacle = session.Obstacle{}
			look(0)
			s.expectStatus(metav1.ConditionTrue, "AccessGranted", false)
			s.clearStatus()
		}
		s.obstacle = session.Obstacle{Reason: "NamespaceNotReady", Message: "no secret", Transient: true}
		look(session.TransientPause)
		time.Sleep(session.Patience)
		look(session.RestPause)
		s.expectStatus(metav1.ConditionFalse, "NamespaceNotReady", false)
		s.native.ClearActions()
		look(session.RestPause)
		if actions := s.native.Actions(); len(actions) > 1 {
			t.Errorf("told twice: %v", actions)
		}
	})
}

func (s *stage) clearStatus() {
	s.t.Helper()
	client := s.native.AmbientV1alpha1().ProjectSettings(namespace)
	settings, err := client.Get(context.Background(), v1alpha1.ProjectSettingsName, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	settings.Status = v1alpha1.ProjectSettingsStatus{}
	if _, err := client.UpdateStatus(context.Background(), settings, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}
