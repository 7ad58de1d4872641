package outage

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// swapUpstream runs the upstream on another, empty database until the test ends or
// the returned function is called.
func swapUpstream(t *testing.T) (back func()) {
	t.Helper()
	upstream := stand.Stack.Upstream
	spec := upstream.Spec()
	empty := spec
	empty.Args = append(slices.Clone(spec.Args), "--data="+filepath.Join(t.TempDir(), "empty.db"))
	harness.RestartWith(t, upstream, empty)
	back = sync.OnceFunc(func() { harness.RestartWith(t, upstream, spec) })
	t.Cleanup(back)
	return back
}

// readiness returns what our server tells somebody with a certificate of the
// cluster about its feeds.
func readiness(t *testing.T) string {
	t.Helper()
	return stand.DoDirectly(t, stand.Administrator(t), harness.Request{Method: "GET", Path: "/readyz?verbose"}).Body
}

// believeCommand waits until people are told how to release the deletions that the
// feeds of all kinds hold back.
func believeCommand(t *testing.T, kinds int) []string {
	t.Helper()
	var command []string
	harness.Eventually(t, "people are told how to release what is held back", func() error {
		text := readiness(t)
		_, typed, found := strings.Cut(text, "kubectl ")
		command = strings.Fields(strings.SplitN(typed, "\n", 2)[0])
		if !found || strings.Count(typed, ",") != kinds-1 {
			return fmt.Errorf("they are told:\n%s", text)
		}
		return nil
	})
	return command
}

// The database is exchanged for an empty one. Nothing is believed until a person
// says so, and nothing is deleted anywhere when the database comes back.
func TestDecision3AnUpstreamWithAnotherDatabase(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	for i := range 3 {
		stand.NewSession(t, project, fmt.Sprintf("s-%d", i))
	}
	// Something of every kind is held back, whatever other tests left.
	const kinds = 3
	settings := &v1alpha1.ProjectSettings{ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: v1alpha1.ProjectSettingsName}}
	if _, err := stand.Ambient.AmbientV1alpha1().ProjectSettings(project).Create(t.Context(), settings, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	mirror := stand.NewMirror(t)
	mirror.AwaitEqual(t)
	known := len(stand.Upstream.SessionsIn(t, project))
	listed(t, 2)
	back := swapUpstream(t)

	first := believeCommand(t, kinds)
	listed(t, 3)
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Fatalf("the informer was told that %d sessions went", len(deleted))
	}
	if answer := stand.DoDirectly(t, nil, harness.Request{Method: "GET", Path: "/readyz?verbose"}); answer.Code != 200 || strings.Contains(answer.Body, "feed of") {
		t.Errorf("strangers are told: %d %s", answer.Code, answer.Body)
	}

	back()
	mirror.AwaitEqual(t)
	for method, count := range stand.Upstream.Calls(t) {
		if strings.HasPrefix(method, "Delete") && count != 0 {
			t.Errorf("%s was called %d times", method, count)
		}
	}
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Errorf("the informer was told that %d sessions went", len(deleted))
	}
	listed(t, 2)

	back = swapUpstream(t)
	// The permission of the first time says nothing of the second.
	second := believeCommand(t, kinds)
	stand.Kubectl(t, first...)
	listed(t, 3)
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Fatalf("the informer was told that %d sessions went, by the permission of another time", len(deleted))
	}
	stand.Kubectl(t, second...)
	harness.Eventually(t, "the deletions are published", func() error {
		if deleted := mirror.Deleted(); len(deleted) < known {
			return fmt.Errorf("%d of %d", len(deleted), known)
		}
		return nil
	})
	mirror.AwaitEqual(t)
	namespace := strings.TrimPrefix(second[2], "--namespace=")
	if lease := stand.Kubectl(t, "get", "lease", "--namespace="+namespace, second[3], "-o", "yaml").Stdout; strings.Contains(lease, "believe-empty-upstream") {
		t.Errorf("the permission stays:\n%s", lease)
	}
	harness.Eventually(t, "events tell of it", func() error {
		events := stand.Kubectl(t, "describe", "lease", second[3], "--namespace="+namespace).Stdout
		for _, part := range []string{"UpstreamDoubted", "kubectl annotate lease", "UpstreamBelieved", "UpstreamTrusted"} {
			if !strings.Contains(events, part) {
				return fmt.Errorf("%q is missing in:\n%s", part, events)
			}
		}
		return nil
	})

	back()
	mirror.AwaitEqual(t)
	for method, count := range stand.Upstream.Calls(t) {
		if strings.HasPrefix(method, "Delete") && count != 0 {
			t.Errorf("%s was called %d times", method, count)
		}
	}
}
