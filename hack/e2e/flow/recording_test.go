package flow

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

var (
	agenticSessions = schema.GroupVersionResource{Group: "vteam.ambient-code", Version: "v1alpha1", Resource: "agenticsessions"}
	sessions        = schema.GroupVersionResource{Group: "ambient.io", Version: "v1alpha1", Resource: "sessions"}
	projects        = schema.GroupVersionResource{Group: "ambient.io", Version: "v1alpha1", Resource: "projects"}
	settings        = schema.GroupVersionResource{Group: "ambient.io", Version: "v1alpha1", Resource: "projectsettings"}
	namespaces      = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	roleBindings    = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
)

// watched is everything that the reconciler writes.
var watched = []schema.GroupVersionResource{agenticSessions, sessions, projects, settings, namespaces, secrets, roleBindings}

// recording holds every state that the objects of a resource went through since
// it began.
type recording struct {
	what string

	mutex  sync.Mutex
	events []watch.Event
}

// record begins a recording that ends with the test. An empty namespace stands
// for all.
func record(t *testing.T, resource schema.GroupVersionResource, namespace string) *recording {
	t.Helper()
	client := dynamicClient.Resource(resource).Namespace(namespace)
	list, err := client.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatalf("listing %s: %v", resource.Resource, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	watching, err := client.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		cancel()
		t.Fatalf("watching %s: %v", resource.Resource, err)
	}
	r := &recording{what: resource.Resource}
	var reader sync.WaitGroup
	reader.Go(func() {
		for event := range watching.ResultChan() {
			r.mutex.Lock()
			r.events = append(r.events, event)
			r.mutex.Unlock()
		}
		if ctx.Err() == nil {
			t.Errorf("the watch of %s ended", r.what)
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Stop()
		reader.Wait()
	})
	return r
}

// all returns the events so far.
func (r *recording) all() []watch.Event {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return slices.Clone(r.events)
}

// states returns the states of the object with the name, in order, without that
// in which it was deleted.
func (r *recording) states(name string) []*unstructured.Unstructured {
	var states []*unstructured.Unstructured
	for _, event := range r.all() {
		object, ok := event.Object.(*unstructured.Unstructured)
		if ok && object.GetName() == name && event.Type != watch.Deleted {
			states = append(states, object)
		}
	}
	return states
}

// first waits for the first state of the object that matches.
func (r *recording) first(t *testing.T, what, name string, matches func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	harness.Eventually(t, what, func() error {
		for _, state := range r.states(name) {
			if matches(state) {
				found = state
				return nil
			}
		}
		return fmt.Errorf("none of the states of %s %s", r.what, name)
	})
	return found
}

// phases returns the phases that the object with the name went through.
func (r *recording) phases(name string) []string {
	return course(r.states(name), phaseOf)
}

// course returns what a property of an object was, one after the other.
func course(states []*unstructured.Unstructured, property func(*unstructured.Unstructured) string) []string {
	var values []string
	for _, state := range states {
		values = append(values, property(state))
	}
	return slices.Compact(values)
}

// since returns the part of a course that begins with the last occurrence of the
// value.
func since(course []string, value string) []string {
	for i := len(course) - 1; i >= 0; i-- {
		if course[i] == value {
			return course[i:]
		}
	}
	return nil
}

// count counts the occurrences of the value.
func count(course []string, value string) int {
	found := 0
	for _, one := range course {
		if one == value {
			found++
		}
	}
	return found
}

// version is the place of a state among all states of the cluster: etcd numbers
// them all in one row. It does not hold for our own kinds.
func version(t *testing.T, object metav1.Object) int64 {
	t.Helper()
	number, err := strconv.ParseInt(object.GetResourceVersion(), 10, 64)
	if err != nil {
		t.Fatalf("the version of %s: %v", object.GetName(), err)
	}
	return number
}

// text returns a text in an object, "" if there is none.
func text(object *unstructured.Unstructured, path ...string) string {
	value, _, err := unstructured.NestedString(object.Object, path...)
	if err != nil {
		return err.Error()
	}
	return value
}

func phaseOf(object *unstructured.Unstructured) string { return text(object, "status", "phase") }

// desired is the phase that the operator is asked for.
func desired(object *unstructured.Unstructured) string {
	return object.GetAnnotations()["ambient-code.io/desired-phase"]
}

// requests counts how often the operator was asked for the phase: a request that
// is sent again bears another time.
func (r *recording) requests(name, phase string) int {
	at := map[string]string{"Running": "ambient-code.io/start-requested-at", "Stopped": "ambient-code.io/stop-requested-at"}[phase]
	times := map[string]bool{}
	for _, state := range r.states(name) {
		// The operator takes the time off first.
		if time := state.GetAnnotations()[at]; desired(state) == phase && time != "" {
			times[time] = true
		}
	}
	return len(times)
}
