package reconciler

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/reconciler/brake"
)

// heldBack is a guard with one kind, of which one object is without its source.
type heldBack struct {
	*guard
	t      *testing.T
	kube   *fake.Clientset
	events *record.FakeRecorder
	brake  *brake.Brake
	// refusals is how many of the next patches of the Lease are refused.
	refusals int
}

// newHeldBack returns a guard whose Lease bears the annotations. It runs in a bubble of
// package synctest.
func newHeldBack(t *testing.T, annotations map[string]string) *heldBack {
	t.Helper()
	h := &heldBack{t: t, events: record.NewFakeRecorder(10)}
	h.kube = fake.NewClientset(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "l", ResourceVersion: "7", Annotations: annotations}})
	h.kube.PrependReactor("patch", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		h.refusals--
		return h.refusals >= 0, nil, errors.New("not now")
	})
	h.guard = newGuard(h.kube, "n", "l", prometheus.NewRegistry())
	h.guard.events = h.events
	h.brake = h.guard.brake("things", brake.Limits{Window: time.Minute, Most: 1, Least: 2}, func() int { return 100 })
	return h
}

// absent says that an object's source is absent, until that is judged, and returns
// whether it may be removed.
func (h *heldBack) absent(name string) bool {
	h.brake.Absent(name)
	time.Sleep(time.Minute)
	allowed, _ := h.brake.Absent(name)
	return allowed
}

// step makes steps that are to end well.
func (h *heldBack) step(times int) {
	h.t.Helper()
	for range times {
		if err := h.guard.step(h.t.Context(), true); err != nil {
			h.t.Fatal(err)
		}
	}
}

// fails makes a step whose write is refused.
func (h *heldBack) fails() {
	h.t.Helper()
	h.refusals = 1
	if err := h.guard.step(h.t.Context(), true); err == nil || !strings.Contains(err.Error(), "not now") {
		h.t.Fatalf("a step whose write is refused ends with %v", err)
	}
}

func (h *heldBack) annotations() map[string]string {
	h.t.Helper()
	lease, err := h.kube.CoordinationV1().Leases("n").Get(h.t.Context(), "l", metav1.GetOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	return lease.Annotations
}

// A mark that stayed would trip the brake after the next restart, for nothing.
func TestTheMarkOfABrakeThatLetGoIsTakenOffInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldBack(t, map[string]string{heldAnnotation + "things": "0123 55"})
		if err := h.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.step(1)
		if _, tripped := h.brake.Held(); tripped {
			t.Error("nothing is absent, and the brake does not let go")
		}
		h.fails()
		h.step(1)
		if left := h.annotations(); len(left) != 0 {
			t.Errorf("annotations %v stay", left)
		}
		if !h.absent("a") {
			t.Error("a single absence is held back")
		}
	})
}
