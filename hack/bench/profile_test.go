package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// profiled runs the function while our API server, which may be about to start,
// records a CPU profile of so many seconds, and takes a heap profile and the metrics
// afterwards: NAME.cpu, NAME.heap and NAME.metrics in AMBIENT_BENCH_PROFILES. Without
// that folder it only runs the function, for a profile costs time itself.
func profiled(b *testing.B, stand *harness.Stand, name string, seconds int, run func()) {
	b.Helper()
	folder := os.Getenv("AMBIENT_BENCH_PROFILES")
	if folder == "" {
		run()
		return
	}
	save := func(path, file string) {
		err := wait.PollUntilContextTimeout(b.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
			return fetch(ctx, b, stand, path, filepath.Join(folder, file))
		})
		if err != nil {
			b.Errorf("taking profile %s: %v", file, err)
		}
	}
	var recording sync.WaitGroup
	recording.Go(func() { save(fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), name+".cpu") })
	run()
	recording.Wait()
	save("/debug/pprof/heap", name+".heap")
	save("/metrics", name+".metrics")
}

// fetch copies what our API server answers into a file; false means that it is
// not up yet.
func fetch(ctx context.Context, b *testing.B, stand *harness.Stand, path, file string) (done bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+stand.Stack.ExtensionAddress()+path, nil)
	if err != nil {
		return false, err
	}
	client := stand.DirectClient(b, stand.Administrator(b))
	defer client.CloseIdleConnections()
	answer, err := client.Do(request)
	if err != nil {
		return false, ctx.Err()
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if answer.StatusCode != http.StatusOK {
		// It answers before it knows who may ask.
		return false, nil
	}
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	return true, os.WriteFile(file, content, 0o600)
}
