package bench

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// BenchmarkFirstSync starts our API server on 100,000 sessions of about 1 KB,
// measures how long it takes until a read is answered, beside a loop that pages
// through them, and how much memory it has afterwards.
func BenchmarkFirstSync(b *testing.B) {
	n := size(b, "AMBIENT_BENCH_SYNC", 100000)
	stand := start(b, noController)
	newProject(b, stand, project)
	ours := stand.Stack.Extension
	var empties []time.Duration
	for range 3 {
		empties = append(empties, restart(b, stand, ours))
	}
	empty := quantile(empties, .5)

	// It need not follow along.
	stop(b, ours)
	fill(b, stand, project, n, "")
	var loops, starts []time.Duration
	for range 3 {
		loop, rows := pageThrough(b, stand)
		if rows != n {
			b.Fatalf("the loop saw %d rows of %d", rows, n)
		}
		loops, starts = append(loops, loop), append(starts, restart(b, stand, ours))
	}
	profiled(b, stand, "sync", 20, func() { restart(b, stand, ours) })
	loop, full := quantile(loops, .5), quantile(starts, .5)
	ratio := float64(full-empty) / float64(loop)
	_, most := memory(b, ours)

	// Some more listings show what it needs at rest.
	listings := func() int64 { return stand.Upstream.Calls(b)["ListSessions"] }
	begun, pages := listings(), int64(n/pageSize+1)
	harness.Within(b, patience, "it lists twice more", func() error {
		if seen := listings() - begun; seen < 2*pages {
			return fmt.Errorf("%d pages of %d", seen, 2*pages)
		}
		return nil
	})
	rest, _ := memory(b, ours)
	_, later := memory(b, ours)
	profiled(b, stand, "rest", 1, func() {})

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(full.Seconds(), "start-s")
	b.ReportMetric(empty.Seconds(), "empty-start-s")
	b.ReportMetric(loop.Seconds(), "loop-s")
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(rest, "rest-MiB")
	b.ReportMetric(most, "sync-MiB")
	b.ReportMetric(later, "most-MiB")
	row(b, fmt.Sprintf("(c) first sync of %d sessions", n), "≤ 1.2 × a loop over the pages",
		fmt.Sprintf("%.2f (start %s less %s of an empty one; loop %s)", ratio, text(full), text(empty), text(loop)), ratio <= 1.2)
	row(b, fmt.Sprintf("(d) resident memory with %d sessions of 1 KB", n), "≤ 700 MiB",
		fmt.Sprintf("%.0f MiB after the sync, %.0f two listings later, %.0f at most", most, rest, later), max(rest, most) <= 700)
}

// stop ends a process as its supervisor does.
func stop(b *testing.B, p *process.Process) {
	b.Helper()
	if _, err := p.Terminate(b.Context()); err != nil {
		b.Fatalf("stopping %s: %v", p.Name(), err)
	}
}

// restart starts a program of ours again and returns how long it took until it said
// that it is ready, the first listing of everything included. Our API answers then.
func restart(b *testing.B, stand *harness.Stand, p *process.Process) time.Duration {
	b.Helper()
	select {
	case <-p.Exited():
	default:
		stop(b, p)
	}
	begun := time.Now()
	if err := p.Restart(b.Context()); err != nil {
		b.Fatalf("starting %s: %v", p.Name(), err)
	}
	took := time.Since(begun)
	if answer := stand.Do(b, harness.Request{Path: sessionsPath + "?limit=1"}); answer.Code != http.StatusOK {
		b.Fatalf("reading after the start: %d %s", answer.Code, answer.Body)
	}
	return took
}
