package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// fakePlatform holds the platform's settings of the one namespace.
type fakePlatform struct {
	installed bool
	held      *unstructured.Unstructured
	granted   []*rbacv1.RoleBinding
	applied   int
	failure   error
}

func (p *fakePlatform) Installed() bool                                 { return p.installed }
func (p *fakePlatform) Held(string) (*unstructured.Unstructured, error) { return p.held, nil }
func (p *fakePlatform) Granted(string) ([]*rbacv1.RoleBinding, error)   { return p.granted, nil }
func (p *fakePlatform) Apply(_ context.Context, object *unstructured.Unstructured) error {
	if p.failure != nil {
		return fmt.Errorf("applying: %w", p.failure)
	}
	p.applied++
	p.held = object.DeepCopy()
	owned := `{"f:spec":{"f:groupAccess":{}}}`
	if _, found := object.Object["spec"].(map[string]any)["repositories"]; found {
		owned = `{"f:spec":{"f:groupAccess":{},"f:repositories":{}}}`
	}
	p.held.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "ambient-kube-reconciler", Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(owned),
	}})
	return nil
}

// spec is the spec of what is held, "" if there is nothing.
func (p *fakePlatform) spec(t *testing.T) string {
	t.Helper()
	if p.held == nil {
		return ""
	}
	text, err := json.Marshal(p.held.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (s *stage) expectPlatform(spec string, applied int) {
	s.t.Helper()
	if got := s.platform.spec(s.t); got != spec || s.platform.applied != applied {
		s.t.Errorf("the platform's settings are %s after %d writes, want %s after %d", got, s.platform.applied, spec, applied)
	}
}

// operatorGrants makes the RoleBinding that the operator makes.
func (s *stage) operatorGrants(group, role string) {
	s.t.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: group + "-" + role, Labels: map[string]string{"ambient-code.io/managed": "true"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "ambient-project-" + role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: group}},
	}
	if _, err := s.kube.RbacV1().RoleBindings(namespace).Create(context.Background(), binding, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) deleteSettings() {
	s.t.Helper()
	if err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Delete(context.Background(), v1alpha1.ProjectSettingsName, metav1.DeleteOptions{}); err != nil {
		s.t.Fatal(err)
	}
	s.controller.Deleted(namespace)
}

func TestThePlatformsSettingsSayTheSame(t *testing.T) {
	object, omitted := platformSettings(namespace, &v1alpha1.ProjectSettingsSpec{
		GroupAccess: []v1alpha1.GroupAccess{{GroupName: "dev", Role: "edit"}, {GroupName: "ops", Role: "root"}, {GroupName: "", Role: "view"}, {GroupName: "all", Role: "view"}},
		Repositories: []v1alpha1.ProjectRepository{
			{URL: "a"}, {URL: "b", Branch: "main", Provider: "github"}, {URL: "c", Provider: "svn"},
		},
	})
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"apiVersion":"vteam.ambient-code/v1alpha1","kind":"ProjectSettings","metadata":{"name":"projectsettings","namespace":"payments"},` +
		`"spec":{"groupAccess":[{"groupName":"dev","role":"edit"},{"groupName":"all","role":"view"}],` +
		`"repositories":[{"url":"a"},{"branch":"main","provider":"github","url":"b"},{"url":"c"}]}}`
	if string(text) != want {
		t.Errorf("%s\nwant %s", text, want)
	}
	if strings.Join(omitted, " ") != "spec.repositories[2].provider" {
		t.Errorf("omitted are %v", omitted)
	}
}

func TestThePlatformsSettingsAreKeptInStep(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.reconcile()
	s.expectPlatform("", 0) // nobody knows of them here
	s.platform.installed = true
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[{"groupName":"dev","role":"view"}]}`, 1)
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[{"groupName":"dev","role":"view"}]}`, 1)

	// What the operator and others write of it stays.
	s.platform.held.SetLabels(map[string]string{"theirs": "kept"})
	s.platform.held.Object["spec"].(map[string]any)["inactivityTimeoutSeconds"] = int64(60)
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[{"groupName":"dev","role":"view"}],"inactivityTimeoutSeconds":60}`, 1)

	// An edit by hand of what is ours does not.
	s.platform.held.Object["spec"].(map[string]any)["groupAccess"] = []any{}
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[{"groupName":"dev","role":"view"}]}`, 2)

	s.deleteSettings()
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[]}`, 3)
	s.expect()
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[]}`, 3)
}

func TestSettingsThatWereNeverOursAreLeftAlone(t *testing.T) {
	s := newStage(t)
	s.platform.installed = true
	s.platform.held, _ = platformSettings(namespace, &v1alpha1.ProjectSettingsSpec{GroupAccess: []v1alpha1.GroupAccess{{GroupName: "dev", Role: "view"}}})
	s.operatorGrants("dev", "view")
	s.operatorGrants("past", "edit")
	s.deleteSettings()
	s.reconcile()
	s.expectPlatform(`{"groupAccess":[{"groupName":"dev","role":"view"}]}`, 0)
	s.expect("dev ambient-project-view", "past ambient-project-edit")
}

// The operator never takes a RoleBinding away.
func TestAccessGivenByTheOperatorIsRevokedToo(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "edit"})
	s.platform.installed = true
	s.operatorGrants("dev", "edit")
	s.operatorGrants("dev", "admin")
	s.operatorGrants("past", "view")
	for name, binding := range map[string]*rbacv1.RoleBinding{
		"of another name":   {RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "ambient-project-view"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "a"}}},
		"b-view":            {RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "ambient-project-view"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "b"}}},
		"c-view":            {RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "ambient-project-view"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "c"}}},
		"d-session-trigger": {RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "ambient-session-trigger"}, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "d"}}},
	} {
		binding.Namespace, binding.Name, binding.Labels = namespace, name, map[string]string{"ambient-code.io/managed": "true"}
		if _, err := s.kube.RbacV1().RoleBindings(namespace).Create(context.Background(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	others := []string{"a ambient-project-view", "b ambient-project-view", "c ambient-project-view", "d ambient-session-trigger"}
	s.reconcile()
	s.expect(append(others, "dev ambient-project-edit")...)

	// Ours and the operator's go together.
	s.deleteSettings()
	s.reconcile()
	s.expect(others...)
	// One that it makes late goes, too.
	s.operatorGrants("dev", "edit")
	s.reconcile()
	s.expect(others...)
}

func TestADefinitionThatWasJustRemovedIsNoFailure(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.platform.installed = true
	s.platform.failure = apierrors.NewNotFound(PlatformResource.GroupResource(), PlatformName)
	s.reconcile()
	s.expect("dev ambient-project-view")

	s.platform.failure = apierrors.NewForbidden(PlatformResource.GroupResource(), PlatformName, nil)
	if _, err := s.controller.Reconcile(t.Context(), namespace); !apierrors.IsForbidden(err) {
		t.Errorf("the error is %v", err)
	}
}
