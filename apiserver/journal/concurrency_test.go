package journal

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
)

// Several publishers write; each reader follows the log and must arrive at the
// state that List shows, having seen every revision once and in order. Others list
// meanwhile, now and in the past, and must find what the log says was there.
func TestReadersThatFollowTheLogArriveAtTheListedState(t *testing.T) {
	const publishers, changes, followers = 3, 2000, 4
	j := New[object](Options{Epoch: 1, Capacity: 2 * publishers * changes})
	start := j.Revision()

	var writing, reading sync.WaitGroup
	finished := make(chan struct{})
	for p := range publishers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(p)))
			for i := range changes {
				key := fmt.Sprintf("/%d", random.IntN(50))
				if random.IntN(3) == 0 {
					remove(j, key)
				} else {
					put(j, key, fmt.Sprint(i))
				}
			}
		})
	}
	for range followers {
		reading.Go(func() {
			state := map[string]object{}
			at := start
			for {
				events, changed, err := j.Since(at)
				if err != nil {
					t.Error(err)
					return
				}
				for _, event := range events {
					if at++; event.Revision != at {
						t.Errorf("event %d follows %d", event.Revision, at-1)
						return
					}
					apply(state, event)
				}
				then, err := j.ListAt("", at)
				if err != nil {
					t.Error(err)
					return
				}
				if !maps.Equal(state, asMap(then)) {
					t.Errorf("at %d the log says %v, ListAt %v", at, state, asMap(then))
					return
				}
				if len(events) > 0 {
					continue
				}
				select {
				case <-changed:
				case <-finished:
					if at == j.Revision() {
						return
					}
				}
			}
		})
	}
	reading.Go(func() {
		for at := uint64(0); ; {
			entries, revision := j.List("")
			if revision < at {
				t.Errorf("the journal went from %d back to %d", at, revision)
				return
			}
			at = revision
			for _, entry := range entries {
				if entry.Revision > revision || entry.Value.revision != entry.Revision {
					t.Errorf("listed %+v at %d", entry, revision)
					return
				}
			}
			select {
			case <-finished:
				return
			default:
			}
		}
	})
	writing.Wait()
	close(finished)
	reading.Wait()
}

// A reader that is slower than the log is told so and never skips silently.
func TestAReaderBehindABoundedLogIsToldSo(t *testing.T) {
	j := New[object](Options{Capacity: 16, Maximum: 16})
	at := j.Revision()
	last := at + 5000
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range 5000 {
			put(j, "/a", fmt.Sprint(i))
		}
	})
	resumed := 0
	for at < last {
		events, _, err := j.Since(at)
		if errors.Is(err, ErrCompacted) {
			if at >= j.CompactRevision() {
				t.Errorf("refused %d although compacted at %d", at, j.CompactRevision())
			}
			_, at = j.List("")
			resumed++
			continue
		}
		if err != nil {
			t.Error(err)
			break
		}
		for _, event := range events {
			if at++; event.Revision != at {
				t.Errorf("event %d follows %d", event.Revision, at-1)
			}
		}
	}
	writing.Wait()
	t.Logf("resumed by a list %d times", resumed)
}

func apply(state map[string]object, event Event[object]) {
	if event.Type == Deleted {
		delete(state, event.Key)
	} else {
		state[event.Key] = event.Value
	}
}

func asMap(entries []Entry[object]) map[string]object {
	state := make(map[string]object, len(entries))
	for _, entry := range entries {
		state[entry.Key] = entry.Value
	}
	return state
}
