package reconciler

import (
	"errors"
	"maps"
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

func (h *heldBack) allow(word string) {
	h.t.Helper()
	if _, err := h.annotate(h.t.Context(), map[string]*string{allowAnnotation: &word}, ""); err != nil {
		h.t.Fatal(err)
	}
}

// thing is the set that the tests hold back.
var thing = brake.Set{Names: []string{"a"}}

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

// The same set may be held back another time, and nobody has been asked then.
func TestDecision22TheWordOfAPersonCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldBack(t, nil)
		h.brake.Trip()
		if h.absent("a") {
			t.Fatal("the brake is tripped, and the object may be removed")
		}
		h.step(1)
		h.allow(thing.Hash())
		h.fails()
		if h.absent("a") {
			t.Error("the object may be removed although the word could not be taken off")
		}
		h.step(1)
		if !h.absent("a") {
			t.Error("the object may not be removed although it was allowed")
		}
		if word, stands := h.annotations()[allowAnnotation]; stands {
			t.Errorf("the word %s stays", word)
		}

		h.brake.Present("a")
		h.brake.Trip()
		h.absent("a")
		h.step(3)
		if h.absent("a") {
			t.Error("the object may be removed a second time, and nobody was asked")
		}
	})
}

// It was said of what is gone, and nobody had been shown what is held back now.
func TestDecision22AnOldWordLetsNothingGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldBack(t, map[string]string{allowAnnotation: thing.Hash()})
		h.brake.Trip()
		h.absent("a")
		h.step(3)
		if h.absent("a") {
			t.Error("the object may be removed, and nobody was asked")
		}
		if left, want := h.annotations(), map[string]string{heldAnnotation + "things": mark(thing)}; !maps.Equal(left, want) {
			t.Errorf("the annotations are %v, want %v", left, want)
		}
		h.allow("another, " + thing.Hash())
		h.step(2)
		if !h.absent("a") {
			t.Error("the object may not be removed although it was allowed")
		}
		if left := h.annotations(); len(left) != 0 {
			t.Errorf("annotations %v stay", left)
		}
	})
}

// What a person said of what the Lease shows counts, too, if nobody was there to hear it.
func TestDecision22AWordIsHeardAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldBack(t, map[string]string{allowAnnotation: thing.Hash(), heldAnnotation + "things": mark(thing)})
		if err := h.restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.absent("a")
		h.step(1)
		if !h.absent("a") {
			t.Error("the object may not be removed although it was allowed")
		}
	})
}

// What a person writes meanwhile is not taken off unread.
func TestAWordIsTakenOffAsItWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeldBack(t, map[string]string{allowAnnotation: "old"})
		h.brake.Trip()
		h.absent("a")
		h.step(1)
		h.allow(thing.Hash())
		h.step(1)
		taken := 0
		for _, action := range h.kube.Actions() {
			patch, isPatch := action.(clienttesting.PatchAction)
			if !isPatch || !strings.Contains(string(patch.GetPatch()), `"`+allowAnnotation+`":null`) {
				continue
			}
			taken++
			if !strings.Contains(string(patch.GetPatch()), `"resourceVersion":"7"`) {
				t.Errorf("the patch is %s", patch.GetPatch())
			}
		}
		if taken != 2 {
			t.Errorf("%d words were taken off, want the old one and the one that counted", taken)
		}
	})
}
