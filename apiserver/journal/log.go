package journal

import (
	"slices"
	"strings"
	"time"
)

// log is the dense sequence of the latest events. Elements are never changed once
// they are appended: readers keep slices of events without a copy and without the
// lock. What is trimmed is freed when appending moves the rest to a new array.
type log[T any] struct {
	events []Event[T]
	// facts stand beside the events, index by index.
	facts []facts
	// compacted is the revision just before the first event.
	compacted uint64
}

// facts is what the log itself has to know about an event.
type facts struct {
	at time.Time
	// previousRevision is the revision of the value that the event replaced.
	previousRevision uint64
}

func (l *log[T]) append(event Event[T], previousRevision uint64, at time.Time) {
	l.events = append(l.events, event)
	l.facts = append(l.facts, facts{at: at, previousRevision: previousRevision})
}

// trim drops the oldest events that the bounds do not ask to keep.
func (l *log[T]) trim(options Options) {
	surplus := len(l.events) - options.Capacity
	if surplus <= 0 {
		return
	}
	dropped := max(len(l.events)-options.Maximum, 0)
	horizon := l.facts[len(l.facts)-1].at.Add(-options.Retention)
	for dropped < surplus && l.facts[dropped].at.Before(horizon) {
		dropped++
	}
	l.drop(dropped)
}

// drop forgets the oldest n events.
func (l *log[T]) drop(n int) {
	l.events, l.facts = l.events[n:], l.facts[n:]
	l.compacted += uint64(n)
}

func (l *log[T]) revision() uint64 { return l.compacted + uint64(len(l.events)) }

// since returns the events after a revision. Since revisions are dense, their
// place is a matter of subtraction.
func (l *log[T]) since(after uint64) ([]Event[T], error) {
	switch {
	case after < l.compacted:
		return nil, ErrCompacted
	case after > l.revision():
		return nil, ErrFuture
	}
	return slices.Clip(l.events[after-l.compacted:]), nil
}

// previousRevisionsOf returns the facts beside the given last events of the log.
func (l *log[T]) previousRevisionsOf(last []Event[T]) []facts {
	return slices.Clip(l.facts[len(l.facts)-len(last):])
}

// rewind takes the events back from a state: for each key that they touched, the
// state before the first of them.
func rewind[T any](prefix string, entries []Entry[T], events []Event[T], facts []facts) []Entry[T] {
	touched := map[string]struct{}{}
	var before []Entry[T]
	for i, event := range events {
		if !strings.HasPrefix(event.Key, prefix) {
			continue
		}
		if _, seen := touched[event.Key]; seen {
			continue
		}
		touched[event.Key] = struct{}{}
		if event.Type != Created {
			before = append(before, Entry[T]{Key: event.Key, Value: event.Previous, Revision: facts[i].previousRevision})
		}
	}
	if len(touched) == 0 {
		return entries
	}
	entries = slices.DeleteFunc(entries, func(entry Entry[T]) bool {
		_, seen := touched[entry.Key]
		return seen
	})
	entries = append(entries, before...)
	slices.SortFunc(entries, func(a, b Entry[T]) int { return strings.Compare(a.Key, b.Key) })
	return entries
}
