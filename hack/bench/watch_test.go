package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// audience are watches of one collection, read as fast as they come.
type audience struct {
	watches sync.WaitGroup
	end     context.CancelFunc
	// dropped counts the watches that ended by themselves.
	dropped atomic.Int64
}

// watch opens so many watches from now on and waits until kube-apiserver has
// answered each. What one of them says goes to the function, line by line, from a
// goroutine of its own.
func watch(b *testing.B, stand *harness.Stand, path string, watchers int, line func(watcher int, at time.Time, text []byte)) *audience {
	b.Helper()
	answer := stand.Do(b, harness.Request{Path: path + "?limit=1"})
	var list struct {
		Metadata struct{ ResourceVersion string }
	}
	if err := json.Unmarshal([]byte(answer.Body), &list); err != nil || answer.Code != http.StatusOK {
		b.Fatalf("reading %s: %d, error %v", path, answer.Code, err)
	}
	config := stand.Stack.Config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		b.Fatalf("making a client: %v", err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	a := &audience{end: cancel}
	b.Cleanup(a.close)
	each(b, watchers, writers, func(_ context.Context, i int) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path+"?watch=1&resourceVersion="+list.Metadata.ResourceVersion, nil)
		if err != nil {
			return fmt.Errorf("making a request: %w", err)
		}
		request.Header.Set("Accept", "application/json")
		answer, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("watching %s: %w", path, err)
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("watching %s: %s", path, answer.Status)
		}
		a.watches.Go(func() {
			defer answer.Body.Close()
			lines := bufio.NewScanner(answer.Body)
			lines.Buffer(make([]byte, 0, 4096), 1<<20)
			for lines.Scan() {
				line(i, time.Now(), lines.Bytes())
			}
			if ctx.Err() == nil {
				a.dropped.Add(1)
			}
		})
		return nil
	})
	return a
}

// close ends the watches and waits for them.
func (a *audience) close() {
	a.end()
	a.watches.Wait()
}
