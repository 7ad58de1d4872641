package model

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// span is a time during which something was under way.
type span struct{ from, to time.Time }

func (s span) overlaps(other span) bool { return s.from.Before(other.to) && other.from.Before(s.to) }

// entry is one session, and what must be true of it.
type entry struct {
	// number orders the entries; contested ones are written from both sides, the
	// others by one writer alone.
	number    int
	contested bool
	// name is the chosen name of a session that was born in Kubernetes.
	name string

	mu sync.Mutex
	// id is the upstream's, empty until it is known.
	id string
	// present says whether the session is there, as far as its writer was told.
	present presence
	// prompts are those that may stand: the last one acknowledged and those whose
	// outcome is unknown. sequence numbers them.
	prompts  map[string]bool
	sequence int
	// tainted says that content may go back: an outcome is unknown, or a write was
	// lost.
	tainted bool
	// ours is the last acknowledged write of ours, and how many of ours were
	// acknowledged; theirs are the writes of the other side.
	ours   span
	before span
	theirs []span
	// removed are the ids that were deleted at our wish.
	removed []removal
}

type removal struct {
	id string
	at span
}

type presence int

const (
	unknown presence = iota
	absent
	there
)

// model knows what must be true.
type model struct {
	project string

	mu      sync.Mutex
	entries []*entry
	// doomed are the upstream ids whose deletion anybody asked for.
	doomed map[string]bool
	byID   map[string]*entry
	faults []error
	// disturbed are the times in which calls fail for reasons of their own.
	disturbed []span
	done      int
	rhythm    int
	tick      func()
	counts    map[string]int
}

func newModel(project string) *model {
	return &model{project: project, doomed: map[string]bool{}, byID: map[string]*entry{}, counts: map[string]int{}}
}

// every calls tick after each so many operations. The one who makes the operation
// waits for it.
func (m *model) every(operations int, tick func()) { m.rhythm, m.tick = operations, tick }

// did counts an operation.
func (m *model) did(what string) {
	m.mu.Lock()
	m.counts[what]++
	m.done++
	due := m.done%m.rhythm == 0
	m.mu.Unlock()
	if due {
		m.tick()
	}
}

// note counts something that is worth printing.
func (m *model) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[what]++
}

// broken records that a promise was broken.
func (m *model) broken(format string, arguments ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const most = 20
	if len(m.faults) < most {
		m.faults = append(m.faults, fmt.Errorf("%s "+format, append([]any{time.Now().Format("15:04:05.000")}, arguments...)...))
	}
}

func (m *model) add(e *entry) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.number = len(m.entries)
	m.entries = append(m.entries, e)
	if e.id != "" {
		m.byID[e.id] = e
	}
	return e
}

// identify records the upstream's id of an entry.
func (m *model) identify(e *entry, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byID[id] = e
}

func (m *model) entryOf(id string) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}

// doom records that somebody is about to delete the row.
func (m *model) doom(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doomed[id] = true
}

func (m *model) isDoomed(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doomed[id]
}

// disturb records that calls may fail from now until the function is called.
func (m *model) disturb() (end func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := len(m.disturbed)
	m.disturbed = append(m.disturbed, span{from: time.Now(), to: time.Now().Add(24 * time.Hour)})
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.disturbed[at].to = time.Now()
	}
}

// wasDisturbed tells whether calls may have failed during the time.
func (m *model) wasDisturbed(during span) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, disturbed := range m.disturbed {
		if disturbed.overlaps(during) {
			return true
		}
	}
	return false
}

// snapshot returns the entries so far.
func (m *model) snapshot() []*entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*entry(nil), m.entries...)
}

// report fails the test for each promise that was broken.
func (m *model) report(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	t.Logf("%d operations: %v", m.done, m.counts)
	if err := errors.Join(m.faults...); err != nil {
		t.Error(err)
	}
}
