package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const (
	// writers is how many calls of the upstream are made at a time to fill it.
	writers = 16
	// pageSize is that of the feed's listings.
	pageSize = 500
	// memoryLimit is what the Deployments of our programs give them: above it, the
	// collector works harder rather than letting garbage double the memory.
	memoryLimit = "GOMEMLIMIT=600MiB"
	// patience is how long anything may take before a benchmark gives up.
	patience = 10 * time.Minute
)

// size returns a number from the environment, or the usual one divided by
// AMBIENT_BENCH_SCALE.
func size(b *testing.B, variable string, usual int) int {
	b.Helper()
	number := func(variable string, otherwise int) int {
		text := os.Getenv(variable)
		if text == "" {
			return otherwise
		}
		value, err := strconv.Atoi(text)
		if err != nil || value < 1 {
			b.Fatalf("%s is %q, must be a positive number", variable, text)
		}
		return value
	}
	return number(variable, max(1, usual/number("AMBIENT_BENCH_SCALE", 1)))
}

// row adds a row to the table of results, if one is asked for.
func row(b *testing.B, what, target, measured string, met bool) {
	b.Helper()
	path := os.Getenv("AMBIENT_BENCH_ROWS")
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatalf("opening the table: %v", err)
	}
	defer file.Close()
	verdict := map[bool]string{true: "met", false: "**missed**"}[met]
	if target == "" {
		target, verdict = "shown", "–"
	}
	if _, err := fmt.Fprintf(file, "| %s | %s | %s | %s |\n", what, target, measured, verdict); err != nil {
		b.Fatalf("writing the table: %v", err)
	}
}

// start runs a stand without operator and reconciler.
func start(b *testing.B, options stack.Options) *harness.Stand {
	b.Helper()
	options.Without = append(options.Without, stack.OperatorName, stack.ReconcilerName)
	options.Environment = map[string][]string{stack.APIServerName: {memoryLimit}, stack.ReconcilerName: {memoryLimit}}
	return harness.Run(b, options)
}

func dynamicClient(b *testing.B, stand *harness.Stand) dynamic.Interface {
	b.Helper()
	client, err := dynamic.NewForConfig(stand.Stack.Config())
	if err != nil {
		b.Fatalf("making a client: %v", err)
	}
	return client
}

// filler makes a session about 1 KB long.
var filler = strings.Repeat("Find out why the nightly build fails and mend it. ", 12)

// request asks for a session of about 1 KB.
func request(project string, number int) *ambientv1.CreateSessionRequest {
	prompt, repos := filler, `[{"url":"https://git.example.com/team/service.git","branch":"main"}]`
	model, timeout, labels := "claude-sonnet", int32(3600), `{"team":"payments","tier":"backend"}`
	annotations := `{"example.com/ticket":"https://tickets.example.com/browse/PAY-1234"}`
	return &ambientv1.CreateSessionRequest{
		Name: fmt.Sprintf("session %d", number), Prompt: &prompt, Repos: &repos, LlmModel: &model,
		Timeout: &timeout, Labels: &labels, Annotations: &annotations, ProjectId: &project,
	}
}

// each calls the function for 0 … n-1, so many at a time, and fails the benchmark
// with the first error.
func each(b *testing.B, n, workers int, do func(ctx context.Context, i int) error) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range n {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(ctx, i)
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
}

// fill makes sessions upstream and returns their ids. They have the phase, if one
// is given.
func fill(b *testing.B, stand *harness.Stand, project string, n int, phase v1alpha1.SessionPhase) []string {
	b.Helper()
	ids := make([]string, n)
	each(b, n, writers, func(ctx context.Context, i int) error {
		created, err := stand.Upstream.Sessions.CreateSession(ctx, request(project, i))
		if err != nil {
			return fmt.Errorf("creating a session upstream: %w", err)
		}
		ids[i] = created.GetMetadata().GetId()
		if phase == "" {
			return nil
		}
		return setPhase(ctx, stand, ids[i], phase)
	})
	return ids
}

func setPhase(ctx context.Context, stand *harness.Stand, id string, phase v1alpha1.SessionPhase) error {
	text := string(phase)
	if _, err := stand.Upstream.Sessions.UpdateSessionStatus(ctx, &ambientv1.UpdateSessionStatusRequest{Id: id, Phase: &text}); err != nil {
		return fmt.Errorf("setting a phase upstream: %w", err)
	}
	return nil
}

// newProject makes a project.
func newProject(b *testing.B, stand *harness.Stand, name string) string {
	b.Helper()
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := stand.Ambient.AmbientV1alpha1().Projects().Create(b.Context(), project, metav1.CreateOptions{}); err != nil {
		b.Fatalf("creating project %s: %v", name, err)
	}
	return name
}

// sessions waits until our API shows so many sessions of a project with the phase,
// and returns them.
func sessions(b *testing.B, stand *harness.Stand, project string, n int, phase v1alpha1.SessionPhase) []v1alpha1.Session {
	b.Helper()
	var items []v1alpha1.Session
	harness.Within(b, patience, fmt.Sprintf("%d sessions are shown", n), func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(b.Context(), metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing: %w", err)
		}
		items = list.Items
		found := 0
		for _, item := range items {
			if item.Status.Phase == phase {
				found++
			}
		}
		if found != n {
			return fmt.Errorf("there are %d, %d of them %q", len(items), found, phase)
		}
		return nil
	})
	return items
}

// pageThrough lists all sessions upstream as the simplest program does, and
// returns how long that took and how many there were.
func pageThrough(b *testing.B, stand *harness.Stand) (time.Duration, int) {
	b.Helper()
	begun, rows := time.Now(), 0
	for page := int32(1); ; page++ {
		answer, err := stand.Upstream.Sessions.ListSessions(b.Context(), &ambientv1.ListSessionsRequest{Page: page, Size: pageSize})
		if err != nil {
			b.Fatalf("listing upstream: %v", err)
		}
		rows += len(answer.GetItems())
		if len(answer.GetItems()) < pageSize {
			return time.Since(begun), rows
		}
	}
}

// cpu is the processor time that processes have used, by /proc.
func cpu(b *testing.B, processes ...*process.Process) time.Duration {
	b.Helper()
	// USER_HZ is 100 on every architecture that Go runs on.
	const tick = 10 * time.Millisecond
	var sum time.Duration
	for _, p := range processes {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if err != nil {
			b.Fatalf("reading the processor time of %s: %v", p.Name(), err)
		}
		// The name of the program, in parentheses, may hold anything.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		for _, field := range [][]byte{fields[11], fields[12]} { // utime, stime
			ticks, err := strconv.ParseInt(string(field), 10, 64)
			if err != nil {
				b.Fatalf("reading the processor time of %s: %v", p.Name(), err)
			}
			sum += time.Duration(ticks) * tick
		}
	}
	return sum
}

// memory is the resident memory of a process, now and at most, in MiB.
func memory(b *testing.B, p *process.Process) (now, most float64) {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		b.Fatalf("reading the memory of %s: %v", p.Name(), err)
	}
	for line := range strings.Lines(string(data)) {
		var kilobytes float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kilobytes); err == nil {
			now = kilobytes / 1024
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &kilobytes); err == nil {
			most = kilobytes / 1024
		}
	}
	return now, most
}

// readers are the processes that a read of either kind may burden.
func readers(stand *harness.Stand) []*process.Process {
	var found []*process.Process
	for _, p := range stand.Stack.Processes() {
		if slices.Contains([]string{controlplane.EtcdName, controlplane.APIServerName, stack.APIServerName}, p.Name()) {
			found = append(found, p)
		}
	}
	return found
}

// quantile returns the value below which the share of the values lies, 0 to 1.
// The values are sorted in place.
func quantile(values []time.Duration, share float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(share*float64(len(values))))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func text(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", milliseconds(d))
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f ms", milliseconds(d))
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}
