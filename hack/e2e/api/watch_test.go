package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// What the upstream's users do is seen by an open kubectl get -w, and so is what
// kubectl does.
func TestKubectlWatch(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "before")
	watching := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", project, "-w", "--output-watch-events", "--no-headers")
	watching.AwaitLine(t, "ADDED", "before")

	id := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "born upstream", ProjectId: &project}).GetMetadata().GetId()
	name := strings.ToLower(id)
	watching.AwaitLine(t, "ADDED", name, project)
	for _, phase := range []v1alpha1.SessionPhase{v1alpha1.SessionPending, v1alpha1.SessionRunning, v1alpha1.SessionCompleted} {
		stand.Upstream.SetPhase(t, id, phase)
		watching.AwaitLine(t, "MODIFIED", name, string(phase))
	}
	if _, err := stand.Upstream.Sessions.DeleteSession(t.Context(), &ambientv1.DeleteSessionRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	watching.AwaitLine(t, "DELETED", name)

	newSession(t, project, "after")
	watching.AwaitLine(t, "ADDED", "after")
	stand.Kubectl(t, "delete", "sessions.ambient.io", "after", "-n", project)
	watching.AwaitLine(t, "DELETED", "after")
}

// A session that changes project is deleted there and added here.
func TestAMoveIsADeletionAndACreation(t *testing.T) {
	t.Parallel()
	from, to := newProject(t), newProject(t)
	session := newSession(t, from, "nomad")
	leaving := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", from, "-w", "--output-watch-events", "--no-headers")
	leaving.AwaitLine(t, "ADDED", "nomad")
	coming := stand.StartKubectl(t, "get", "sessions.ambient.io", "-n", to, "-w", "--output-watch-events", "--no-headers")
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: session.Status.SessionID, ProjectId: &to}); err != nil {
		t.Fatal(err)
	}
	leaving.AwaitLine(t, "DELETED", "nomad")
	coming.AwaitLine(t, "ADDED", "nomad", to)
	if moved := getSession(t, to, "nomad"); moved.UID == session.UID || moved.Status.SessionID != session.Status.SessionID {
		t.Errorf("after the move: uid %s, id %s; before: uid %s, id %s", moved.UID, moved.Status.SessionID, session.UID, session.Status.SessionID)
	}
}

// Each of the three kinds can be watched with selectors.
func TestWatchWithSelectors(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	session := newSession(t, project, "picked")
	events, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Watch(t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running", ResourceVersion: session.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	for _, step := range []struct {
		phase v1alpha1.SessionPhase
		want  watch.EventType
	}{{v1alpha1.SessionRunning, watch.Added}, {v1alpha1.SessionStopping, watch.Deleted}} {
		stand.Upstream.SetPhase(t, session.Status.SessionID, step.phase)
		if event := nextEvent(t, events); event.Type != step.want {
			t.Errorf("phase %s: got %s of %v, want %s", step.phase, event.Type, event.Object, step.want)
		}
	}
}

func nextEvent(t *testing.T, events watch.Interface) watch.Event {
	t.Helper()
	select {
	case event, open := <-events.ResultChan():
		if !open {
			t.Fatal("the watch ended")
		}
		return event
	case <-time.After(harness.Patience):
		t.Fatalf("no event within %s", harness.Patience)
	}
	return watch.Event{}
}

// event is an event as the wire has it.
type event struct {
	Type   string `json:"type"`
	Object struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	} `json:"object"`
}

func TestWatchListEndsItsInitialEventsWithABookmark(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	for i := range 3 {
		newSession(t, project, fmt.Sprintf("present-%d", i))
	}
	path := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
	watching := stand.StartKubectl(t, "get", "--raw", path)
	var events []event
	for {
		var next event
		if err := json.Unmarshal([]byte(watching.AwaitLine(t, "{")), &next); err != nil {
			t.Fatal(err)
		}
		events = append(events, next)
		if next.Type == string(watch.Bookmark) {
			break
		}
	}
	if len(events) != 4 {
		t.Fatalf("%d events up to the bookmark, want 4", len(events))
	}
	for _, added := range events[:3] {
		if added.Type != string(watch.Added) || added.Object.Kind != "Session" || added.Object.Metadata.Namespace != project {
			t.Errorf("got %+v before the bookmark", added)
		}
	}
	bookmark := events[3].Object
	if bookmark.Metadata.Annotations[metav1.InitialEventsAnnotationKey] != "true" || bookmark.Kind != "Session" || bookmark.Metadata.ResourceVersion == "" {
		t.Errorf("the bookmark is %+v", bookmark)
	}
	newSession(t, project, "later")
	watching.AwaitLine(t, `"ADDED"`, `"later"`)
}

// A revision that this server never gave out, or has forgotten, is answered with
// 410, so that clients list again.
func TestWatchesFromRevisionsThatAreUnknown(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	session := newSession(t, project, "known")
	for name, test := range map[string]struct{ version, message string }{
		"too old":               {"1", "too old resource version"},
		"from an earlier epoch": {"4294967297", ""},
		"from the future":       {"9223372036854775807", "was not given out by this server"},
		"one beyond the newest, far in the epoch": {session.ResourceVersion[:len(session.ResourceVersion)-9] + "999999999", ""},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Watch(t.Context(), metav1.ListOptions{ResourceVersion: test.version})
			if err == nil {
				defer events.Stop()
				err = apierrors.FromObject(nextEvent(t, events).Object)
			}
			if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
				t.Fatalf("a watch from %s: %v, want 410", test.version, err)
			}
		})
	}
}

// The revision of an answer may be watched from at once (decision 4): the cache
// trails it by a moment.
func TestDecision4WatchFromTheRevisionOfAnAnswer(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	for i := range 20 {
		session := newSession(t, project, fmt.Sprintf("s-%d", i))
		events, err := sessions.Watch(t.Context(), metav1.ListOptions{ResourceVersion: session.ResourceVersion})
		if err != nil {
			t.Fatalf("a watch from the revision of the creation: %v", err)
		}
		name := session.Name
		if err := sessions.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if event := nextEvent(t, events); event.Type != watch.Deleted {
			t.Errorf("got %s: %v, want DELETED", event.Type, event.Object)
		}
		events.Stop()
	}
}

// The namespace controller, the garbage collector and metadata informers ask for
// metadata in protobuf (decision 15).
func TestDecision15MetadataInProtobuf(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newSession(t, project, "meta")
	ours := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	for _, accept := range []string{
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
		"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
		"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
		"application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
		"application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json",
		"application/yaml",
		"*/*",
	} {
		as := func(path string) string {
			answer := stand.Do(t, harness.Request{Method: "GET", Path: path, Header: map[string]string{"Accept": accept}})
			return fmt.Sprint(answer.Code, " ", answer.Header.Get("Content-Type"))
		}
		if got, want := as(ours), as("/api/v1/namespaces/default/configmaps"); got != want {
			t.Errorf("accepting %s: %s, a built-in kind answers %s", accept, got, want)
		}
	}
	answer := stand.Do(t, harness.Request{Method: "GET", Path: ours, Header: map[string]string{"Accept": "application/vnd.kubernetes.protobuf,application/json"}})
	if got := answer.Header.Get("Content-Type"); answer.Code != 200 || got != "application/json" {
		t.Errorf("accepting protobuf or JSON: %d %s", answer.Code, got)
	}
}
