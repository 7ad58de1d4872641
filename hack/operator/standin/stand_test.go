package standin

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

const (
	testNamespace = "alpha"
	patience      = 30 * time.Second
)

// stand is an operator that runs on a fake cluster.
type stand struct {
	*testing.T
	client *fake.FakeDynamicClient
}

func newStand(t *testing.T, options Options, objects ...runtime.Object) *stand {
	t.Helper()
	return startStand(t, options, newFake(objects...))
}

// startStand runs the operator on a client that is whole by now: reactors must not be
// added under its hands.
func startStand(t *testing.T, options Options, client *fake.FakeDynamicClient) *stand {
	t.Helper()
	before := goleak.IgnoreCurrent()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, client, options) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the operator ended with %v", err)
		}
		goleak.VerifyNone(t, before)
	})
	return &stand{T: t, client: client}
}

func fastOptions() Options {
	options := DefaultOptions()
	options.Timing = Timing{Step: time.Millisecond, Run: time.Millisecond}
	options.RetryLimit = 50 * time.Millisecond
	return options
}

func namespaceObject(labels map[string]string) *unstructured.Unstructured {
	object := newObject("v1", "Namespace", "", testNamespace)
	object.SetLabels(labels)
	return object
}

func managedNamespace() *unstructured.Unstructured {
	return namespaceObject(map[string]string{ManagedLabel: "true"})
}

func secretObject() *unstructured.Unstructured {
	return newObject("v1", "Secret", testNamespace, RunnerSecretName)
}

func sessionObject(name string, spec map[string]any) *unstructured.Unstructured {
	object := newObject(AgenticSessions.GroupVersion().String(), "AgenticSession", testNamespace, name)
	object.SetUID(types.UID("uid-of-" + name))
	object.SetGeneration(1)
	object.Object["spec"] = spec
	return object
}

func scriptObject(outcome Outcome) *unstructured.Unstructured {
	object := newObject("v1", "ConfigMap", testNamespace, ScriptName)
	object.Object["data"] = map[string]any{scriptDefault: string(outcome)}
	return object
}

func (s *stand) create(resource schema.GroupVersionResource, object *unstructured.Unstructured) {
	s.Helper()
	if _, err := s.client.Resource(resource).Namespace(object.GetNamespace()).Create(s.Context(), object, metav1.CreateOptions{}); err != nil {
		s.Fatalf("creating %s: %v", object.GetName(), err)
	}
}

func (s *stand) update(resource schema.GroupVersionResource, object *unstructured.Unstructured) {
	s.Helper()
	if _, err := s.client.Resource(resource).Namespace(object.GetNamespace()).Update(s.Context(), object, metav1.UpdateOptions{}); err != nil {
		s.Fatalf("updating %s: %v", object.GetName(), err)
	}
}

func (s *stand) get(name string) (*unstructured.Unstructured, Session) {
	s.Helper()
	object, err := s.client.Resource(AgenticSessions).Namespace(testNamespace).Get(s.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.Fatalf("reading session %s: %v", name, err)
	}
	session, err := readSession(object)
	if err != nil {
		s.Fatal(err)
	}
	return object, session
}

// await waits until the session fulfils the condition.
func (s *stand) await(name, what string, condition func(Session) bool) Session {
	s.Helper()
	var last Session
	eventually(s.T, what, func() bool {
		_, last = s.get(name)
		return condition(last)
	}, func() any { return last })
	return last
}

func (s *stand) awaitPhase(name string, phase Phase) Session {
	s.Helper()
	return s.await(name, "phase "+string(phase), func(session Session) bool { return session.Status.Phase == phase })
}

func eventually(t *testing.T, what string, condition func() bool, describe func() any) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s; last seen %+v", patience, what, describe())
		case <-tick.C:
		}
	}
}

func (s *stand) launches(name string) Launches {
	s.Helper()
	all, err := ReadLaunches(s.Context(), s.client, testNamespace)
	if err != nil {
		s.Fatal(err)
	}
	return all[types.UID("uid-of-"+name)]
}

func newFake(objects ...runtime.Object) *fake.FakeDynamicClient {
	return fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		AgenticSessions: "AgenticSessionList",
		ProjectSettings: "ProjectSettingsList",
		namespaces:      "NamespaceList",
		secrets:         "SecretList",
		configMaps:      "ConfigMapList",
	}, objects...)
}

// awaitGate waits until the operator has asked whether the namespace of the
// session is managed, after having read the session.
func (s *stand) awaitGate(name string) {
	s.Helper()
	eventually(s.T, "a pass over "+name, func() bool {
		read := false
		for _, action := range s.client.Actions() {
			get, ok := action.(clienttesting.GetAction)
			if !ok {
				continue
			}
			if get.GetResource() == AgenticSessions && get.GetName() == name {
				read = true
			}
			if read && get.GetResource() == namespaces {
				return true
			}
		}
		return false
	}, func() any { return s.client.Actions() })
}

func (s *stand) awaitProjectSettings() {
	s.Helper()
	eventually(s.T, "ProjectSettings", func() bool {
		settings, err := s.client.Resource(ProjectSettings).Namespace(testNamespace).Get(s.Context(), "projectsettings", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false
		}
		if err != nil {
			s.Fatal(err)
		}
		access, found, err := unstructured.NestedSlice(settings.Object, "spec", "groupAccess")
		if err != nil || !found || len(access) != 0 {
			s.Fatalf("groupAccess is %v, %v, %v, want empty", access, found, err)
		}
		return true
	}, func() any { return nil })
}
