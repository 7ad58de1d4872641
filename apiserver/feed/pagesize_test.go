package feed

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// large is the content of a row of which few fit into one page.
var large = strings.Repeat("x", 1000)

// heavy is an upstream with a silent watch and 1,200 rows, 30 large ones side by
// side among them. Ten of these can be received at a time.
func heavy() *upstream {
	u := newUpstream(ids("r", 700)...)
	for _, id := range ids("large", 30) {
		u.set(id, large, false)
	}
	for _, id := range ids("s", 470) {
		u.set(id, "first", false)
	}
	u.mute, u.limit = true, 10*1000+500*len("first")
	return u
}

// runningHeavily is running with a heavy upstream, of which it doubts whether it
// can be listed at all.
func runningHeavily(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		within(t, heavy(), nil, func(t *testing.T, w *world) {
			defer w.run()()
			select {
			case <-w.feed.Synced():
			case <-time.After(time.Minute):
				state, detail := w.feed.State()
				t.Fatalf("there is no first synchronisation; the feed is %s: %s", state, detail)
			}
			test(t, w)
		})
	})
}

// nextPass returns the sizes of the pages of the next listing that is complete.
func (w *world) nextPass() []int {
	w.t.Helper()
	ends := func() {
		complete := w.metrics.read(&w.metrics.complete)
		for w.metrics.read(&w.metrics.complete) == complete {
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
	}
	ends()
	before := len(w.sizes())
	ends()
	return slices.DeleteFunc(w.sizes()[before:], func(size int) bool { return size == 1 }) // which are probes
}

func (w *world) sizes() []int {
	w.upstream.mu.Lock()
	defer w.upstream.mu.Unlock()
	return slices.Clone(w.asked)
}

// One tenant's large rows, on one page, keep nothing from being listed: neither
// at the start nor later.
func TestAPageThatIsTooLargeIsReadInSmallerOnes(t *testing.T) {
	runningHeavily(t, func(t *testing.T, w *world) {
		if w.count(&w.refused) == 0 {
			t.Fatal("no page was refused: the test proves nothing")
		}
		w.agrees()
		w.settle()
		w.inState(Live)
		if _, detail := w.feed.State(); !strings.Contains(detail, "too large") {
			t.Errorf("people are told: %s", detail)
		}
		// Before, on and behind the page that is too large.
		for _, id := range []string{"r00001", "large00003", "s00400"} {
			w.remove(id)
			w.sees(id, "-", 10*time.Second)
		}
		w.write("s00401", "changed")
		w.sees("s00401", "changed", 10*time.Second)
		w.agrees()
		if incomplete := w.metrics.read(&w.metrics.incomplete); incomplete != 0 {
			t.Errorf("%d undisturbed listings were incomplete", incomplete)
		}
		for _, size := range w.sizes() {
			if size < 1 || size > 500 {
				t.Fatalf("a page of %d rows was asked for, which the upstream takes for one of 20", size)
			}
		}
	})
}

// What one large row costs the upstream stays small beside what listings cost.
func TestRefusedPagesAreFew(t *testing.T) {
	running(t, func() *upstream {
		u := newUpstream()
		for _, id := range ids("large", 40) {
			u.set(id, large, false)
		}
		u.mute, u.limit = true, 10*1000
		return u
	}, nil, func(t *testing.T, w *world) {
		time.Sleep(5 * time.Minute)
		asked, refused := len(w.sizes()), w.count(&w.refused)
		time.Sleep(20 * time.Minute)
		asked, refused = len(w.sizes())-asked, w.count(&w.refused)-refused
		if refused == 0 || refused > asked/100 {
			t.Errorf("%d of %d pages were refused", refused, asked)
		}
		w.agrees()
	})
}

func TestPagesGrowAgainWhenTheLargeRowsAreGone(t *testing.T) {
	runningHeavily(t, func(t *testing.T, w *world) {
		w.settle()
		if sizes := w.nextPass(); len(sizes) <= 3 {
			t.Fatalf("pages of %d rows suffice: the test proves nothing", sizes)
		}
		for _, id := range ids("large", 30) {
			w.write(id, "small")
		}
		time.Sleep(3 * time.Minute)
		if sizes := w.nextPass(); !slices.Equal(sizes, []int{500, 500, 500}) {
			t.Errorf("a listing of 1,200 small rows has pages of %d rows", sizes)
		}
		if _, detail := w.feed.State(); strings.Contains(detail, "too large") {
			t.Errorf("people are told: %s", detail)
		}
		w.agrees()
	})
}

// A few of many rows are large: the others are still read in large pages.
func TestPagesAreSmallOnlyWhereRowsAreLarge(t *testing.T) {
	running(t, func() *upstream {
		u := heavy()
		for _, id := range ids("t", 2000) {
			u.set(id, "first", false)
		}
		return u
	}, func(o *Options) { o.PageSize = 50 }, func(t *testing.T, w *world) {
		w.settle()
		sizes := w.nextPass()
		if slices.Min(sizes) > 12 || sizes[0] != 50 || sizes[len(sizes)-1] != 50 {
			t.Errorf("a listing has pages of %d rows", sizes)
		}
		if len(sizes) > 150 {
			t.Errorf("3,200 rows, 30 of them large, take %d pages", len(sizes))
		}
		w.agrees()
	})
}

// No such row should exist. If there is one, people learn which.
func TestARowThatIsTooLargeAloneIsSaid(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() { w.limit = 2000 })
		w.write("r00003", strings.Repeat("x", 2001)) // it is the last of the heap now
		time.Sleep(30 * time.Second)
		w.inState(Lagging)
		if _, detail := w.feed.State(); !strings.Contains(detail, "row 20 alone") {
			t.Errorf("people are told: %s", detail)
		}
		if err := w.feed.Verify(t.Context()); !errors.Is(err, errTooLarge) {
			t.Errorf("what nobody can read was verified: %v", err)
		}
		w.write("r00003", "small again")
		w.sees("r00003", "small again", 20*time.Second) // pauses between failures take up to 15 s
		w.settle()
		w.inState(Live)
		w.agrees()
	})
}

// Reads of single rows and probes may succeed for ever while no listing does: the
// feed is fresh, and says nevertheless what it lacks.
func TestAFeedWhoseListingsFailIsNotLiveHoweverFresh(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.settle()
		w.inState(Live)
		w.do(func() { w.listError = errDown })
		complete, since := w.metrics.read(&w.metrics.complete), w.feed.CompleteSince()
		time.Sleep(time.Second)
		for range 1000 {
			time.Sleep(time.Second)
			if err := w.feed.Refresh(t.Context(), "r00001"); err != nil {
				t.Fatal(err)
			}
			w.inState(Lagging)
		}
		if age := w.feed.Age(); age > time.Second {
			t.Errorf("the last answer is %s old", age)
		}
		if _, detail := w.feed.State(); !strings.Contains(detail, errDown.Error()) {
			t.Errorf("people are told: %s", detail)
		}
		if w.metrics.read(&w.metrics.complete) != complete || w.feed.CompleteSince().After(since.Add(time.Second)) || w.metrics.read(&w.metrics.incomplete) < 50 {
			t.Error("the metrics do not tell")
		}
	})
}

func TestPageSizesShrinkAndGrow(t *testing.T) {
	p := newPageSize(500)
	var sizes []int
	for more := true; more; more = p.halve() {
		sizes = append(sizes, p.rows)
	}
	if want := []int{500, 250, 125, 62, 31, 15, 7, 3, 1}; !slices.Equal(sizes, want) {
		t.Errorf("shrinking: %d, want %d", sizes, want)
	}
	// pages returns how many pages fit until the size is another one.
	pages := func() (count int) {
		for before := p.rows; p.rows == before; count++ {
			p.fits()
		}
		return count
	}
	sizes = nil
	for p.rows < 500 {
		if count := pages(); count != leastPatience {
			t.Errorf("%d pages fitted before pages of %d rows were tried, want %d", count, p.rows, leastPatience)
		}
		sizes = append(sizes, p.rows)
	}
	if want := []int{2, 4, 8, 16, 32, 64, 128, 256, 500}; !slices.Equal(sizes, want) {
		t.Errorf("growing: %d, want %d", sizes, want)
	}
	var patience []int
	for range 5 {
		p.halve()
		patience = append(patience, pages())
	}
	if want := []int{32, 64, 128, 128, 128}; !slices.Equal(patience, want) {
		t.Errorf("patience after each try that failed: %d, want %d", patience, want)
	}
	p.fits()
	p.halve()
	if count := pages(); count != leastPatience {
		t.Errorf("patience after a try that succeeded: %d, want %d", count, leastPatience)
	}
}
