package certificates

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const (
	// pause between two requests makes 200 a second.
	pause   = 5 * time.Millisecond
	clients = 16
	// webhookShare of all requests is about the webhooks.
	webhookShare = 10
)

// traffic are requests and watches through kube-apiserver that must not notice
// anything.
type traffic struct {
	t       *testing.T
	client  *http.Client
	host    string
	project string
	// guarded is a namespace whose deletion only the webhook refuses.
	guarded string

	mutex    sync.Mutex
	requests int
	failures []string
	watches  []*openWatch
	stop     func()
}

// openWatch is a watch through kube-apiserver.
type openWatch struct {
	name string
	// saw is told each line.
	saw   func(line string)
	ended chan struct{}
}

// newTraffic begins with requests and watches. They go on until finish.
func newTraffic(t *testing.T) *traffic {
	t.Helper()
	config := stand.Stack.Config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	f := &traffic{t: t, client: client, host: config.Host, project: stand.NewProject(t), guarded: stand.Name(t)}
	stand.NewSession(t, f.project, "first")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   f.guarded,
		Labels: map[string]string{"ambient-code.io/project-id": f.project}, Annotations: map[string]string{"ambient.io/project-gone": "true"},
	}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the webhook refuses a deletion", func() error { return f.ask(t.Context(), true) })
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	due := make(chan bool)
	for range clients {
		group.Go(func() {
			for webhook := range due {
				// What is under way at the end may end well.
				f.note(f.ask(t.Context(), webhook))
			}
		})
	}
	group.Go(func() {
		defer close(due)
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			select {
			case <-ctx.Done():
				return
			case due <- i%webhookShare == 0:
			}
		}
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
	t.Cleanup(f.stop)
	return f
}

// ask makes one request; the answer tells whether the certificate was trusted.
func (f *traffic) ask(ctx context.Context, webhook bool) error {
	method, path, want := http.MethodGet, "/apis/ambient.io/v1alpha1/namespaces/"+f.project+"/sessions/first", http.StatusOK
	if webhook {
		method, path, want = http.MethodDelete, "/api/v1/namespaces/"+f.guarded+"?dryRun=All", http.StatusForbidden
	}
	ctx, cancel := context.WithTimeout(ctx, harness.Patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, f.host+path, nil)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	response, err := f.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	if response.StatusCode != want || webhook && !strings.Contains(string(body), "which exists") {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, body)
	}
	return nil
}

func (f *traffic) note(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests++
	if err != nil {
		f.failures = append(f.failures, err.Error())
	}
}

// watch opens a watch that lasts until the test ends.
func (f *traffic) watch(name, path string, saw func(line string)) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.host+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := f.client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %s", path, response.Status)
	}
	w := &openWatch{name: name, saw: saw, ended: make(chan struct{})}
	f.watches = append(f.watches, w)
	go func() {
		defer close(w.ended)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			w.saw(lines.Text())
		}
	}()
	f.t.Cleanup(func() {
		cancel()
		<-w.ended
	})
}

// watchSessions opens watches that must all see the session "last" in the end.
func (f *traffic) watchSessions(count int) func() {
	var mutex sync.Mutex
	seen := map[int]bool{}
	for i := range count {
		f.watch(fmt.Sprintf("watch %d of sessions", i), "/apis/ambient.io/v1alpha1/namespaces/"+f.project+"/sessions?watch=true&timeoutSeconds=3600", func(line string) {
			if strings.Contains(line, `"name":"last"`) {
				mutex.Lock()
				defer mutex.Unlock()
				seen[i] = true
			}
		})
	}
	return func() {
		f.t.Helper()
		stand.NewSession(f.t, f.project, "last")
		harness.Eventually(f.t, "every watch sees the last session", func() error {
			mutex.Lock()
			defer mutex.Unlock()
			if len(seen) < count {
				return fmt.Errorf("%d of %d do", len(seen), count)
			}
			return nil
		})
	}
}

// watchAvailability counts a failure whenever the API is not available.
func (f *traffic) watchAvailability() {
	f.watch("watch of the APIService", "/apis/apiregistration.k8s.io/v1/apiservices?watch=true&timeoutSeconds=3600&fieldSelector=metadata.name%3Dv1alpha1.ambient.io", func(line string) {
		var event struct {
			Object apiregistrationv1.APIService `json:"object"`
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			f.note(err)
			return
		}
		for _, condition := range event.Object.Status.Conditions {
			if condition.Type == apiregistrationv1.Available && condition.Status != apiregistrationv1.ConditionTrue {
				f.note(fmt.Errorf("the API is not available: %s: %s", condition.Reason, condition.Message))
			}
		}
	})
}

// finish ends the requests and fails the test if anything was noticed. It returns
// the number of requests.
func (f *traffic) finish() int {
	f.t.Helper()
	for _, w := range f.watches {
		select {
		case <-w.ended:
			f.note(errors.New(w.name + " has ended"))
		default:
		}
	}
	f.stop()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.failures) > 0 {
		f.t.Errorf("%d failures among %d requests, the first: %s", len(f.failures), f.requests, f.failures[0])
	}
	return f.requests
}
