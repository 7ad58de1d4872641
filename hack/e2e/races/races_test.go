// Package races proves promise 3 (no lost intent) with writers on both sides of
// an upstream that saves whole rows and so loses one of two concurrent writes.
package races

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var stand *harness.Stand

func TestMain(m *testing.M) {
	without := []string{stack.OperatorName, stack.ReconcilerName, controlplane.ControllerManagerName}
	os.Exit(harness.Main(m, harness.Options{Stack: stack.Options{Without: without}}, func(s *harness.Stand) { stand = s }))
}

const (
	// pairs is how many sessions are written from both sides at once.
	pairs = 300
	// few deletions may all be repaired: no more than ten are in a minute.
	few = 10
	// atOnce is how many sessions are written at a time.
	atOnce = 16
	// settled is within what time after the last write our fields must stand.
	settled = 20 * time.Second
	// slowStatus makes status writes slow enough that a deletion comes between; with
	// slowerStatus even where there are few, on a machine that is busy.
	slowStatus   = `{"statusWindow":"500ms"}`
	slowerStatus = `{"statusWindow":"2s"}`
	// windows make the upstream lose as the real one does: other writes that
	// happen between its reading and saving of a row are gone.
	windows = `{"updateWindow":"20ms","statusWindow":"20ms"}`
)

// makeSessions creates sessions through our API and returns their upstream ids.
func makeSessions(t *testing.T, project string, count int) []string {
	t.Helper()
	ids := make([]string, count)
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range ids {
		group.Go(func() error {
			ids[i] = stand.NewSession(t, project, sessionName(i)).Status.SessionID
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func sessionName(i int) string { return fmt.Sprintf("s-%d", i) }

// inPairs runs ours and theirs at the same time for each session, some sessions
// at a time.
func inPairs(t *testing.T, ids []string, ours, theirs func(i int, id string) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, id := range ids {
		group.Go(func() error {
			var both errgroup.Group
			both.Go(func() error { return ours(i, id) })
			both.Go(func() error { return theirs(i, id) })
			return both.Wait()
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func setPhase(t *testing.T, phase string) func(int, string) error {
	return func(_ int, id string) error {
		_, err := stand.Upstream.Sessions.UpdateSessionStatus(t.Context(), &ambientv1.UpdateSessionStatusRequest{Id: id, Phase: proto.String(phase)})
		return err
	}
}

// Decision 7: one side writes through our API, the other directly at the upstream.
// None of our acknowledged fields may be lost; what the other side loses is
// counted and printed.
func TestDecision7NoAcknowledgedFieldIsLost(t *testing.T) {
	project := stand.NewProject(t)
	ids := makeSessions(t, project, pairs)
	stand.Upstream.Fault(t, windows)
	written, lost := 0, 0
	again := untilOneIsUndone(t, func(number int) {
		lost += writeSessionsTogether(t, project, ids, fmt.Sprintf("written in round %d: ", number), []string{"Running", "Completed"}[number%2])
		written += pairs
	})
	t.Logf("of %d pairs: 0 of our writes lost, %d of them made again, %d of the other side's lost", written, again, lost)
}

// writeSessionsTogether writes prompts through our API and phases at the upstream,
// waits until all prompts stand there, and returns how many phases do not.
func writeSessionsTogether(t *testing.T, project string, ids []string, beginning, phase string) (lost int) {
	t.Helper()
	prompt := func(i int) string { return fmt.Sprint(beginning, i) }
	inPairs(t, ids, func(i int, _ string) error {
		patch := fmt.Appendf(nil, `{"spec":{"prompt":%q}}`, prompt(i))
		_, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Patch(t.Context(), sessionName(i), types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}, sometime(t, func(id string) error { return setPhase(t, phase)(0, id) }))
	harness.Within(t, settled, "all of our prompts stand upstream", func() error {
		rows := stand.Upstream.SessionsIn(t, project)
		gone := 0
		lost = 0
		for _, row := range rows {
			var i int
			if _, err := fmt.Sscanf(row.GetName(), "s-%d", &i); err != nil || row.GetPrompt() != prompt(i) {
				gone++
			}
			if row.GetPhase() != phase {
				lost++
			}
		}
		if gone > 0 || len(rows) != len(ids) {
			return fmt.Errorf("%d of %d prompts are lost", gone, len(rows))
		}
		return nil
	})
	return lost
}

// raceDeletions deletes the sessions through our API while their status is written
// at the upstream, and returns how often our server asked for a deletion.
func raceDeletions(t *testing.T, project string, ids []string, window string) (asked func() int64) {
	t.Helper()
	stand.Upstream.Fault(t, window)
	before := deletions(t)
	inPairs(t, ids, func(i int, _ string) error {
		return stand.Ambient.AmbientV1alpha1().Sessions(project).Delete(t.Context(), sessionName(i), metav1.DeleteOptions{})
	}, func(i int, id string) error {
		err := setPhase(t, "Running")(i, id)
		if status.Code(err) == codes.NotFound {
			// The deletion was quicker.
			return nil
		}
		return err
	})
	return func() int64 { return deletions(t) - before }
}

// Decision 6: deletions through our API race status writes at the upstream, which
// revive rows. In the end none may be alive.
func TestDecision6DeletedSessionsStayDeleted(t *testing.T) {
	project := stand.NewProject(t)
	ids := makeSessions(t, project, few)
	asked := raceDeletions(t, project, ids, slowerStatus)
	harness.Within(t, settled, "no deleted row is alive", func() error {
		if rows := stand.Upstream.SessionsIn(t, project); len(rows) > 0 {
			return fmt.Errorf("%d are alive", len(rows))
		}
		return nil
	})
	again := asked() - few
	if again == 0 {
		t.Error("no row was revived and deleted again: the test proves nothing")
	}
	t.Logf("of %d deletions, %d were undone and made again", few, again)
}

// Decision 6 allows ten repairs a minute. What is revived beyond that is left alone,
// and each such session says so in a Warning.
func TestDecision6BeyondTenAMinuteAWarningIsLeft(t *testing.T) {
	project := stand.NewProject(t)
	// Events need a namespace.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Annotations: map[string]string{v1alpha1.AdoptAnnotation: "true"}}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ids := makeSessions(t, project, pairs)
	left := repairs(t, backend.RepairLeft)
	asked := raceDeletions(t, project, ids, slowStatus)
	var alive []*ambientv1.Session
	harness.Eventually(t, "each deleted session that is alive has a Warning", func() error {
		events, err := stand.Kubernetes.CoreV1().Events(project).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=DeletedAndBack,type=Warning"})
		if err != nil {
			return err
		}
		warned := map[string]bool{}
		for _, event := range events.Items {
			warned[event.InvolvedObject.Name] = true
		}
		silent := 0
		alive = stand.Upstream.SessionsIn(t, project)
		for _, row := range alive {
			if !warned[row.GetName()] {
				silent++
			}
		}
		if silent > 0 {
			return fmt.Errorf("%d of %d have none", silent, len(alive))
		}
		return nil
	})
	again := asked() - pairs
	if again > few {
		t.Errorf("%d deletions were repaired in a minute, want %d at most", again, few)
	}
	if counted := repairs(t, backend.RepairLeft) - left; counted != len(alive) {
		t.Errorf("the metric counts %d that were left alone, %d are alive", counted, len(alive))
	}
	if len(alive) == 0 {
		t.Error("nothing was left alone: the test proves nothing")
	}
	t.Logf("of %d deletions, %d were undone and made again, %d were undone and left with a Warning", pairs, again, len(alive))
}

// deletions is how many sessions the upstream was asked to delete so far.
func deletions(t *testing.T) int64 {
	t.Helper()
	return stand.Upstream.Calls(t)["DeleteSession"]
}
