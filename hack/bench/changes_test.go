package bench

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// marker begins a text that bears the number of a change.
const marker = "change-"

// digits is how long the number is.
const digits = 7

func mark(number int) string { return fmt.Sprintf("%s%0*d", marker, digits, number) }

// marked returns the number of the change that an event shows.
func marked(event []byte) (int, bool) {
	_, rest, found := bytes.Cut(event, []byte(marker))
	if !found || len(rest) < digits {
		return 0, false
	}
	number, err := strconv.Atoi(string(rest[:digits]))
	return number, err == nil
}

// latencies are the times from the answer to a write until a watcher had its event.
type latencies struct {
	all              []time.Duration
	missing, dropped int
}

// follow makes changes at a rate and measures when each of the watchers sees each.
// The change is made by write, which returns when the writer has its answer.
func follow(b *testing.B, stand *harness.Stand, path string, watchers, changes int, rate float64, write func(ctx context.Context, number int) error) latencies {
	b.Helper()
	seen := make([][]time.Time, watchers)
	for i := range seen {
		seen[i] = make([]time.Time, changes)
	}
	var count atomic.Int64
	all := watch(b, stand, path, watchers, func(watcher int, at time.Time, text []byte) {
		if number, found := marked(text); found && number < changes && seen[watcher][number].IsZero() {
			seen[watcher][number] = at
			count.Add(1)
		}
	})
	answered := make([]time.Time, changes)
	ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer ticker.Stop()
	// Late ticks are lost, so that a slow writer is asked for fewer changes.
	each(b, changes, writers, func(ctx context.Context, i int) error {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := write(ctx, i)
		answered[i] = time.Now()
		return err
	})
	// What does not come is counted, not waited for.
	deadline := time.NewTimer(harness.Patience)
	defer deadline.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && count.Load() < int64(watchers*changes); {
		select {
		case <-look.C:
		case <-deadline.C:
			waiting = false
		}
	}
	result := latencies{dropped: int(all.dropped.Load())}
	all.close()
	for _, arrivals := range seen {
		for number, at := range arrivals {
			if at.IsZero() {
				result.missing++
				continue
			}
			// An event may be faster than the answer to its writer.
			result.all = append(result.all, max(0, at.Sub(answered[number])))
		}
	}
	return result
}

// BenchmarkChange measures the way of a change to 20 watchers at 100 changes a
// second: of a row upstream to the watchers of Sessions, and, beside it, of an
// AgenticSession's status to the watchers of AgenticSessions.
func BenchmarkChange(b *testing.B) {
	watchers := size(b, "AMBIENT_BENCH_WATCHERS", 20)
	changes := size(b, "AMBIENT_BENCH_CHANGES", 3000)
	const rate, objects = 100, 1000
	stand := start(b, noController)
	newProject(b, stand, project)
	newNamespace(b, stand, project, true)
	ids := fill(b, stand, project, objects, v1alpha1.SessionRunning)
	mirror(b, stand, sessions(b, stand, project, objects, v1alpha1.SessionRunning))

	b.ReportMetric(0, "ns/op")
	ours := follow(b, stand, sessionsPath, watchers, changes, rate, func(ctx context.Context, i int) error {
		return rename(ctx, stand, ids[i%objects], i)
	})
	client := dynamicClient(b, stand).Resource(agenticsession.Resource).Namespace(project)
	theirs := follow(b, stand, resourcesPath, watchers, changes, rate, func(ctx context.Context, i int) error {
		object := statusOf(agenticsession.Name(ids[i%objects]), v1alpha1.SessionRunning)
		if err := unstructured.SetNestedField(object.Object, mark(i), "status", "sdkSessionId"); err != nil {
			return fmt.Errorf("preparing a status: %w", err)
		}
		_, err := client.ApplyStatus(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "operator", Force: true})
		if err != nil {
			return fmt.Errorf("writing the status of an AgenticSession: %w", err)
		}
		return nil
	})
	half, nearly := quantile(ours.all, .5), quantile(ours.all, .99)
	b.ReportMetric(milliseconds(half), "sessions-p50-ms")
	b.ReportMetric(milliseconds(nearly), "sessions-p99-ms")
	b.ReportMetric(milliseconds(quantile(theirs.all, .5)), "crs-p50-ms")
	b.ReportMetric(milliseconds(quantile(theirs.all, .99)), "crs-p99-ms")
	b.ReportMetric(float64(ours.missing), "sessions-missing")
	b.ReportMetric(float64(theirs.missing), "crs-missing")
	row(b, fmt.Sprintf("(b) %d changes upstream, 100/s, to %d watchers", changes, watchers), "p50 ≤ 20 ms, p99 ≤ 100 ms",
		fmt.Sprintf("p50 %s, p99 %s; %d missing", text(half), text(nearly), ours.missing),
		half <= 20*time.Millisecond && nearly <= 100*time.Millisecond && ours.missing == 0)
	row(b, "(b) beside it: status of AgenticSessions, the same", "",
		fmt.Sprintf("p50 %s, p99 %s; %d missing", text(quantile(theirs.all, .5)), text(quantile(theirs.all, .99)), theirs.missing), true)
}

// BenchmarkWatchers has 1,000 watchers of Sessions at a time.
func BenchmarkWatchers(b *testing.B) {
	watchers := size(b, "AMBIENT_BENCH_MANY_WATCHERS", 1000)
	const rate, objects, changes = 2, 100, 60
	stand := start(b, noController)
	newProject(b, stand, project)
	newNamespace(b, stand, project, true)
	ids := fill(b, stand, project, objects, v1alpha1.SessionRunning)
	sessions(b, stand, project, objects, v1alpha1.SessionRunning)

	b.ReportMetric(0, "ns/op")
	got := follow(b, stand, sessionsPath, watchers, changes, rate, func(ctx context.Context, i int) error {
		return rename(ctx, stand, ids[i%objects], i)
	})
	nearly := quantile(got.all, .99)
	b.ReportMetric(milliseconds(quantile(got.all, .5)), "p50-ms")
	b.ReportMetric(milliseconds(nearly), "p99-ms")
	b.ReportMetric(float64(got.dropped), "dropped")
	b.ReportMetric(float64(got.missing), "missing")
	row(b, fmt.Sprintf("(e) %d watchers, %d changes at %d/s", watchers, changes, rate), "none dropped",
		fmt.Sprintf("%d dropped, %d of %d events missing, p50 %s, p99 %s", got.dropped, got.missing, watchers*changes, text(quantile(got.all, .5)), text(nearly)),
		got.dropped == 0 && got.missing == 0)
}

// BenchmarkLaggingUpstream measures when changes are visible while the upstream's
// watch tells them 70 s late, as the real one's does under load: only listings
// help.
func BenchmarkLaggingUpstream(b *testing.B) {
	n := size(b, "AMBIENT_BENCH_LAGGING", 5000)
	changes := size(b, "AMBIENT_BENCH_LAGGING_CHANGES", 20)
	stand := start(b, noController)
	newProject(b, stand, project)
	newNamespace(b, stand, project, true)
	ids := fill(b, stand, project, n, v1alpha1.SessionRunning)
	sessions(b, stand, project, n, v1alpha1.SessionRunning)
	stand.Upstream.Fault(b, `{"eventDelay":"70s"}`)

	b.ReportMetric(0, "ns/op")
	seen := make(chan int, changes)
	all := watch(b, stand, sessionsPath, 1, func(_ int, _ time.Time, text []byte) {
		if number, found := marked(text); found {
			seen <- number
		}
	})
	var loops, delays []time.Duration
	for i := range changes {
		loop, _ := pageThrough(b, stand)
		loops = append(loops, loop)
		if err := rename(b.Context(), stand, ids[i], i); err != nil {
			b.Fatal(err)
		}
		answered := time.Now()
		for visible := false; !visible; {
			select {
			case number := <-seen:
				visible = number == i
			case <-time.After(harness.Patience):
				b.Fatalf("change %d was not visible within %s", i, harness.Patience)
			}
		}
		delays = append(delays, time.Since(answered))
	}
	all.close()
	loop, worst := quantile(loops, .5), quantile(delays, 1)
	bound := 21*loop + time.Second
	b.ReportMetric(loop.Seconds(), "L-s")
	b.ReportMetric(quantile(delays, .5).Seconds(), "visible-p50-s")
	b.ReportMetric(worst.Seconds(), "visible-max-s")
	b.ReportMetric(bound.Seconds(), "bound-s")
	row(b, fmt.Sprintf("(f) upstream's watch 70 s late, %d sessions: visible after", n), "≤ 21 × L + 1 s",
		fmt.Sprintf("median %s, worst of %d %s; L %s, bound %s", text(quantile(delays, .5)), changes, text(worst), text(loop), text(bound)), worst <= bound)
}

// rename changes a row upstream so that its event bears the number.
func rename(ctx context.Context, stand *harness.Stand, id string, number int) error {
	name := mark(number)
	if _, err := stand.Upstream.Sessions.UpdateSession(ctx, &ambientv1.UpdateSessionRequest{Id: id, Name: &name}); err != nil {
		return fmt.Errorf("changing a session upstream: %w", err)
	}
	return nil
}
