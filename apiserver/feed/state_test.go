package feed

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestOptionsAreChecked(t *testing.T) {
	for name, options := range map[string]Options{
		"no name":       {},
		"pages too big": {Name: "rows", PageSize: 501},
		"no page":       {Name: "rows", PageSize: -1},
	} {
		if _, err := New[record](newUpstream(), &clients{}, options); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStatesBeforeTheFirstSynchronisation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := twenty()
		u.listError, u.watchError = errDown, errDown
		within(t, u, nil, func(t *testing.T, w *world) {
			w.inState(Connecting)
			if w.feed.Age() != math.MaxInt64 || !w.feed.CompleteSince().IsZero() || !w.feed.LastEvent().IsZero() {
				t.Error("a feed that never ran claims to know something")
			}
			defer w.run()()
			time.Sleep(20 * time.Second)
			w.inState(Connecting)
			w.do(func() { w.listError, w.miscount = nil, 5 })
			time.Sleep(20 * time.Second)
			w.inState(Listing)
			w.do(func() { w.miscount = 0 })
			<-w.feed.Synced()
			w.inState(Lagging)
			w.do(func() { w.watchError = nil })
			time.Sleep(20 * time.Second)
			w.inState(Live)
		})
	})
}

func TestAWatchThatListingsOvertakeIsLagging(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.settle()
		w.inState(Live)
		for n := range 5 {
			w.write("r00001", fmt.Sprint("change ", n))
			time.Sleep(1100 * time.Millisecond)
		}
		w.inState(Lagging)
		w.settle()
		w.inState(Live)
	})
}

func TestAnUpstreamThatDoesNotAnswerIsStale(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.listError, w.getError = errDown, errDown })
		time.Sleep(29 * time.Second)
		w.inState(Lagging)
		time.Sleep(2 * time.Second)
		w.inState(Stale)
		// What an event tells may have waited for minutes.
		w.write("r00001", "by event")
		time.Sleep(time.Second)
		w.inState(Stale)
		w.feed.Answered()
		w.inState(Lagging)
	})
}

func TestRowsStayFreshWhileListingsArePausedForLong(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.latency = 10 * time.Second }) // a pause of more than three minutes
		time.Sleep(30 * time.Second)
		w.do(func() { w.latency = 5 * time.Millisecond })
		time.Sleep(15 * time.Second) // what is on its way is answered
		lists := w.count(&w.lists)
		var oldest time.Duration
		for range 100 {
			time.Sleep(time.Second)
			oldest = max(oldest, w.feed.Age())
		}
		if w.count(&w.lists) != lists {
			t.Fatal("there was a listing: the test proves nothing")
		}
		if oldest > 12*time.Second || w.count(&w.probes) == 0 {
			t.Errorf("the upstream was not asked for %s, with %d probes", oldest, w.count(&w.probes))
		}
	})
}

// A creation whose outcome is unknown is settled by a listing that began later.
func TestCompleteSinceIsWhenTheListingBegan(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.latency = time.Second })
		w.do(func() { w.hidden["r00001"] = true }) // a Get after the listing takes time, too
		lists := w.count(&w.lists)
		w.feed.Relist()
		for w.count(&w.lists) == lists {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		time.Sleep(3 * time.Second)
		if since := w.feed.CompleteSince(); since.After(began) || began.Sub(since) > 2*time.Millisecond {
			t.Errorf("the listing that began at %s counts as begun at %s", began, since)
		}
	})
}

func TestRowIsTheLastThatWasObserved(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.write("r00001", "second")
		w.sees("r00001", "second", time.Second)
		if row, found := w.feed.Row("r00001"); !found || row.content != "second" {
			t.Errorf("the row is %q", row.content)
		}
		if _, found := w.feed.Row("nobody"); found {
			t.Error("a row that never was is held")
		}
	})
}

func TestRefreshTellsWhyItFailed(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.getError = errDown })
		if err := w.feed.Refresh(t.Context(), "r00001"); !errors.Is(err, errDown) {
			t.Errorf("got %v", err)
		}
		w.sees("r00001", "first", 0)
	})
}
