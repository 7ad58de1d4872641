package settings

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/brake"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// noProject is what the gate says when no project is shown.
var noProject = session.Obstacle{Reason: "NoProject", Message: "There is no project payments.", Transient: true}

// newOrphan returns a stage where access was granted and no project is shown any
// more. The upstream keeps the settings of a project that was deleted.
func newOrphan(t *testing.T) *stage {
	t.Helper()
	s := newStage(t, v1alpha1.GroupAccess{GroupName: "dev", Role: "admin"}, v1alpha1.GroupAccess{GroupName: "ops", Role: "view"})
	s.platform.installed = true
	s.operatorGrants("dev", "admin")
	s.reconcile()
	s.obstacle = noProject
	s.observe()
	s.kube.ClearActions()
	s.native.ClearActions()
	return s
}

func (s *stage) expectAccess() {
	s.t.Helper()
	s.expect("dev ambient-project-admin", "ops ambient-project-view")
}

func (s *stage) expectRevoked() {
	s.t.Helper()
	s.expect()
	s.expectPlatform(`{"groupAccess":[]}`, 2)
}

func (s *stage) addProject() {
	s.t.Helper()
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := s.native.AmbientV1alpha1().Projects().Create(context.Background(), project, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestTheAccessToAProjectEndsWithIt(t *testing.T) {
	for name, prove := range map[string]func(*stage){
		"a deletion that was received": func(s *stage) { s.controller.ProjectDeleted(namespace) },
		"the namespace's mark":         func(s *stage) { s.marked = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newOrphan(t)
			s.held = true
			prove(s)
			s.reconcile()
			s.expectRevoked()
			s.kube.ClearActions()
			s.reconcile()
			if actions := s.kube.Actions(); len(actions) > 1 { // the informer's list
				t.Errorf("done again: %v", actions)
			}
		})
	}
}

func TestDecision22AProjectThatIsNotShownIsNotGoneYet(t *testing.T) {
	s := newOrphan(t)
	s.held = true
	s.reconcile()
	s.expectAccess()

	// Not even where nobody objects, or an event said so: the API server is asked.
	s.held = false
	s.addProject()
	s.controller.ProjectDeleted(namespace)
	if again := s.reconcile(); again != session.TransientPause {
		t.Errorf("looks again after %s", again)
	}
	s.expectAccess()
	denied := apierrors.NewServiceUnavailable("the upstream is away")
	s.native.PrependReactor("get", "projects", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, denied })
	if _, err := s.controller.Reconcile(t.Context(), namespace); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("the error is %v", err)
	}
	s.expectAccess()

	// A project that was shown since may vanish without proof.
	s.obstacle = session.Obstacle{}
	s.reconcile()
	s.obstacle, s.held = noProject, true
	s.reconcile()
	s.expectAccess()
}

// The settings, which are shown, must not hide that their project is not.
func TestDecision22APersonReleasesTheAccessToProjectsThatAreAbsent(t *testing.T) {
	s := newOrphan(t)
	held := brake.New(brake.Options{Limits: brake.Limits{Window: time.Minute}, Total: func() int { return 1 }, Now: time.Now})
	s.controller.Brake = held
	for range 2 {
		s.reconcile()
	}
	s.expectAccess()
	set, tripped := held.Held()
	if !tripped || len(set.Names) != 1 || set.Names[0] != namespace {
		t.Fatalf("held back is %v", set.Names)
	}
	held.Approve(set.Hash())
	s.reconcile()
	s.expectRevoked()
	if set, _ := held.Held(); len(set.Names) != 0 {
		t.Errorf("still held back: %v", set.Names)
	}
}

func TestInANamespaceThatEndsNothingIsRevoked(t *testing.T) {
	s := newOrphan(t)
	s.terminating = true
	s.controller.ProjectDeleted(namespace)
	s.reconcile()
	s.obstacle = session.Obstacle{Reason: "NamespaceTerminating", Message: "goes"}
	s.change()
	s.reconcile()
	s.expectAccess()
}
