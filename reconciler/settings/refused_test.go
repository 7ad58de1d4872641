package settings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// refuse makes the cluster answer so to whoever writes (patch) or removes (delete)
// the binding of a group in a role, until the returned function is called.
func (s *stage) refuse(verb, group, role string, answer error) (accept func()) {
	name, accepted := bindingName(group, role), false
	s.kube.PrependReactor(verb, "rolebindings", func(action clienttesting.Action) (bool, runtime.Object, error) {
		named, ok := action.(interface{ GetName() string })
		return ok && named.GetName() == name && !accepted, nil, answer
	})
	return func() { accepted = true }
}

func forbidden(message string) error {
	return apierrors.NewForbidden(rbacv1.Resource("rolebindings"), "theirs", errors.New(message))
}

// fail lets the informers catch up and makes a pass, which must fail so that it is
// repeated.
func (s *stage) fail(is func(error) bool) {
	s.t.Helper()
	s.observe()
	if _, err := s.controller.Reconcile(s.t.Context(), namespace); !is(err) {
		s.t.Fatalf("the pass ended with %v", err)
	}
}

// warnings returns the warnings that were told since it was asked last.
func (s *stage) warnings() []string {
	recorder, ok := s.controller.Events.(*record.FakeRecorder)
	if !ok {
		s.t.Fatal("the events are not recorded")
	}
	var found []string
	for range len(recorder.Events) {
		if event := <-recorder.Events; strings.HasPrefix(event, "Warning") {
			found = append(found, event)
		}
	}
	return found
}

func view(groups ...string) []v1alpha1.GroupAccess {
	var access []v1alpha1.GroupAccess
	for _, group := range groups {
		access = append(access, v1alpha1.GroupAccess{GroupName: group, Role: "view"})
	}
	return access
}

func TestWhatTheClusterRefusesOfOneGroupHindersNoOther(t *testing.T) {
	s := newStage(t, view("leaving")...)
	s.platform.installed = true
	s.reconcile()
	accept := s.refuse("patch", "refused", "view", forbidden("a policy says no"))
	s.change(view("first", "refused", "last")...)
	s.fail(apierrors.IsForbidden)
	s.expect("first ambient-project-view", "last ambient-project-view")
	s.expectPlatform(`{"groupAccess":[{"groupName":"first","role":"view"},{"groupName":"refused","role":"view"},{"groupName":"last","role":"view"}]}`, 2)

	// It is told where and why, once, and an event quotes nobody.
	if told := s.expectStatus(metav1.ConditionFalse, v1alpha1.ReasonRefused, true).Message; !strings.Contains(told, "spec.groupAccess[1] ") || !strings.Contains(told, "a policy says no") {
		t.Errorf("the message is %q", told)
	}
	s.fail(apierrors.IsForbidden)
	if told := s.warnings(); len(told) != 1 || !strings.Contains(told[0], "Refused The cluster refuses what spec.groupAccess[1] asks for") || strings.Contains(told[0], "policy") {
		t.Errorf("the warnings are %q", told)
	}

	accept()
	s.reconcile()
	s.expect("first ambient-project-view", "last ambient-project-view", "refused ambient-project-view")
	s.expectStatus(metav1.ConditionTrue, "AccessGranted", false)
}

func TestARoleThatIsRefusedLeavesAsMuchOfTheFormerAsItGives(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "raised", Role: "view"}, v1alpha1.GroupAccess{GroupName: "lowered", Role: "admin"})
	s.reconcile()
	s.refuse("patch", "raised", "edit", forbidden("no"))
	accept := s.refuse("patch", "lowered", "view", forbidden("no"))
	s.change(v1alpha1.GroupAccess{GroupName: "raised", Role: "edit"}, v1alpha1.GroupAccess{GroupName: "lowered", Role: "view"})
	s.fail(apierrors.IsForbidden)
	s.expect("raised ambient-project-view")
	accept()
	s.fail(apierrors.IsForbidden)
	s.expect("lowered ambient-project-view", "raised ambient-project-view")
	s.change()
	s.reconcile()
	s.expect()
}

func TestARevocationThatIsRefusedHindersNoOtherAndIsTold(t *testing.T) {
	s := newStage(t, view("a", "b", "c")...)
	s.reconcile()
	accept := s.refuse("delete", "b", "view", forbidden("hands off"))
	s.change(view("d")...)
	s.fail(apierrors.IsForbidden)
	s.expect("b ambient-project-view", "d ambient-project-view")
	if told := s.expectStatus(metav1.ConditionFalse, v1alpha1.ReasonRefused, true).Message; !strings.Contains(told, "hands off") {
		t.Errorf("the message is %q", told)
	}

	// Also beside an obstacle, whose way out is told first.
	s.obstacle = session.Obstacle{Reason: "NamespaceNotAdopted", Message: "theirs"}
	s.fail(apierrors.IsForbidden)
	if told := s.expectStatus(metav1.ConditionFalse, "NamespaceNotAdopted", true).Message; !strings.HasPrefix(told, "theirs") || !strings.Contains(told, "hands off") {
		t.Errorf("the message is %q", told)
	}
	accept()
	s.reconcile()
	s.expect("d ambient-project-view")
}

func TestPlatformSettingsThatAreRefusedHinderNoRevocation(t *testing.T) {
	s := newStage(t, view("dev", "leaving")...)
	s.platform.installed = true
	s.reconcile()
	s.operatorGrants("dev", "view")
	s.operatorGrants("leaving", "view")
	s.platform.failure = apierrors.NewInvalid(PlatformResource.GroupVersion().WithKind("ProjectSettings").GroupKind(), PlatformName, nil)
	s.change(view("dev", "new")...)
	s.fail(apierrors.IsInvalid)
	s.expect("dev ambient-project-view", "new ambient-project-view")
	if told := s.expectStatus(metav1.ConditionFalse, v1alpha1.ReasonRefused, true).Message; !strings.Contains(told, "what spec asks for") {
		t.Errorf("the message is %q", told)
	}
	s.platform.failure = nil
	s.reconcile()
	s.expectStatus(metav1.ConditionTrue, "AccessGranted", false)
}

// What goes away by itself is no word of the cluster's.
func TestAnOutageHindersNoRevocationAndIsNotTold(t *testing.T) {
	s := newStage(t, view("leaving")...)
	s.reconcile()
	s.refuse("patch", "new", "view", apierrors.NewServiceUnavailable("soon"))
	s.change(view("new", "other")...)
	s.fail(apierrors.IsServiceUnavailable)
	s.expect("other ambient-project-view")
	s.expectStatus(metav1.ConditionTrue, "AccessGranted", false)
	if told := s.warnings(); len(told) != 0 {
		t.Errorf("the warnings are %q", told)
	}
}

func TestARefusedRevocationInAnAbandonedNamespaceIsTriedAgain(t *testing.T) {
	s := newOrphan(t)
	s.held = true
	s.controller.ProjectDeleted(namespace)
	accept := s.refuse("delete", "dev", "admin", forbidden("hands off"))
	s.fail(apierrors.IsForbidden)
	s.expect("dev ambient-project-admin")
	s.expectPlatform(`{"groupAccess":[]}`, 2)
	accept()
	s.reconcile()
	s.expectRevoked()
}

func TestRefusedRolesAndRefusedBindingsAreBothTold(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "a", Role: "root"}, v1alpha1.GroupAccess{GroupName: "b", Role: "view"})
	s.refuse("patch", "b", "view", forbidden("no"))
	s.fail(apierrors.IsForbidden)
	told := s.expectStatus(metav1.ConditionFalse, v1alpha1.ReasonRefused, true).Message
	for _, field := range []string{`spec.groupAccess[0].role "root"`, "spec.groupAccess[1] asks for"} {
		if !strings.Contains(told, field) {
			t.Errorf("%s is missing in %q", field, told)
		}
	}
}

func TestAnEventNamesNoMoreFieldsThanItHasRoomFor(t *testing.T) {
	var many failures
	for i := range 500 {
		many = append(many, failure{fmt.Sprintf("spec.groupAccess[%d]", i), forbidden("no")})
	}
	if told := many.event(); len(told) > 1024 || !strings.Contains(told, "spec.groupAccess[19] and 480 more") {
		t.Errorf("the event says %q", told)
	}
}

// A binding of that name that bears no label of ours is not ours to remove.
func TestABindingOfOthersInTheWayStays(t *testing.T) {
	s := newStage(t, view("dev")...)
	theirs := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: bindingName("dev", "view")},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "theirs"}, Subjects: []rbacv1.Subject{{Name: "them"}},
	}
	if _, err := s.kube.RbacV1().RoleBindings(namespace).Create(context.Background(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.refuse("patch", "dev", "view", apierrors.NewInvalid(rbacv1.SchemeGroupVersion.WithKind("RoleBinding").GroupKind(), theirs.Name, nil))
	s.fail(apierrors.IsInvalid)
	if got := s.granted(); !slices.Equal(got, []string{"them theirs"}) {
		t.Errorf("granted %v", got)
	}
	s.expectStatus(metav1.ConditionFalse, v1alpha1.ReasonRefused, true)
}
