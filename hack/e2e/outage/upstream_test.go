package outage

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// await503 waits until a request is answered with 503.
func await503(t *testing.T, request harness.Request) {
	t.Helper()
	harness.Eventually(t, request.Method+" "+request.Path+" is refused", func() error {
		if answer := stand.Do(t, request); answer.Code != 503 {
			return fmt.Errorf("%d", answer.Code)
		}
		return nil
	})
}

func TestTheUpstreamIsStopped(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	kept := stand.NewSession(t, project, "kept")
	mirror := stand.NewMirror(t)
	unrelated, inOutage := stand.Name(t), stand.Name(t)
	newNamespace(t, unrelated)

	if _, err := stand.Stack.Upstream.Terminate(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Run("writes are refused within a second, with a time to retry", func(t *testing.T) {
		patch := harness.Request{Method: "PATCH", Path: path(project) + "/kept", ContentType: "application/merge-patch+json", Body: `{"spec":{"prompt":"x"}}`}
		for _, request := range []harness.Request{
			{Method: "POST", Path: path(project), Body: body("new")},
			{Method: "POST", Path: path("some-other-project"), Body: body("new")},
			patch,
			{Method: "PATCH", Path: path(project) + "/kept?fieldManager=a", ContentType: "application/apply-patch+yaml", Body: body("kept")},
			{Method: "PATCH", Path: path(project) + "/kept/status", ContentType: "application/merge-patch+json", Body: `{"status":{"phase":"Running"}}`},
			{Method: "DELETE", Path: path(project) + "/kept"},
			{Method: "DELETE", Path: path(project)},
			{Method: "POST", Path: path(project) + "/kept/start", Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"SessionRequest"}`},
			{Method: "POST", Path: "/apis/ambient.io/v1alpha1/projects", Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"Project","metadata":{"name":"new-in-outage"}}`},
			{Method: "DELETE", Path: "/apis/ambient.io/v1alpha1/projects/" + project},
		} {
			answer := stand.Do(t, request)
			if answer.Code != 503 || answer.Status.Reason != metav1.StatusReasonServiceUnavailable || answer.Header.Get("Retry-After") == "" || answer.Took > time.Second {
				t.Errorf("%s %s: %d, Retry-After %q, after %s: %s", request.Method, request.Path, answer.Code, answer.Header.Get("Retry-After"), answer.Took, answer.Body)
			}
		}
	})
	t.Run("discovery and schema are there", func(t *testing.T) {
		harness.Contains(t, stand.Kubectl(t, "api-resources", "--api-group=ambient.io").Stdout, "sessions", "projects", "projectsettings")
		harness.Contains(t, stand.Kubectl(t, "explain", "sessions.ambient.io.spec").Stdout, "prompt")
	})
	t.Run("reads that claim to be current are refused when they are too old", func(t *testing.T) {
		await503(t, harness.Request{Method: "GET", Path: path(project)})
		await503(t, harness.Request{Method: "GET", Path: path(project) + "/kept"})
		// Each kind has an age of its own.
		await503(t, harness.Request{Method: "GET", Path: "/apis/ambient.io/v1alpha1/projects"})
	})
	t.Run("reads that may be old are served", func(t *testing.T) {
		for _, query := range []string{"", "&resourceVersionMatch=NotOlderThan", "&labelSelector=ambient.io/session-id", "&limit=1"} {
			answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + "?resourceVersion=0" + query})
			var list v1alpha1.SessionList
			if err := json.Unmarshal([]byte(answer.Body), &list); err != nil || answer.Code != 200 || len(list.Items) != 1 || list.Items[0].Name != "kept" {
				t.Errorf("a list with %q: %d %s", query, answer.Code, answer.Body)
			}
		}
		if answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + "/kept?resourceVersion=0"}); answer.Code != 200 {
			t.Errorf("a get: %d %s", answer.Code, answer.Body)
		}
		if mirror.Session(kept.Status.SessionID) == nil {
			t.Error("the informer lost the session")
		}
	})
	t.Run("decision 17: what concerns other namespaces is answered from memory", func(t *testing.T) {
		for _, request := range []harness.Request{{Method: "GET", Path: path(unrelated)}, {Method: "DELETE", Path: path(unrelated)}, {Method: "GET", Path: path("not-even-a-namespace")}} {
			if answer := stand.Do(t, request); answer.Code != 200 {
				t.Errorf("%s %s: %d %s", request.Method, request.Path, answer.Code, answer.Body)
			}
		}
		newNamespace(t, inOutage)
		for _, name := range []string{unrelated, inOutage} {
			stand.Kubectl(t, "delete", "namespace", name, "--wait=false")
		}
		for _, name := range []string{unrelated, inOutage} {
			took := harness.Within(t, 30*time.Second, "namespace "+name+" goes", namespaceGone(t, name))
			t.Logf("the deletion took %s", took.Round(time.Millisecond))
		}
	})

	harness.Restart(t, stand.Stack.Upstream)
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "after the outage", ProjectId: &project})
	mirror.AwaitEqual(t)
	if mirror.Session(row.GetMetadata().GetId()) == nil {
		t.Error("the informer lacks what was made after the outage")
	}
	harness.Eventually(t, "a write is accepted again", func() error {
		if answer := stand.Do(t, harness.Request{Method: "POST", Path: path(project), Body: body("new")}); answer.Code != 201 {
			return fmt.Errorf("%d %s", answer.Code, answer.Body)
		}
		return nil
	})
	mirror.AwaitEqual(t)
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Errorf("the informer was told that %v went", deleted)
	}
}

// Our server starts while the upstream is away: it describes itself and says that
// it knows nothing yet, rather than showing an empty world.
func TestOurServerStartsBeforeTheUpstream(t *testing.T) {
	stand.NeedsEmbeddedUpstream(t)
	project := stand.NewProject(t)
	stand.NewSession(t, project, "kept")
	mirror := stand.NewMirror(t)
	harness.Kill(t, stand.Stack.Upstream)
	harness.Kill(t, stand.Stack.Extension)
	ready := stand.Stack.Extension.Spec()
	unready := ready
	unready.Ready = nil
	if err := stand.Stack.Extension.RestartWith(t.Context(), unready); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "our server describes itself", func() error {
		if answer := stand.Do(t, harness.Request{Method: "GET", Path: "/apis/ambient.io/v1alpha1"}); answer.Code != 200 {
			return fmt.Errorf("%d %s", answer.Code, answer.Body)
		}
		return nil
	})
	for _, request := range []harness.Request{
		{Method: "GET", Path: path(project)},
		{Method: "GET", Path: path(project) + "?resourceVersion=0"},
		{Method: "GET", Path: path(project) + "/kept"},
		{Method: "GET", Path: path("unrelated")},
		{Method: "DELETE", Path: path("unrelated")},
		{Method: "POST", Path: path(project), Body: body("new")},
	} {
		if answer := stand.Do(t, request); answer.Code != 503 || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: %d, Retry-After %q: %s", request.Method, request.Path, answer.Code, answer.Header.Get("Retry-After"), answer.Body)
		}
	}
	if answer := stand.DoDirectly(t, nil, harness.Request{Method: "GET", Path: "/readyz"}); answer.Code != 500 {
		t.Errorf("readiness: %d %s", answer.Code, answer.Body)
	}
	harness.Restart(t, stand.Stack.Upstream)
	harness.Eventually(t, "our server is ready", func() error { return ready.Ready(t.Context()) })
	mirror.AwaitEqual(t)
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Errorf("the informer was told that %v went", deleted)
	}
}
