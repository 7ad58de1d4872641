package journal

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// object is a value that knows the revision it was stamped with.
type object struct {
	text     string
	revision uint64
}

func put(j *Journal[object], key, text string) uint64 {
	return j.Put(key, func(revision uint64) object { return object{text, revision} })
}

func remove(j *Journal[object], key string) (uint64, bool) {
	return j.Delete(key, func(revision uint64, last object) object { return object{last.text, revision} })
}

// clock is a hand-set time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func TestRevisionsAreDenseAndBeginAboveZeroInTheirEpoch(t *testing.T) {
	for _, epoch := range []uint32{0, 1, 7, 1 << 30} {
		j := New[object](Options{Epoch: epoch})
		start := uint64(epoch)<<32 + 1
		if got := j.Revision(); got != start {
			t.Fatalf("epoch %d: empty journal at %d, want %d", epoch, got, start)
		}
		if got := j.CompactRevision(); got != start {
			t.Fatalf("epoch %d: empty journal compacted at %d, want %d", epoch, got, start)
		}
		steps := []uint64{put(j, "a", "1"), put(j, "a", "2"), put(j, "b", "1")}
		if deleted, ok := remove(j, "a"); ok {
			steps = append(steps, deleted)
		}
		want := []uint64{start + 1, start + 2, start + 3, start + 4}
		if !slices.Equal(steps, want) {
			t.Errorf("epoch %d: revisions %v, want %v", epoch, steps, want)
		}
		if got := j.Revision(); got != start+4 {
			t.Errorf("epoch %d: journal at %d, want %d", epoch, got, start+4)
		}
	}
}

func TestEventsTellTypeValueAndPrevious(t *testing.T) {
	j := New[object](Options{Epoch: 1})
	start := j.Revision()
	put(j, "a", "1")
	put(j, "a", "2")
	remove(j, "a")
	put(j, "a", "3")

	events, _, err := j.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	want := []Event[object]{
		{Revision: start + 1, Key: "a", Value: object{"1", start + 1}, Type: Created},
		{Revision: start + 2, Key: "a", Value: object{"2", start + 2}, Previous: object{"1", start + 1}, Type: Modified},
		{Revision: start + 3, Key: "a", Value: object{"2", start + 3}, Previous: object{"2", start + 2}, Type: Deleted},
		{Revision: start + 4, Key: "a", Value: object{"3", start + 4}, Type: Created},
	}
	if !slices.Equal(events, want) {
		t.Errorf("got\n%+v\nwant\n%+v", events, want)
	}
}

func TestDeletingWhatIsNotThereIsNoEvent(t *testing.T) {
	j := New[object](Options{})
	before := j.Revision()
	revision, deleted := j.Delete("a", func(uint64, object) object {
		t.Error("build was called")
		return object{}
	})
	if deleted || revision != 0 || j.Revision() != before {
		t.Errorf("deleted=%v revision=%d, journal moved from %d to %d", deleted, revision, before, j.Revision())
	}
}

func TestListIsOrderedAndKeepsToThePrefix(t *testing.T) {
	j := New[object](Options{})
	for _, key := range []string{"/s/b/2", "/s/a/1", "/s/b/1", "/s/bb/1", "/t/b/1"} {
		put(j, key, key)
	}
	put(j, "/s/b/2", "changed")
	remove(j, "/s/a/1")

	for prefix, want := range map[string][]string{
		"":      {"/s/b/1", "/s/b/2", "/s/bb/1", "/t/b/1"},
		"/s/":   {"/s/b/1", "/s/b/2", "/s/bb/1"},
		"/s/b/": {"/s/b/1", "/s/b/2"},
		"/s/a/": nil,
		"/x/":   nil,
	} {
		entries, revision := j.List(prefix)
		if got := keys(entries); !slices.Equal(got, want) {
			t.Errorf("prefix %q: got %v, want %v", prefix, got, want)
		}
		if revision != j.Revision() {
			t.Errorf("prefix %q: listed at %d, journal at %d", prefix, revision, j.Revision())
		}
	}
	if got := j.Len(); got != 4 {
		t.Errorf("length %d, want 4", got)
	}
	entry, ok := j.Get("/s/b/2")
	if !ok || entry.Value.text != "changed" || entry.Revision != entry.Value.revision {
		t.Errorf("got %+v, %v", entry, ok)
	}
}

func TestListAtShowsEveryFormerState(t *testing.T) {
	j := New[object](Options{})
	start := j.Revision()
	history := [][]Entry[object]{nil}
	record := func() {
		entries, _ := j.List("")
		history = append(history, entries)
	}
	put(j, "/a/1", "1")
	record()
	put(j, "/b/1", "1")
	record()
	put(j, "/a/1", "2")
	record()
	remove(j, "/a/1")
	record()
	put(j, "/a/0", "1")
	record()
	put(j, "/a/1", "3")
	record()
	remove(j, "/b/1")
	record()

	for n, want := range history {
		got, err := j.ListAt("", start+uint64(n))
		if err != nil {
			t.Fatalf("at %d: %v", n, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("at %d: got %+v, want %+v", n, got, want)
		}
		for _, prefix := range []string{"/a/", "/b/"} {
			part, err := j.ListAt(prefix, start+uint64(n))
			if err != nil {
				t.Fatalf("at %d: %v", n, err)
			}
			wantPart := slices.DeleteFunc(slices.Clone(want), func(e Entry[object]) bool { return e.Key[:3] != prefix })
			if !slices.Equal(part, wantPart) {
				t.Errorf("at %d, prefix %s: got %+v, want %+v", n, prefix, part, wantPart)
			}
		}
	}
}

func TestRevisionsOutsideTheLogAreRefused(t *testing.T) {
	j := New[object](Options{Epoch: 3, Capacity: 4, Maximum: 4})
	for i := range 10 {
		put(j, "a", fmt.Sprint(i))
	}
	compacted, current := j.CompactRevision(), j.Revision()
	if want := current - 4; compacted != want {
		t.Fatalf("compacted at %d, want %d", compacted, want)
	}
	for _, test := range []struct {
		revision uint64
		want     error
	}{
		{0, ErrCompacted},
		{2<<32 + 1<<20, ErrCompacted},
		{compacted - 1, ErrCompacted},
		{compacted, nil},
		{current, nil},
		{current + 1, ErrFuture},
		{4 << 32, ErrFuture},
	} {
		if _, _, err := j.Since(test.revision); !errors.Is(err, test.want) {
			t.Errorf("Since(%d): %v, want %v", test.revision, err, test.want)
		}
		if _, err := j.ListAt("", test.revision); !errors.Is(err, test.want) {
			t.Errorf("ListAt(%d): %v, want %v", test.revision, err, test.want)
		}
	}
	events, _, err := j.Since(compacted)
	if err != nil || len(events) != 4 || events[0].Value.text != "6" {
		t.Errorf("got %+v, %v", events, err)
	}
}

func TestTheLogKeepsYoungEventsAndManyEventsButNeverTooMany(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	j := New[object](Options{Capacity: 3, Retention: time.Minute, Maximum: 6, Now: c.Now})
	kept := func() int { return int(j.Revision() - j.CompactRevision()) }
	for i := range 5 {
		put(j, "a", fmt.Sprint(i))
	}
	if got := kept(); got != 5 {
		t.Errorf("young events beyond the capacity: kept %d, want 5", got)
	}
	for i := range 5 {
		put(j, "a", fmt.Sprint(i))
	}
	if got := kept(); got != 6 {
		t.Errorf("young events beyond the maximum: kept %d, want 6", got)
	}
	c.now = c.now.Add(time.Minute)
	put(j, "a", "at the edge of the retention")
	if got := kept(); got != 6 {
		t.Errorf("events just as old as the retention: kept %d, want 6", got)
	}
	c.now = c.now.Add(time.Second)
	put(j, "a", "beyond")
	if got := kept(); got != 3 {
		t.Errorf("old events: kept %d, want the capacity of 3", got)
	}
	c.now = c.now.Add(time.Hour)
	if got := kept(); got != 3 {
		t.Errorf("after silence: kept %d, want 3", got)
	}
}

func TestCompactForgetsHistoryAndKeepsTheState(t *testing.T) {
	j := New[object](Options{})
	start := j.Revision()
	put(j, "a", "1")
	put(j, "b", "1")
	put(j, "a", "2")

	j.Compact(start + 2)
	j.Compact(start + 1)
	j.Compact(start + 4)
	if got := j.CompactRevision(); got != start+2 {
		t.Errorf("compacted at %d, want %d", got, start+2)
	}
	if _, err := j.ListAt("", start+1); !errors.Is(err, ErrCompacted) {
		t.Errorf("listing before the compaction: %v", err)
	}
	entries, err := j.ListAt("", start+2)
	if err != nil || len(entries) != 2 || entries[0].Value.text != "1" {
		t.Errorf("listing at the compaction: %+v, %v", entries, err)
	}
	if j.Revision() != start+3 || j.Len() != 2 {
		t.Errorf("at %d with %d keys", j.Revision(), j.Len())
	}
}

func TestEventsHandedOutStayAsTheyAreWhileTheLogMovesOn(t *testing.T) {
	j := New[object](Options{Capacity: 8, Maximum: 8})
	start := j.Revision()
	for i := range 8 {
		put(j, "a", fmt.Sprint(i))
	}
	events, _, err := j.Since(start)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		put(j, "a", "later")
	}
	for i, event := range events {
		if event.Revision != start+uint64(i)+1 || event.Value.text != fmt.Sprint(i) {
			t.Errorf("event %d became %+v", i, event)
		}
	}
	if own := append(events, Event[object]{Key: "a reader's own"}); len(own) != len(events)+1 {
		t.Errorf("an append made %d of %d events", len(own), len(events))
	}
	if latest, _, err := j.Since(j.Revision() - 1); err != nil || latest[0].Key != "a" {
		t.Errorf("a reader's append changed the log: %+v", latest)
	}
}

func TestTheChannelIsClosedByTheNextChangeOnly(t *testing.T) {
	j := New[object](Options{})
	_, changed, err := j.Since(j.Revision())
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Fatal("closed without a change")
	default:
	}
	put(j, "a", "1")
	select {
	case <-changed:
	default:
		t.Fatal("not closed by a change")
	}
	_, changed, err = j.Since(j.Revision())
	if err != nil {
		t.Fatal(err)
	}
	remove(j, "absent")
	select {
	case <-changed:
		t.Fatal("closed by a change that was none")
	default:
	}
}

func TestBuildMayReadTheJournal(t *testing.T) {
	j := New[object](Options{})
	put(j, "a", "1")
	j.Put("a", func(revision uint64) object {
		before, _ := j.Get("a")
		return object{before.Value.text + "2", revision}
	})
	if got, _ := j.Get("a"); got.Value.text != "12" {
		t.Errorf("got %+v", got)
	}
}

func TestAnEpochIsExhaustedAtHalfOfItsRevisions(t *testing.T) {
	j := New[object](Options{Epoch: 5})
	put(j, "a", "1")
	if j.Exhausted() {
		t.Error("exhausted after one change")
	}
	j.log.compacted += epochLimit
	if !j.Exhausted() {
		t.Error("not exhausted after 2^31 changes")
	}
}

func keys(entries []Entry[object]) []string {
	var result []string
	for _, entry := range entries {
		result = append(result, entry.Key)
	}
	return result
}

// A standby fills its journal before it knows its epoch.
func TestAJournalMovesIntoAnEpoch(t *testing.T) {
	j := New[*object](Options{})
	for _, key := range []string{"/a", "/b", "/c"} {
		j.Put(key, func(revision uint64) *object { return &object{key, revision} })
	}
	j.Delete("/b", func(revision uint64, last *object) *object { return &object{last.text, revision} })
	_, changed, err := j.Since(j.Revision())
	if err != nil {
		t.Fatal(err)
	}
	j.Begin(7, func(value *object, revision uint64) { value.revision = revision })

	const first = uint64(7) << epochShift
	select {
	case <-changed:
	default:
		t.Error("readers are not woken")
	}
	if revision, compacted := j.Revision(), j.CompactRevision(); revision != first+5 || compacted != revision {
		t.Errorf("the journal is at %d, compacted at %d, want both %d", revision, compacted, first+5)
	}
	entries, _ := j.List("")
	for i, want := range []uint64{first + 2, first + 4} {
		if entries[i].Revision != want || entries[i].Value.revision != want {
			t.Errorf("%s has revision %d, its value %d, want %d", entries[i].Key, entries[i].Revision, entries[i].Value.revision, want)
		}
	}
	if _, _, err := j.Since(5); !errors.Is(err, ErrCompacted) {
		t.Errorf("a reader of before gets %v", err)
	}
	if revision := j.Put("/d", func(revision uint64) *object { return &object{"d", revision} }); revision != first+6 {
		t.Errorf("the next change has revision %d, want %d", revision, first+6)
	}
	if j.Exhausted() {
		t.Error("the epoch counts as used up")
	}
}
