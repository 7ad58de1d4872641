package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
	"github.com/ambient-code/ambient-kube/reconciler"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/status"
)

// plain is the namespace of the AgenticSessions that no reconciler is asked for.
const plain = "bench-plain"

// tally waits for the time when so many objects were seen in a phase.
type tally struct {
	mutex sync.Mutex
	seen  map[string]bool
	last  time.Time
	want  int
	done  chan struct{}
}

func newTally(want int) *tally {
	return &tally{seen: map[string]bool{}, want: want, done: make(chan struct{})}
}

func (t *tally) add(name string, at time.Time) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.seen[name] || len(t.seen) == t.want {
		return
	}
	t.seen[name], t.last = true, at
	if len(t.seen) == t.want {
		close(t.done)
	}
}

// wait returns when the last object came.
func (t *tally) wait(b *testing.B, what string) time.Time {
	b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-t.done:
	case <-deadline.C:
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if len(t.seen) != t.want {
		b.Fatalf("%s: %d of %d after %s", what, len(t.seen), t.want, patience)
	}
	return t.last
}

// watchPhase tells the tally of each object that is in the phase; any will do if
// there is none given.
func watchPhase(b *testing.B, stand *harness.Stand, path string, phase v1alpha1.SessionPhase, t *tally) *audience {
	b.Helper()
	return watch(b, stand, path, 1, func(_ int, at time.Time, text []byte) {
		var event struct {
			Object struct {
				Metadata struct{ Name string }
				Status   struct{ Phase v1alpha1.SessionPhase }
			}
		}
		if err := json.Unmarshal(text, &event); err == nil && (phase == "" || event.Object.Status.Phase == phase) {
			t.add(event.Object.Metadata.Name, at)
		}
	})
}

// BenchmarkReconcile has 1,000 new sessions projected, and then 1,000 changes of
// AgenticSessions carried back, each beside a loop that makes the same writes with
// the same number of workers.
func BenchmarkReconcile(b *testing.B) {
	n := size(b, "AMBIENT_BENCH_BURST", 1000)
	workers := reconciler.NewOptions().Workers
	stand := start(b, stack.Options{Audit: true})
	newProject(b, stand, project)
	if err := stand.Stack.StartReconciler(b.Context()); err != nil {
		b.Fatal(err)
	}
	harness.Within(b, patience, "the namespace is there", func() error {
		_, err := stand.Kubernetes.CoreV1().Namespaces().Get(b.Context(), project, metav1.GetOptions{})
		return err
	})
	// One session goes all the way first, so that everything is warm.
	warm := newTally(1)
	warming := watchPhase(b, stand, resourcesPath, "", warm)
	fill(b, stand, project, 1, "")
	warm.wait(b, "the first AgenticSession")
	warming.close()

	b.ReportMetric(0, "ns/op")
	profiled(b, stand, "burst", 15, func() { burst(b, stand, n, workers) })
	profiled(b, stand, "changed", 10, func() { changed(b, stand, n, workers) })
}

// burst measures new sessions until the last AgenticSession.
func burst(b *testing.B, stand *harness.Stand, n, workers int) {
	there := newTally(n)
	watching := watchPhase(b, stand, resourcesPath, "", there)
	before, begun := count(b, stand), time.Now()
	fill(b, stand, project, n, "")
	filled := time.Since(begun)
	ours := there.wait(b, "AgenticSessions").Sub(begun)
	watching.close()
	items := recorded(b, stand)
	known := time.Since(begun)
	spent := calm(b, stand).less(before)

	newNamespace(b, stand, plain, false)
	client := dynamicClient(b, stand).Resource(agenticsession.Resource).Namespace(plain)
	begun = time.Now()
	each(b, n, workers, func(ctx context.Context, i int) error {
		object := agenticsession.Build(&items[i], agenticsession.Name(items[i].Status.SessionID)).Object
		object.SetNamespace(plain)
		if _, err := client.Apply(ctx, object.GetName(), object, applied); err != nil {
			return fmt.Errorf("applying an AgenticSession: %w", err)
		}
		return nil
	})
	theirs := time.Since(begun)
	ratio := float64(ours) / float64(theirs)
	b.ReportMetric(ours.Seconds(), "burst-s")
	b.ReportMetric(filled.Seconds(), "burst-creates-s")
	b.ReportMetric(theirs.Seconds(), "burst-loop-s")
	b.ReportMetric(ratio, "burst-ratio")
	row(b, fmt.Sprintf("(12) burst of %d sessions until the last CR", n), "≤ 1.3 × a loop of the same applies",
		fmt.Sprintf("%.2f (%s, of which the creates upstream took %s; loop %s; %d workers)", ratio, text(ours), text(filled), text(theirs), workers), ratio <= 1.3)
	row(b, "(12) beside it: until the last one is recorded on its Session", "", text(known), true)
	row(b, "(12) calls of the upstream for each new session", "", perObject(spent.calls, n), true)
	row(b, "(12) the reconciler's requests for each new session", "", eachOf(spent.reconciler, n), true)
	row(b, "(12) our API server's own requests for each new session", "", eachOf(spent.server, n), true)
}

// recorded waits until every Session names its AgenticSession.
func recorded(b *testing.B, stand *harness.Stand) (sessions []v1alpha1.Session) {
	b.Helper()
	harness.Within(b, patience, "all AgenticSessions are recorded", func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(b.Context(), metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing sessions: %w", err)
		}
		for i := range list.Items {
			if named := list.Items[i].Status.AgenticSession; named == nil || named.UID == "" {
				return fmt.Errorf("session %s names none", list.Items[i].Name)
			}
		}
		sessions = list.Items
		return nil
	})
	return sessions
}

// calm waits until nothing is asked any more: what comes next is measured by itself.
func calm(b *testing.B, stand *harness.Stand) counts {
	b.Helper()
	const quiet = time.Second
	last, since := count(b, stand), time.Now()
	harness.Within(b, patience, "nothing is asked any more", func() error {
		if now := count(b, stand); !now.sameWrites(last) {
			last, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return errors.New("something was asked a moment ago")
		}
		return nil
	})
	return last
}

// changed measures changes of AgenticSessions until the last Session shows its
// phase.
func changed(b *testing.B, stand *harness.Stand, n, workers int) {
	client := dynamicClient(b, stand).Resource(agenticsession.Resource).Namespace(project)
	resources, err := client.List(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatalf("listing AgenticSessions: %v", err)
	}
	there := newTally(n)
	watching := watchPhase(b, stand, sessionsPath, v1alpha1.SessionRunning, there)
	before, begun := count(b, stand), time.Now()
	each(b, n, workers, func(ctx context.Context, i int) error {
		return reportPhase(ctx, client, resources.Items[i].GetName(), v1alpha1.SessionRunning)
	})
	written := time.Since(begun)
	ours := there.wait(b, "Sessions that run").Sub(begun)
	watching.close()
	spent := calm(b, stand).less(before)

	// The loop writes what the reconciler would, which must not come between.
	stop(b, stand.Stack.Reconciler)
	list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(b.Context(), metav1.ListOptions{})
	if err != nil {
		b.Fatalf("listing sessions: %v", err)
	}
	begun = time.Now()
	each(b, n, workers, func(ctx context.Context, i int) error { return complete(ctx, stand, &list.Items[i]) })
	theirs := time.Since(begun)
	ratio := float64(ours) / float64(theirs)
	b.ReportMetric(ours.Seconds(), "status-s")
	b.ReportMetric(written.Seconds(), "status-writes-s")
	b.ReportMetric(theirs.Seconds(), "status-loop-s")
	b.ReportMetric(ratio, "status-ratio")
	row(b, fmt.Sprintf("(12) %d CR status changes until the last Session shows its phase", n), "≤ 1.5 × a loop of applies on sessions/status",
		fmt.Sprintf("%.2f (%s, of which the changes themselves took %s; loop %s; %d workers)", ratio, text(ours), text(written), text(theirs), workers), ratio <= 1.5)
	row(b, "(12) calls of the upstream for each change of phase", "1 GetSession, 1 UpdateSessionStatus", perObject(spent.calls, n),
		spent.calls["GetSession"] == int64(n) && spent.calls["UpdateSessionStatus"] == int64(n))
	row(b, "(12) the reconciler's requests for each change of phase", "1 apply", eachOf(spent.reconciler, n), spent.reconciler["patch sessions/status"] == int64(n))
	row(b, "(12) our API server's own requests for each change of phase", "", eachOf(spent.server, n), true)
}

// complete applies a status to a session, as the reconciler does.
func complete(ctx context.Context, stand *harness.Stand, session *v1alpha1.Session) error {
	desired := session.Status.DeepCopy()
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	desired.Phase, desired.CompletionTime = v1alpha1.SessionCompleted, &now
	for {
		configuration, err := status.Configuration(session, *desired)
		if err != nil {
			return err
		}
		_, err = stand.Ambient.AmbientV1alpha1().Sessions(session.Namespace).ApplyStatus(ctx, configuration, applied)
		switch {
		case err == nil:
			return nil
		case !apierrors.IsConflict(err):
			return fmt.Errorf("applying a status: %w", err)
		}
		if session, err = stand.Ambient.AmbientV1alpha1().Sessions(session.Namespace).Get(ctx, session.Name, metav1.GetOptions{}); err != nil {
			return fmt.Errorf("reading a session: %w", err)
		}
	}
}

// counts is what was asked so far: of the upstream, and of kube-apiserver by the
// reconciler and by our API server.
type counts struct{ calls, reconciler, server map[string]int64 }

func count(b *testing.B, stand *harness.Stand) counts {
	b.Helper()
	return counts{stand.Upstream.Calls(b), requests(b, stand, stack.ReconcilerName), requests(b, stand, stack.APIServerName)}
}

func (c counts) less(before counts) counts {
	return counts{difference(before.calls, c.calls), difference(before.reconciler, c.reconciler), difference(before.server, c.server)}
}

// sameWrites tells whether nothing was written between the two. Reads go on by the
// clock.
func (c counts) sameWrites(other counts) bool {
	return c.calls["UpdateSessionStatus"] == other.calls["UpdateSessionStatus"] && maps.Equal(c.reconciler, other.reconciler)
}

func difference(before, after map[string]int64) map[string]int64 {
	result := map[string]int64{}
	for method, count := range after {
		result[method] = count - before[method]
	}
	return result
}

// perObject tells how often each method was called for one object. Listings go on
// by the clock and belong to none.
func perObject(calls map[string]int64, n int) string {
	each := func(method string) float64 { return float64(calls[method]) / float64(n) }
	return fmt.Sprintf("%.2f GetSession, %.2f UpdateSession, %.2f UpdateSessionStatus", each("GetSession"), each("UpdateSession"), each("UpdateSessionStatus"))
}
