package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// runs is how often each list is read; what counts is the median.
const runs = 10

// project is where a benchmark has its sessions. As no reconciler runs, the
// namespace is made by hand.
const project = "bench"

const (
	sessionsPath  = "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	resourcesPath = "/apis/vteam.ambient-code/v1alpha1/namespaces/" + project + "/agenticsessions"
)

// BenchmarkList reads 10,000 Sessions through kube-apiserver, and 10,000
// AgenticSessions of the same content from the same kube-apiserver, in turn, as
// client-go does: JSON, compressed unless "plain".
func BenchmarkList(b *testing.B) {
	n := size(b, "AMBIENT_BENCH_LIST", 10000)
	stand := start(b, noController)
	newProject(b, stand, project)
	newNamespace(b, stand, project, true)
	fill(b, stand, project, n, v1alpha1.SessionCompleted)
	mirror(b, stand, sessions(b, stand, project, n, v1alpha1.SessionCompleted))

	for _, variant := range []struct {
		name  string
		plain bool
	}{{"gzip", false}, {"plain", true}} {
		b.Run(variant.name, func(b *testing.B) { compareLists(b, stand, n, variant.plain) })
	}
	profiled(b, stand, "list", 10, func() {
		for begun := time.Now(); time.Since(begun) < 9*time.Second; {
			readList(b, stand, sessionsPath, false)
		}
	})
}

// figures are the medians of some reads of one list.
type figures struct {
	latency, cpu time.Duration
	bytes        int64
}

func compareLists(b *testing.B, stand *harness.Stand, n int, plain bool) {
	var ours, theirs figures
	for b.Loop() {
		measured := map[string]*figures{sessionsPath: &ours, resourcesPath: &theirs}
		latencies, burdens := map[string][]time.Duration{}, map[string][]time.Duration{}
		// In turn, so that what else the machine does burdens both alike. The first
		// round warms both up.
		for round := range runs + 1 {
			for path, result := range measured {
				latency, burden, bytes := readList(b, stand, path, plain)
				if round == 0 {
					continue
				}
				latencies[path], burdens[path] = append(latencies[path], latency), append(burdens[path], burden)
				result.bytes = bytes
			}
		}
		for path, result := range measured {
			result.latency, result.cpu = quantile(latencies[path], .5), quantile(burdens[path], .5)
		}
	}
	latency, burden := float64(ours.latency)/float64(theirs.latency), float64(ours.cpu)/float64(theirs.cpu)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(ours.latency), "sessions-ms")
	b.ReportMetric(milliseconds(theirs.latency), "crs-ms")
	b.ReportMetric(latency, "latency-ratio")
	b.ReportMetric(milliseconds(ours.cpu), "sessions-cpu-ms")
	b.ReportMetric(milliseconds(theirs.cpu), "crs-cpu-ms")
	b.ReportMetric(burden, "cpu-ratio")
	b.ReportMetric(float64(ours.bytes)/float64(theirs.bytes), "bytes-ratio")

	how := "gzip"
	if plain {
		how = "plain"
	}
	row(b, fmt.Sprintf("(a) LIST of %d, %s: latency", n, how), "≤ 1.2 × that of AgenticSessions",
		fmt.Sprintf("%.2f (%s to %s; %.1f to %.1f MB)", latency, text(ours.latency), text(theirs.latency), float64(ours.bytes)/1e6, float64(theirs.bytes)/1e6), latency <= 1.2)
	row(b, fmt.Sprintf("(a) LIST of %d, %s: CPU of etcd, kube-apiserver and ours", n, how), "≤ 1.2 ×",
		fmt.Sprintf("%.2f (%s to %s)", burden, text(ours.cpu), text(theirs.cpu)), burden <= 1.2)
}

// readList reads a list to its end and returns how long that took, what processor
// time it cost, and how many bytes it had when unpacked.
func readList(b *testing.B, stand *harness.Stand, path string, plain bool) (latency, burden time.Duration, bytes int64) {
	b.Helper()
	config := stand.Stack.Config()
	config.DisableCompression = plain
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		b.Fatalf("making a client: %v", err)
	}
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, config.Host+path, nil)
	if err != nil {
		b.Fatalf("making a request: %v", err)
	}
	request.Header.Set("Accept", "application/json")
	before, begun := cpu(b, readers(stand)...), time.Now()
	answer, err := client.Do(request)
	if err != nil {
		b.Fatalf("reading %s: %v", path, err)
	}
	defer answer.Body.Close()
	if bytes, err = io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("reading %s: %s, error %v", path, answer.Status, err)
	}
	return time.Since(begun), cpu(b, readers(stand)...) - before, bytes
}

// mirror makes the AgenticSessions of the sessions, as the reconciler does, with a
// status as the operator writes it.
func mirror(b *testing.B, stand *harness.Stand, items []v1alpha1.Session) {
	b.Helper()
	client := dynamicClient(b, stand).Resource(agenticsession.Resource)
	each(b, len(items), writers, func(ctx context.Context, i int) error {
		object := agenticsession.Build(&items[i], agenticsession.Name(items[i].Status.SessionID)).Object
		if _, err := client.Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, applied); err != nil {
			return fmt.Errorf("applying an AgenticSession: %w", err)
		}
		return reportPhase(ctx, client.Namespace(object.GetNamespace()), object.GetName(), items[i].Status.Phase)
	})
}

var applied = metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}

// statusOf returns what the operator says of an AgenticSession.
func statusOf(name string, phase v1alpha1.SessionPhase) *unstructured.Unstructured {
	now := time.Now().UTC().Format(time.RFC3339)
	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": name},
		"status":   map[string]any{"phase": string(phase), "startTime": now},
	}}
	object.SetGroupVersionKind(agenticsession.Kind)
	return object
}
