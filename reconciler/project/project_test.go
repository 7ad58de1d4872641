package project

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

const id = "payments"

// stage is a controller with what surrounds it.
type stage struct {
	t          *testing.T
	kube       *fake.Clientset
	native     *ambientfake.Clientset
	stores     Stores
	gate       *Gate
	leftover   *Leftover
	controller *Controller
	held       bool
}

func (s *stage) Absent(string) (bool, time.Duration) { return !s.held, time.Second }
func (s *stage) Present(string)                      {}

func newStage(t *testing.T, policy Policy, project string, existing ...runtime.Object) *stage {
	native := ambientfake.NewSimpleClientset()
	native.PrependReactor("patch", "projects", func(action clienttesting.Action) (bool, runtime.Object, error) {
		var applied v1alpha1.Project
		if err := json.Unmarshal(action.(clienttesting.PatchAction).GetPatch(), &applied); err != nil {
			return true, nil, err
		}
		resource := v1alpha1.SchemeGroupVersion.WithResource("projects")
		held, err := native.Tracker().Get(resource, "", applied.Name)
		if err != nil {
			return true, nil, err
		}
		updated := held.(*v1alpha1.Project).DeepCopy()
		updated.Status = applied.Status
		return true, updated, native.Tracker().Update(resource, updated, "")
	})
	s := &stage{
		t: t, kube: fake.NewClientset(existing...), native: native,
		stores: Stores{Projects: newStore(), Namespaces: newStore(), Secrets: newStore()},
	}
	resources := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{agenticsession.Resource: "AgenticSessionList"})
	s.gate = NewGate(s.stores, "", "ambient-unassigned", "leases")
	s.leftover = &Leftover{Policy: policy, Projects: native, Resources: resources, Kube: s.kube, Namespaces: s.stores.Namespaces, Brake: s}
	s.controller = New(Options{
		Projects: native, Kube: s.kube, Stores: s.stores, Gate: s.gate, Leftover: s.leftover,
		Reserved: []string{"ambient-unassigned", "leases"}, Events: record.NewFakeRecorder(100),
	})
	s.addProject(project)
	return s
}

func newStore() cache.Store { return cache.NewStore(cache.MetaNamespaceKeyFunc) }

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) addProject(name string) {
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 3}, Status: v1alpha1.ProjectStatus{Phase: "upstream text", UpstreamName: "renamed"}}
	_, err := s.native.AmbientV1alpha1().Projects().Create(context.Background(), project, metav1.CreateOptions{})
	s.check(err)
}

// reconcile lets the informers catch up and makes a pass.
func (s *stage) reconcile(name string) time.Duration {
	s.t.Helper()
	ctx := context.Background()
	projects, err := s.native.AmbientV1alpha1().Projects().List(ctx, metav1.ListOptions{})
	s.check(err)
	s.check(s.stores.Projects.Replace(pointers(projects.Items), ""))
	namespaces, err := s.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	s.check(err)
	s.check(s.stores.Namespaces.Replace(pointers(namespaces.Items), ""))
	secrets, err := s.kube.CoreV1().Secrets("").List(ctx, metav1.ListOptions{})
	s.check(err)
	s.check(s.stores.Secrets.Replace(pointers(secrets.Items), ""))
	again, err := s.controller.Reconcile(ctx, name)
	s.check(err)
	return again
}

func pointers[T any](items []T) []any {
	result := make([]any, 0, len(items))
	for i := range items {
		result = append(result, &items[i])
	}
	return result
}

func (s *stage) namespace(name string) *corev1.Namespace {
	s.t.Helper()
	namespace, err := s.kube.CoreV1().Namespaces().Get(context.Background(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	s.check(err)
	return namespace
}

func (s *stage) expectStatus(name string, status metav1.ConditionStatus, reason string) *v1alpha1.Project {
	s.t.Helper()
	project, err := s.native.AmbientV1alpha1().Projects().Get(context.Background(), name, metav1.GetOptions{})
	s.check(err)
	for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionProjected} {
		condition := meta.FindStatusCondition(project.Status.Conditions, kind)
		if condition == nil || condition.Status != status || condition.Reason != reason {
			s.t.Errorf("condition %s: %+v, want %s, %s", kind, condition, status, reason)
		}
	}
	// kstatus takes a project for failed that is refused for good, and only that.
	refused := reason == ReasonReserved || reason == ReasonNotAdopted
	if stalled := meta.FindStatusCondition(project.Status.Conditions, "Stalled"); (stalled != nil) != refused || refused && (stalled.Status != "True" || stalled.Reason != reason) {
		s.t.Errorf("condition Stalled: %+v", stalled)
	}
	if project.Status.Phase != "upstream text" || project.Status.UpstreamName != "renamed" || project.Status.ObservedGeneration != 3 {
		s.t.Errorf("status %+v lost what the upstream says", project.Status)
	}
	return project
}

func existing(name string, labels, annotations map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: labels, Annotations: annotations}}
}

func TestAProjectGetsItsNamespaceAndItsSecret(t *testing.T) {
	s := newStage(t, Retain, id)
	s.reconcile(id)
	namespace := s.namespace(id)
	if namespace == nil || !labelled(namespace, id) {
		t.Fatalf("namespace %+v", namespace)
	}
	if obstacle := s.gate.Obstacle(id); obstacle.Reason != ReasonNotReady {
		t.Errorf("obstacle %+v before the informers have caught up", obstacle)
	}
	s.reconcile(id)
	secret, err := s.kube.CoreV1().Secrets(id).Get(context.Background(), SecretName, metav1.GetOptions{})
	s.check(err)
	if _, found := secret.Data["ANTHROPIC_API_KEY"]; !found || secret.Labels["app"] != SecretName || secret.Annotations["ambient-code.io/runner-secret"] != "true" {
		t.Errorf("secret %+v", secret)
	}
	if project := s.expectStatus(id, "True", "NamespaceReady"); project.Status.Namespace != id {
		t.Errorf("namespace %q in the status", project.Status.Namespace)
	}
	if obstacle := s.gate.Obstacle(id); obstacle.Reason != "" {
		t.Errorf("obstacle %+v although all is there", obstacle)
	}
}

func TestASecretThatIsThereIsLeftAlone(t *testing.T) {
	mine := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: id, Name: SecretName}, Data: map[string][]byte{"ANTHROPIC_API_KEY": []byte("real")}}
	s := newStage(t, Retain, id, mine)
	// The informer has not seen it.
	s.reconcile(id)
	s.reconcile(id)
	secret, err := s.kube.CoreV1().Secrets(id).Get(context.Background(), SecretName, metav1.GetOptions{})
	s.check(err)
	if string(secret.Data["ANTHROPIC_API_KEY"]) != "real" || len(secret.Labels) != 0 {
		t.Errorf("secret %+v", secret)
	}
}

func TestNamespacesOfOthersAreNotUsed(t *testing.T) {
	for _, test := range []struct {
		name, project string
		existing      *corev1.Namespace
		reason        string
	}{
		{"default", "default", existing("default", nil, nil), ReasonReserved},
		{"a system namespace, adoption or not", "kube-system", existing("kube-system", nil, map[string]string{v1alpha1.AdoptAnnotation: "true"}), ReasonReserved},
		{"an OpenShift namespace", "openshift-monitoring", existing("openshift-monitoring", nil, nil), ReasonReserved},
		{"our own", "ambient-system", existing("ambient-system", nil, nil), ReasonReserved},
		{"the one for sessions without a project", "ambient-unassigned", existing("ambient-unassigned", nil, nil), ReasonReserved},
		{"the leases'", "leases", existing("leases", nil, nil), ReasonReserved},
		{"somebody's", id, existing(id, nil, nil), ReasonNotAdopted},
		{"another control plane's", id, existing(id, map[string]string{agenticsession.ManagedByLabel: "ambient-control-plane", v1alpha1.ProjectIDLabel: id}, nil), ReasonNotAdopted},
		{"another project's", id, existing(id, map[string]string{agenticsession.ManagedByLabel: agenticsession.FieldManager, v1alpha1.ProjectIDLabel: "other"}, nil), ReasonNotAdopted},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, Retain, test.project, test.existing)
			before := s.namespace(test.project)
			s.reconcile(test.project)
			s.expectStatus(test.project, "False", test.reason)
			if after := s.namespace(test.project); after.Labels[agenticsession.ManagedLabel] != before.Labels[agenticsession.ManagedLabel] {
				t.Errorf("labels became %v", after.Labels)
			}
			if obstacle := s.gate.Obstacle(test.project); obstacle.Reason == "" || obstacle.Transient {
				t.Errorf("sessions would be projected into it, now or later: %+v", obstacle)
			}
			secrets, err := s.kube.CoreV1().Secrets(test.project).List(context.Background(), metav1.ListOptions{})
			s.check(err)
			if len(secrets.Items) != 0 {
				t.Error("a secret was made in it")
			}
		})
	}
}

func TestANamespaceIsAdoptedWhenToldTo(t *testing.T) {
	s := newStage(t, Delete, id, existing(id, map[string]string{"theirs": "stays"}, map[string]string{v1alpha1.AdoptAnnotation: "true"}))
	s.reconcile(id)
	s.reconcile(id)
	namespace := s.namespace(id)
	if !labelled(namespace, id) || namespace.Labels["theirs"] != "stays" {
		t.Errorf("labels %v", namespace.Labels)
	}
	s.expectStatus(id, "True", "NamespaceReady")

	// It was lent, and is given back with the mark that the project is gone.
	s.check(s.native.AmbientV1alpha1().Projects().Delete(context.Background(), id, metav1.DeleteOptions{}))
	s.leftover.ProjectDeleted(id)
	s.reconcile(id)
	if namespace = s.namespace(id); namespace == nil || namespace.Annotations[GoneAnnotation] != "true" {
		t.Errorf("namespace %+v", namespace)
	}
}

func TestAProjectThatWasRefusedIsNoLongerStalled(t *testing.T) {
	s := newStage(t, Retain, id, existing(id, nil, nil))
	s.reconcile(id)
	s.expectStatus(id, "False", ReasonNotAdopted)
	namespace := s.namespace(id)
	namespace.Annotations = map[string]string{v1alpha1.AdoptAnnotation: "true"}
	_, err := s.kube.CoreV1().Namespaces().Update(context.Background(), namespace, metav1.UpdateOptions{})
	s.check(err)
	s.reconcile(id)
	s.expectStatus(id, "True", "NamespaceReady")
}

func TestATerminatingNamespaceIsLost(t *testing.T) {
	namespace := existing(id, namespaceLabels(id), nil)
	now := metav1.Now()
	namespace.DeletionTimestamp, namespace.Finalizers = &now, []string{"kubernetes"}
	s := newStage(t, Retain, id, namespace)
	s.reconcile(id)
	s.expectStatus(id, "False", ReasonTerminating)
	if got := s.gate.Obstacle(id).Reason; got != ReasonTerminating || !s.gate.Terminating(id) {
		t.Errorf("obstacle %q", got)
	}
}

func TestWhatBecomesOfTheNamespaceOfADeletedProject(t *testing.T) {
	for _, test := range []struct {
		name        string
		policy      Policy
		proof, held bool
		session     bool
		back        bool
		wantThere   bool
		wantMark    bool
	}{
		{name: "retained and marked", policy: Retain, proof: true, wantThere: true, wantMark: true},
		{name: "deleted if that is the policy", policy: Delete, proof: true},
		{name: "not while a session is left", policy: Delete, proof: true, session: true, wantThere: true, wantMark: true},
		{name: "not on absence that the brake holds back", policy: Delete, held: true, wantThere: true},
		{name: "on absence that the brake lets pass", policy: Delete},
		{name: "a proof does not need the brake", policy: Delete, proof: true, held: true},
		{name: "not if the project is there after all", policy: Delete, proof: true, back: true, wantThere: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := context.Background()
			s := newStage(t, test.policy, id)
			s.reconcile(id)
			s.reconcile(id)
			if test.session {
				_, err := s.native.AmbientV1alpha1().Sessions(id).Create(ctx, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: id, Name: "left"}}, metav1.CreateOptions{})
				s.check(err)
			}
			s.held = test.held
			if test.proof {
				s.leftover.ProjectDeleted(id)
			}
			if test.back {
				// The informer says that it is gone, the API server that it isn't.
				s.check(s.stores.Projects.Replace(nil, ""))
				_, err := s.controller.Reconcile(ctx, id)
				s.check(err)
			} else {
				s.check(s.native.AmbientV1alpha1().Projects().Delete(ctx, id, metav1.DeleteOptions{}))
				s.reconcile(id)
			}
			namespace := s.namespace(id)
			if (namespace != nil) != test.wantThere {
				t.Fatalf("namespace is there: %t, want %t", namespace != nil, test.wantThere)
			}
			if namespace != nil && (namespace.Annotations[GoneAnnotation] == "true") != test.wantMark {
				t.Errorf("annotations %v", namespace.Annotations)
			}
		})
	}
}

// Nobody is to wait for a namespace that is never made.
func TestSessionsOfAReservedProjectAreHeldBackWithoutANamespace(t *testing.T) {
	s := newStage(t, Retain, "kube-something")
	s.reconcile("kube-something")
	if got := s.gate.Obstacle("kube-something"); got.Reason != ReasonReserved || got.Transient {
		t.Errorf("the obstacle is %+v", got)
	}
}

func TestSessionsWithoutAProjectAreHeldBack(t *testing.T) {
	s := newStage(t, Retain, id)
	for _, namespace := range []string{"ambient-unassigned", "nobody-knows"} {
		if got := s.gate.Obstacle(namespace).Reason; got != ReasonNoProject {
			t.Errorf("obstacle in %s: %q", namespace, got)
		}
	}
}

// A session is made after its project, and may be seen before it.
func TestAProjectThatIsNotThereMayBeOnItsWay(t *testing.T) {
	s := newStage(t, Retain, id)
	if obstacle := s.gate.Obstacle("on-its-way"); obstacle.Reason != ReasonNoProject || !obstacle.Transient {
		t.Errorf("obstacle %+v", obstacle)
	}
}

func TestAtRestNothingIsWritten(t *testing.T) {
	s := newStage(t, Retain, id)
	s.reconcile(id)
	s.reconcile(id)
	s.reconcile(id)
	s.kube.ClearActions()
	s.native.ClearActions()
	s.reconcile(id)
	for _, action := range append(s.kube.Actions(), s.native.Actions()...) {
		if verb := action.GetVerb(); verb != "list" && verb != "get" {
			t.Errorf("%s %s at rest", verb, action.GetResource().Resource)
		}
	}
}

func TestOnlyTheMarkOnANamespaceOfOursCounts(t *testing.T) {
	mark := map[string]string{GoneAnnotation: "true"}
	for name, test := range map[string]struct {
		namespace *corev1.Namespace
		marked    bool
	}{
		"a marked one":            {existing(id, namespaceLabels(id), mark), true},
		"one without a mark":      {existing(id, namespaceLabels(id), nil), false},
		"a marked one of others":  {existing(id, nil, mark), false},
		"one of another project":  {existing(id, namespaceLabels("other"), mark), false},
		"one that is not the one": {existing("other", namespaceLabels(id), mark), false},
	} {
		s := newStage(t, Retain, id)
		s.check(s.stores.Namespaces.Add(test.namespace))
		if got := s.gate.Marked(id); got != test.marked {
			t.Errorf("%s counts as marked: %t", name, got)
		}
	}
}
