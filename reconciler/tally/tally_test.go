package tally

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestAThousandEventsAtOnceAreAllCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tally := New(registry, func() time.Time { return now }, "Session", "Project")
	var events sync.WaitGroup
	for i := range 1000 {
		events.Go(func() {
			event := []Event{Added, Modified, Modified, Deleted}[i%4]
			tally.Count("Session", event, fmt.Sprintf("id-%d", i%100))
			tally.Count("Unknown", event, "x")
			tally.Snapshot()
		})
	}
	events.Wait()
	want := map[string]Summary{
		"Session": {Events: map[Event]int{Added: 250, Modified: 500, Deleted: 250}, UniqueIDs: 100, LastEvent: &now},
		"Project": {Events: map[Event]int{Added: 0, Modified: 0, Deleted: 0}},
	}
	if diff := cmp.Diff(want, tally.Snapshot()); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}

	answer := httptest.NewRecorder()
	tally.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/debug/tally", nil))
	var served map[string]Summary
	if err := json.Unmarshal(answer.Body.Bytes(), &served); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, metric := range families[0].GetMetric() {
		total += metric.GetCounter().GetValue()
	}
	if families[0].GetName() != "ambient_kube_reconciler_tally_events_total" || total != 1000 {
		t.Errorf("metric %s shows %v events, want 1000", families[0].GetName(), total)
	}
}
