package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/third_party/forked/golang/btree"
)

var (
	// ErrCompacted says that a revision is older than the log reaches back.
	ErrCompacted = errors.New("the revision is older than the journal remembers")
	// ErrFuture says that a revision has not been given out yet.
	ErrFuture = errors.New("the revision is ahead of the journal")
)

const (
	// epochShift is the number of bits of a revision that count changes.
	epochShift = 32
	// epochLimit is the number of changes after which an epoch counts as used up.
	// It leaves as many revisions again for the time until a new one is claimed.
	epochLimit = 1 << 31

	defaultCapacity  = 4096
	defaultRetention = 90 * time.Second
	maximumFactor    = 32

	treeDegree = 32
)

// EventType tells what an event did to its key.
type EventType int

const (
	// Created: the key was not there before.
	Created EventType = iota + 1
	// Modified: the key had another value before.
	Modified
	// Deleted: the key is gone.
	Deleted
)

// String returns the type's name.
func (t EventType) String() string {
	switch t {
	case Created:
		return "Created"
	case Modified:
		return "Modified"
	case Deleted:
		return "Deleted"
	default:
		return fmt.Sprintf("EventType(%d)", int(t))
	}
}

// Entry is the state of one key.
type Entry[T any] struct {
	Key   string
	Value T
	// Revision is the revision of the change that gave the key this value.
	Revision uint64
}

// Event is one change.
type Event[T any] struct {
	// Revision is one greater than that of the event before.
	Revision uint64
	Key      string
	// Value is the new value; for Deleted the last one, stamped with the
	// revision of the deletion.
	Value T
	// Previous is the value before, as it was; absent for Created.
	Previous T
	Type     EventType
}

// Options are the bounds of a journal. The zero value means the defaults.
type Options struct {
	// Epoch is the upper half of every revision.
	Epoch uint32
	// Capacity is the number of events that are kept however old they are.
	Capacity int
	// Retention is the age below which events are kept even beyond Capacity, so
	// that a reader which pauses for less than that can always resume.
	Retention time.Duration
	// Maximum is the number of events that are never exceeded, even when they
	// are younger than Retention: it bounds the memory. At least Capacity.
	Maximum int
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Capacity <= 0 {
		o.Capacity = defaultCapacity
	}
	if o.Retention <= 0 {
		o.Retention = defaultRetention
	}
	if o.Maximum <= 0 {
		o.Maximum = maximumFactor * o.Capacity
	}
	o.Maximum = max(o.Maximum, o.Capacity)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Journal is the state and the latest history of one kind. Changes are serialised
// among themselves; reads may run beside them and beside each other.
type Journal[T any] struct {
	options Options
	start   uint64

	// publishing is held for the whole of a change, so that build functions run
	// in revision order and may read the journal.
	publishing sync.Mutex

	mu      sync.RWMutex
	entries *btree.BTree[Entry[T]]
	log     log[T]
	// changed is closed, and replaced, by each change.
	changed chan struct{}
}

// New returns an empty journal at the first revision of the epoch.
func New[T any](options Options) *Journal[T] {
	start := uint64(options.Epoch)<<epochShift + 1
	return &Journal[T]{
		options: options.withDefaults(),
		start:   start,
		entries: btree.New(treeDegree, func(a, b Entry[T]) bool { return a.Key < b.Key }),
		log:     log[T]{compacted: start},
		changed: make(chan struct{}),
	}
}

// Put gives the key the value that build returns, and returns the revision of
// this change. build is called once, with that revision, to stamp the value; it
// may read the journal but not change it.
func (j *Journal[T]) Put(key string, build func(revision uint64) T) uint64 {
	j.publishing.Lock()
	defer j.publishing.Unlock()

	revision := j.Revision() + 1
	value := build(revision)

	j.mu.Lock()
	defer j.mu.Unlock()
	event := Event[T]{Revision: revision, Key: key, Value: value, Type: Created}
	before, existed := j.entries.ReplaceOrInsert(Entry[T]{Key: key, Value: value, Revision: revision})
	if existed {
		event.Type, event.Previous = Modified, before.Value
	}
	j.append(event, before.Revision)
	return revision
}

// Delete removes the key and returns the revision of this change, or false if the
// key was not there. build is called with that revision and the last value, and
// returns the value that the event carries: the last one, stamped with the
// revision. It must not change the last value itself.
func (j *Journal[T]) Delete(key string, build func(revision uint64, last T) T) (uint64, bool) {
	j.publishing.Lock()
	defer j.publishing.Unlock()

	last, exists := j.Get(key)
	if !exists {
		return 0, false
	}
	revision := j.Revision() + 1
	value := build(revision, last.Value)

	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries.Delete(last)
	j.append(Event[T]{Revision: revision, Key: key, Value: value, Previous: last.Value, Type: Deleted}, last.Revision)
	return revision, true
}

// append logs the event and wakes the readers. The caller holds mu.
func (j *Journal[T]) append(event Event[T], previousRevision uint64) {
	j.log.append(event, previousRevision, j.options.Now())
	j.log.trim(j.options)
	close(j.changed)
	j.changed = make(chan struct{})
}

// Begin moves the journal into an epoch: what it holds gets revisions of that epoch,
// and the history is forgotten. restamp gives a value its new revision in place, so
// that nobody may have been handed a value before.
func (j *Journal[T]) Begin(epoch uint32, restamp func(value T, revision uint64)) {
	j.publishing.Lock()
	defer j.publishing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	former := j.start - 1
	first := uint64(epoch) << epochShift
	entries := j.list("")
	for i := range entries {
		entry := &entries[i]
		entry.Revision += first - former
		restamp(entry.Value, entry.Revision)
		j.entries.ReplaceOrInsert(*entry)
	}
	j.start = first + 1
	j.log = log[T]{compacted: j.log.revision() - former + first}
	close(j.changed)
	j.changed = make(chan struct{})
}

// Get returns the present state of the key, or false if it is not there.
func (j *Journal[T]) Get(key string) (Entry[T], bool) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.entries.Get(Entry[T]{Key: key})
}

// List returns the present state of all keys that begin with the prefix, ordered
// by key, and the revision at which this is the state.
func (j *Journal[T]) List(prefix string) (entries []Entry[T], revision uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.list(prefix), j.revision()
}

func (j *Journal[T]) list(prefix string) []Entry[T] {
	var entries []Entry[T]
	if prefix == "" {
		entries = make([]Entry[T], 0, j.entries.Len())
	}
	j.entries.AscendGreaterOrEqual(Entry[T]{Key: prefix}, func(entry Entry[T]) bool {
		if !strings.HasPrefix(entry.Key, prefix) {
			return false
		}
		entries = append(entries, entry)
		return true
	})
	return entries
}

// ListAt returns the state at a revision, as List does for the present one. It
// returns ErrCompacted if the log does not reach back to that revision, and
// ErrFuture if the revision has not been given out yet.
func (j *Journal[T]) ListAt(prefix string, revision uint64) ([]Entry[T], error) {
	j.mu.RLock()
	later, err := j.log.since(revision)
	if err != nil {
		j.mu.RUnlock()
		return nil, err
	}
	entries := j.list(prefix)
	previous := j.log.previousRevisionsOf(later)
	j.mu.RUnlock()
	return rewind(prefix, entries, later, previous), nil
}

// Since returns the events after a revision, in order, and a channel that is
// closed by the next one. The events are shared: they must not be changed. It
// returns ErrCompacted if the log does not reach back to that revision, and
// ErrFuture if the revision has not been given out yet.
func (j *Journal[T]) Since(after uint64) (events []Event[T], changed <-chan struct{}, err error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	events, err = j.log.since(after)
	if err != nil {
		return nil, nil, err
	}
	return events, j.changed, nil
}

// Revision returns the revision of the latest change, or that of the empty
// journal.
func (j *Journal[T]) Revision() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.revision()
}

func (j *Journal[T]) revision() uint64 { return j.log.revision() }

// CompactRevision returns the oldest revision from which Since can resume and at
// which ListAt can list. It never falls.
func (j *Journal[T]) CompactRevision() uint64 {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.log.compacted
}

// Compact forgets the history up to a revision, beyond what the bounds demand; the
// present state stays. A revision that is forgotten already, or has not been given
// out yet, changes nothing.
func (j *Journal[T]) Compact(revision uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if revision > j.log.compacted && revision <= j.log.revision() {
		j.log.drop(int(revision - j.log.compacted))
	}
}

// Len returns the number of keys.
func (j *Journal[T]) Len() int {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.entries.Len()
}

// Exhausted tells that half of the epoch's revisions are used, so that the owner
// has to claim a new epoch and begin a new journal.
func (j *Journal[T]) Exhausted() bool {
	return j.Revision()-j.start >= epochLimit
}
