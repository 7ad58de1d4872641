package phases

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/phases/table"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var sessions = schema.GroupVersionResource{Group: "ambient.io", Version: "v1alpha1", Resource: "sessions"}

// calm is how long nothing must be written until all counts as said. It is longer
// than changes are gathered for before they are reported.
const calm = 2 * time.Second

// writes counts the writes of the objects of a resource, and keeps their newest
// states.
type writes struct {
	mutex  sync.Mutex
	counts map[string]int
	newest map[string]*unstructured.Unstructured
	last   time.Time
}

// count begins to count writes; it ends with the test.
func count(t *testing.T, resource schema.GroupVersionResource, namespace string) *writes {
	t.Helper()
	client := dynamicClient.Resource(resource).Namespace(namespace)
	list, err := client.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := &writes{counts: map[string]int{}, newest: map[string]*unstructured.Unstructured{}}
	for i := range list.Items {
		w.newest[list.Items[i].GetName()] = &list.Items[i]
	}
	ctx, cancel := context.WithCancel(context.Background())
	watching, err := client.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		for event := range watching.ResultChan() {
			w.add(event)
		}
		if ctx.Err() == nil {
			t.Errorf("the watch of %s ended", resource.Resource)
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Stop()
		reader.Wait()
	})
	return w
}

func (w *writes) add(event watch.Event) {
	object, ok := event.Object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.last = time.Now()
	w.counts[object.GetName()]++
	w.newest[object.GetName()] = object
	if event.Type == watch.Deleted {
		delete(w.newest, object.GetName())
	}
}

func (w *writes) of(name string) (*unstructured.Unstructured, int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.newest[name], w.counts[name]
}

func (w *writes) sinceLast() time.Duration {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return time.Since(w.last)
}

func TestWhatBecomesOfEveryPair(t *testing.T) {
	var err error
	if phases, err = table.Read(); err != nil {
		t.Fatal(err)
	}
	config := stand.Stack.Config()
	if dynamicClient, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	config.Impersonate.UserName = stack.UserName(stack.ReconcilerName)
	if reconcilerClient, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	project, subjects := place(t)
	awaitShown(t, project, subjects)
	upstream, resources := count(t, sessions, project), count(t, agenticSessions, project)
	before := stand.Upstream.Calls(t)

	// The second life of the reconciler finds nothing left to do. A session that is
	// new in each life shows that passes are made.
	const lives = 2
	for life := range lives {
		witness := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: fmt.Sprintf("witness of life %d", life), ProjectId: &project})
		if err := stand.Stack.Reconciler.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "passes are made", func() error {
			if stand.Upstream.Session(t, witness.GetMetadata().GetId()).GetKubeCrUid() == "" {
				return errors.New("the new session has no AgenticSession")
			}
			return nil
		})
		harness.Eventually(t, "all is said", func() error {
			var failures []error
			for _, s := range subjects {
				failures = append(failures, compare(s, upstream, resources))
			}
			if quiet := min(upstream.sinceLast(), resources.sinceLast()); quiet < calm {
				failures = append(failures, fmt.Errorf("it is quiet since %s", quiet))
			}
			return errors.Join(failures...)
		})
		if _, err := stand.Stack.Reconciler.Terminate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	// A write that changes nothing is seen by nobody but the upstream.
	want := lives
	for _, s := range subjects {
		want += s.Then.StatusWrites
		checkRow(t, s)
	}
	after := stand.Upstream.Calls(t)
	if got := after["UpdateSessionStatus"] - before["UpdateSessionStatus"]; got != int64(want) {
		t.Errorf("the upstream got %d status writes, want %d", got, want)
	}
	for _, method := range []string{"UpdateSession", "DeleteSession"} {
		if got := after[method] - before[method]; got != 0 {
			t.Errorf("the upstream got %d calls of %s", got, method)
		}
	}
}

// awaitShown waits until our API server shows what was placed upstream.
func awaitShown(t *testing.T, project string, subjects []*subject) {
	t.Helper()
	harness.Eventually(t, "our API shows the states", func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing sessions: %w", err)
		}
		shown := map[string]string{}
		for i := range list.Items {
			shown[list.Items[i].Name] = string(list.Items[i].Status.Phase)
		}
		for _, s := range subjects {
			if phase, found := shown[s.name()]; !found || phase != s.Upstream {
				return fmt.Errorf("%s is shown as %q", s, phase)
			}
		}
		return nil
	})
}

// compare returns how the subject differs from what is expected of it.
func compare(s *subject, upstream, resources *writes) error {
	var got table.Outcome
	var session, resource *unstructured.Unstructured
	session, got.StatusWrites = upstream.of(s.name())
	resource, got.ResourceWrites = resources.of(s.name())
	if session == nil {
		return fmt.Errorf("%s: there is no session", s)
	}
	got.Upstream, got.Resource = phaseOf(session), table.None
	if resource != nil {
		annotations := resource.GetAnnotations()
		got.Resource = cmp.Or(phaseOf(resource), table.New)
		got.Desired = annotations["ambient-code.io/desired-phase"]
		got.Handled = phaseIn(annotations["ambient.io/handled-request"])
		got.Reported = phaseIn(annotations["ambient.io/reported"])
	}
	if got != s.Then {
		return fmt.Errorf("%s:\n  got  %+v,\n  want %+v: %s", s, got, s.Then, phases.Reasons[s.Because])
	}
	return nil
}

// checkRow compares with the row itself.
func checkRow(t *testing.T, s *subject) {
	t.Helper()
	if phase := stand.Upstream.Session(t, s.id).GetPhase(); phase != s.Then.Upstream {
		t.Errorf("%s: the row says %q", s, phase)
	}
}

func phaseOf(object *unstructured.Unstructured) string {
	phase, _, err := unstructured.NestedString(object.Object, "status", "phase")
	if err != nil {
		return err.Error()
	}
	return phase
}

// phaseIn returns the phase in a JSON text, "" if there is no text.
func phaseIn(text string) string {
	if text == "" {
		return ""
	}
	var content state
	if err := json.Unmarshal([]byte(text), &content); err != nil {
		return err.Error()
	}
	return content.Phase
}
