package replicas

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const apiServiceName = "v1alpha1.ambient.io"

// availability remembers what kube-apiserver says of our API.
type availability struct {
	mutex sync.Mutex
	now   string
	// lost are the moments at which it was not available, with the reason.
	lost []outage
}

type outage struct {
	at  time.Time
	why string
}

// watchAvailability follows the condition of the APIService until the test ends.
func watchAvailability(t *testing.T) *availability {
	t.Helper()
	client, err := dynamic.NewForConfig(stand.Stack.Config())
	if err != nil {
		t.Fatal(err)
	}
	services := client.Resource(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	watching, err := services.Watch(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", apiServiceName).String()})
	if err != nil {
		t.Fatal(err)
	}
	a := &availability{}
	var following sync.WaitGroup
	following.Go(func() {
		for event := range watching.ResultChan() {
			if service, is := event.Object.(*unstructured.Unstructured); is {
				a.saw(service)
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		watching.Stop()
		following.Wait()
	})
	return a
}

func (a *availability) saw(service *unstructured.Unstructured) {
	conditions, _, err := unstructured.NestedSlice(service.Object, "status", "conditions")
	if err != nil {
		a.mutex.Lock()
		a.lost = append(a.lost, outage{time.Now(), err.Error()})
		a.mutex.Unlock()
	}
	for _, entry := range conditions {
		condition, is := entry.(map[string]interface{})
		if !is || condition["type"] != "Available" {
			continue
		}
		a.mutex.Lock()
		a.now = fmt.Sprint(condition["status"])
		if a.now != "True" {
			a.lost = append(a.lost, outage{time.Now(), fmt.Sprint(condition["reason"], ": ", condition["message"])})
		}
		a.mutex.Unlock()
	}
}

// await waits until our API is available.
func (a *availability) await(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "the APIService is available", func() error {
		a.mutex.Lock()
		defer a.mutex.Unlock()
		if a.now != "True" {
			return fmt.Errorf("it is %q: %v", a.now, a.lost)
		}
		return nil
	})
}

// since returns the outages after a moment.
func (a *availability) since(moment time.Time) []outage {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	var after []outage
	for _, o := range a.lost {
		if o.at.After(moment) {
			after = append(after, o)
		}
	}
	return after
}
