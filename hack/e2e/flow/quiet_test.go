package flow

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// atRest is how long nothing may be written.
const atRest = 10 * time.Second

// written returns the times of the last write of all rows.
func written(t *testing.T) map[string]string {
	t.Helper()
	times := map[string]string{}
	for _, row := range stand.Upstream.AllSessions(t) {
		times["session "+row.GetMetadata().GetId()] = row.GetMetadata().GetUpdatedAt().AsTime().String()
	}
	for _, row := range stand.Upstream.AllProjects(t) {
		times["project "+row.GetMetadata().GetId()] = row.GetMetadata().GetUpdatedAt().AsTime().String()
	}
	for _, row := range stand.Upstream.AllSettings(t) {
		times["settings "+row.GetMetadata().GetId()] = row.GetMetadata().GetUpdatedAt().AsTime().String()
	}
	return times
}

// writes returns how often each method that writes was called upstream.
func writes(t *testing.T) map[string]int64 {
	t.Helper()
	calls := stand.Upstream.Calls(t)
	maps.DeleteFunc(calls, func(method string, _ int64) bool {
		return !strings.HasPrefix(method, "Create") && !strings.HasPrefix(method, "Update") && !strings.HasPrefix(method, "Delete")
	})
	return calls
}

// After sessions were created, ran, stopped and ended, and the whole has come to
// rest, nobody writes anything, neither upstream nor in the cluster.
func TestAtRestNothingIsWritten(t *testing.T) {
	project := stand.NewProject(t)
	applySettings(t, project, "developers=view")
	var ids []string
	for i := range 5 {
		ids = append(ids, stand.NewSession(t, project, fmt.Sprintf("worker-%d", i)).Status.SessionID)
	}
	for _, id := range ids {
		running(t, id)
	}
	mustAct(t, project, "worker-0", "stop")
	awaitPhase(t, ids[0], v1alpha1.SessionStopped)
	awaitSettled(t, ids[0], v1alpha1.SessionStopped)
	awaitCalm(t)

	rows, calls := written(t), writes(t)
	var recordings []*recording
	for _, resource := range append(slices.Clone(watched), platformSettings) {
		recordings = append(recordings, record(t, resource, ""))
	}
	<-time.After(atRest)
	if now := writes(t); !maps.Equal(now, calls) {
		t.Errorf("the upstream was written to: %v, before %v", now, calls)
	}
	now := written(t)
	for row, before := range rows {
		if now[row] != before {
			t.Errorf("the row of %s was written at %s", row, now[row])
		}
	}
	for _, recording := range recordings {
		for _, event := range recording.all() {
			object := event.Object.(*unstructured.Unstructured)
			t.Errorf("%s %s/%s was %s", recording.what, object.GetNamespace(), object.GetName(), event.Type)
		}
	}
}

// awaitCalm waits until nothing was written for some seconds: earlier tests may
// have left work.
func awaitCalm(t *testing.T) {
	t.Helper()
	const calm, patience = 3 * time.Second, time.Minute
	ticker, deadline := time.NewTicker(500*time.Millisecond), time.After(patience)
	defer ticker.Stop()
	last, since := written(t), time.Now()
	for time.Since(since) < calm {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("there was no calm of %s within %s", calm, patience)
		}
		if now := written(t); !maps.Equal(now, last) {
			last, since = now, time.Now()
		}
	}
}
