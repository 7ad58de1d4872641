// Package tally counts what a dry run sees: events of each kind, the objects they
// were about, and when the last one came.
//
// It must not know where events come from.
package tally

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
)

// Event is what happened to an object.
type Event string

// The events.
const (
	Added    Event = "ADDED"
	Modified Event = "MODIFIED"
	Deleted  Event = "DELETED"
)

// Summary is what was counted of one kind.
type Summary struct {
	// Events counts the events by what happened.
	Events map[Event]int `json:"events"`
	// UniqueIDs is how many objects the events were about.
	UniqueIDs int `json:"uniqueIDs"`
	// LastEvent is when the last event came; nil before the first.
	LastEvent *time.Time `json:"lastEvent,omitempty"`
}

// Tally counts. It may be used from many goroutines at a time.
type Tally struct {
	now    func() time.Time
	events *prometheus.CounterVec

	mutex sync.Mutex
	kinds map[string]*count
}

type count struct {
	events map[Event]int
	ids    map[string]struct{}
	last   time.Time
}

// New returns a Tally of the kinds, and registers its metric.
func New(registry prometheus.Registerer, now func() time.Time, kinds ...string) *Tally {
	t := &Tally{
		now: now,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ambient_kube_reconciler_tally_events_total",
			Help: "Events that a dry run saw.",
		}, []string{"kind", "event"}),
		kinds: map[string]*count{},
	}
	registry.MustRegister(t.events)
	for _, kind := range kinds {
		t.kinds[kind] = &count{events: map[Event]int{Added: 0, Modified: 0, Deleted: 0}, ids: map[string]struct{}{}}
		for event := range t.kinds[kind].events {
			t.events.WithLabelValues(kind, string(event))
		}
	}
	return t
}

// Count counts an event of an object. Kinds that New was not told of are ignored.
func (t *Tally) Count(kind string, event Event, id string) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	counted, known := t.kinds[kind]
	if !known {
		return
	}
	counted.events[event]++
	counted.ids[id] = struct{}{}
	counted.last = t.now()
	t.events.WithLabelValues(kind, string(event)).Inc()
}

// Snapshot returns what was counted so far, by kind.
func (t *Tally) Snapshot() map[string]Summary {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	result := map[string]Summary{}
	for kind, counted := range t.kinds {
		summary := Summary{Events: map[Event]int{}, UniqueIDs: len(counted.ids)}
		for event, number := range counted.events {
			summary.Events[event] = number
		}
		if !counted.last.IsZero() {
			last := counted.last.UTC()
			summary.LastEvent = &last
		}
		result[kind] = summary
	}
	return result
}

var _ http.Handler = (*Tally)(nil)

// ServeHTTP answers with the snapshot as JSON.
func (t *Tally) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(t.Snapshot()); err != nil {
		klog.FromContext(request.Context()).V(2).Info("Tally not delivered", "reason", err.Error())
	}
}
