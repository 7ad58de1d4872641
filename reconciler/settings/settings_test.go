package settings

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

const namespace = "payments"

func TestBindingNamesAreSafeAndDistinct(t *testing.T) {
	groups := []string{"dev", "Dev", "oidc:dev", "oidc-dev", "a b", "a-b", "üöä", "日本", strings.Repeat("long", 50), strings.Repeat("long", 51), "-", "x/y", "x.y"}
	seen := map[string]string{}
	for _, group := range groups {
		for _, role := range roles {
			name := bindingName(group, role)
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				t.Errorf("group %q: %q is no name: %v", group, name, problems)
			}
			if other, taken := seen[name]; taken {
				t.Errorf("%q and %q share the name %s", group+role, other, name)
			}
			seen[name] = group + role
		}
	}
}

func TestOnlyTheThreeRolesAreGiven(t *testing.T) {
	wanted, refused := entries(namespace, []v1alpha1.GroupAccess{
		{GroupName: "a", Role: "admin"}, {GroupName: "b", Role: "cluster-admin"}, {GroupName: "c", Role: "Admin"}, {GroupName: "", Role: "view"}, {GroupName: "d", Role: ""},
	})
	if len(wanted) != 1 || len(refused) != 4 {
		t.Errorf("%d bindings, refused %v", len(wanted), refused)
	}
	for _, entry := range wanted {
		if role := *entry.binding.RoleRef.Name; role != "ambient-project-admin" {
			t.Errorf("role %s", role)
		}
	}
}

// stage is a controller with what surrounds it.
type stage struct {
	t           *testing.T
	kube        *fake.Clientset
	native      *ambientfake.Clientset
	store       cache.Store
	bindings    cache.Indexer
	obstacle    session.Obstacle
	marked      bool
	terminating bool
	held        bool
	platform    *fakePlatform
	controller  *Controller
}

func (s *stage) Obstacle(string) session.Obstacle    { return s.obstacle }
func (s *stage) Marked(string) bool                  { return s.marked }
func (s *stage) Terminating(string) bool             { return s.terminating }
func (s *stage) Absent(string) (bool, time.Duration) { return !s.held, time.Second }
func (s *stage) Present(string)                      {}

func newStage(t *testing.T, access ...v1alpha1.GroupAccess) *stage {
	settings := &v1alpha1.ProjectSettings{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.ProjectSettingsName, Generation: 1},
		Spec:       v1alpha1.ProjectSettingsSpec{GroupAccess: access},
	}
	s := &stage{
		t: t, kube: fake.NewClientset(), native: newNative(),
		store:    cache.NewStore(cache.MetaNamespaceKeyFunc),
		platform: &fakePlatform{},
		bindings: cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}),
	}
	if _, err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Create(context.Background(), settings, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.controller = New(Options{
		Settings: s.native, Kube: s.kube, Store: s.store, Bindings: s.bindings, Platform: s.platform, Gate: s, Brake: s, Events: record.NewFakeRecorder(100),
	})
	return s
}

// reconcile lets the informers catch up and makes a pass, which must not fail.
func (s *stage) reconcile() time.Duration {
	s.t.Helper()
	s.observe()
	again, err := s.controller.Reconcile(context.Background(), namespace)
	if err != nil {
		s.t.Fatal(err)
	}
	return again
}

// observe lets the informers catch up.
func (s *stage) observe() {
	s.t.Helper()
	ctx := context.Background()
	if err := s.store.Replace(nil, ""); err != nil {
		s.t.Fatal(err)
	}
	list, err := s.native.AmbientV1alpha1().ProjectSettings(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for i := range list.Items {
		if err := s.store.Add(&list.Items[i]); err != nil {
			s.t.Fatal(err)
		}
	}
	held, err := s.kube.RbacV1().RoleBindings(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var objects []any
	s.platform.granted = nil
	for i := range held.Items {
		objects = append(objects, &held.Items[i])
		if held.Items[i].Labels["ambient-code.io/managed"] == "true" {
			s.platform.granted = append(s.platform.granted, &held.Items[i])
		}
	}
	if err := s.bindings.Replace(objects, ""); err != nil {
		s.t.Fatal(err)
	}
}

// granted returns the groups with their roles, as bound in the cluster.
func (s *stage) granted() []string {
	list, err := s.kube.RbacV1().RoleBindings(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	granted := map[string]bool{}
	for _, binding := range list.Items {
		granted[binding.Subjects[0].Name+" "+binding.RoleRef.Name] = true
	}
	return slices.Sorted(maps.Keys(granted))
}

func (s *stage) expect(want ...string) {
	s.t.Helper()
	if got := s.granted(); !slices.Equal(got, want) {
		s.t.Errorf("granted %v, want %v", got, want)
	}
}

func (s *stage) change(access ...v1alpha1.GroupAccess) {
	ctx := context.Background()
	settings, err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Get(ctx, v1alpha1.ProjectSettingsName, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	settings.Spec.GroupAccess = access
	if _, err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Update(ctx, settings, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestAccessIsGrantedChangedAndRevoked(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "oidc:Dev Team", Role: "edit"}, v1alpha1.GroupAccess{GroupName: "ops", Role: "admin"})
	foreign := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "theirs"}, RoleRef: rbacv1.RoleRef{Name: "view"}, Subjects: []rbacv1.Subject{{Name: "auditors"}},
	}
	if _, err := s.kube.RbacV1().RoleBindings(namespace).Create(context.Background(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	s.expect("auditors view", "oidc:Dev Team ambient-project-edit", "ops ambient-project-admin")
	s.change(v1alpha1.GroupAccess{GroupName: "oidc:Dev Team", Role: "view"})
	s.reconcile()
	s.expect("auditors view", "oidc:Dev Team ambient-project-view")
	s.change()
	s.reconcile()
	s.expect("auditors view")
}

func TestABindingThatWasChangedByHandIsSetRight(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.reconcile()
	ctx := context.Background()
	name := bindingName("dev", "view")
	binding, err := s.kube.RbacV1().RoleBindings(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	binding.Subjects = []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "intruders"}}
	if _, err := s.kube.RbacV1().RoleBindings(namespace).Update(ctx, binding, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.reconcile()
	s.expect("dev ambient-project-view")
}

func TestSettingsThatAreGoneRevokeEverything(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.reconcile()
	if err := s.native.AmbientV1alpha1().ProjectSettings(namespace).Delete(context.Background(), v1alpha1.ProjectSettingsName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.held = true
	s.reconcile()
	s.expect("dev ambient-project-view") // absence alone is for the brake to judge
	s.controller.Deleted(namespace)
	s.reconcile()
	s.expect()
}

func TestDecision10NothingIsGrantedOrRevokedForAnotherClustersProject(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.reconcile()
	s.reconcile() // now the informer shows the binding
	s.obstacle = session.Obstacle{Reason: "ProjectedByAnotherCluster", Message: "theirs", Foreign: true}
	s.kube.ClearActions()
	s.native.ClearActions()
	s.controller.Deleted(namespace)
	s.controller.ProjectDeleted(namespace)
	if err := s.controller.Store.Replace(nil, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.controller.Reconcile(context.Background(), namespace); err != nil {
		t.Fatal(err)
	}
	if actions := append(s.kube.Actions(), s.native.Actions()...); len(actions) != 0 {
		t.Errorf("done for another cluster's project: %v", actions)
	}
}

func TestAtRestNothingIsWritten(t *testing.T) {
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "view"})
	s.reconcile()
	s.reconcile()
	s.kube.ClearActions()
	s.native.ClearActions()
	s.reconcile()
	for _, action := range append(s.kube.Actions(), s.native.Actions()...) {
		if verb := action.GetVerb(); verb != "list" && verb != "get" {
			t.Errorf("%s %s at rest", verb, action.GetResource().Resource)
		}
	}
}

// newNative returns a fake of the native API. The generated type converter holds no
// schema of our types, so that the fake can't merge what is applied: the status is
// put in place instead.
func newNative() *ambientfake.Clientset {
	native := ambientfake.NewSimpleClientset()
	native.PrependReactor("patch", "projectsettings", func(action clienttesting.Action) (bool, runtime.Object, error) {
		var applied v1alpha1.ProjectSettings
		if err := json.Unmarshal(action.(clienttesting.PatchAction).GetPatch(), &applied); err != nil {
			return true, nil, err
		}
		resource := v1alpha1.SchemeGroupVersion.WithResource("projectsettings")
		held, err := native.Tracker().Get(resource, namespace, applied.Name)
		if err != nil {
			return true, nil, err
		}
		settings := held.(*v1alpha1.ProjectSettings).DeepCopy()
		settings.Status = applied.Status
		return true, settings, native.Tracker().Update(resource, settings, namespace)
	})
	return native
}
