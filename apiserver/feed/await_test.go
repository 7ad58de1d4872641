package feed

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// The watch is dead. What was changed just before the call is known after it.
func TestVerifyShowsWhatWasChangedBeforeIt(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		for range 20 {
			// Any moment of a listing, or of the pause after it.
			time.Sleep(7 * time.Millisecond)
			w.write("r00003", "changed at "+time.Now().String())
			w.write("r"+time.Now().String(), "new")
			if err := w.feed.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.agrees()
		}
		w.remove("r00004")
		if err := w.feed.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.agrees()
	})
}

// Those who ask at the same time share listings.
func TestVerifyIsShared(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.settle()
		before := w.count(&w.lists)
		done := make(chan error)
		for range 100 {
			go func() { done <- w.feed.Verify(t.Context()) }()
		}
		for range 100 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if lists := w.count(&w.lists) - before; lists > 2 {
			t.Errorf("%d listings were made for 100 callers", lists)
		}
	})
}

func TestVerifySaysWhyItCannot(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() { w.listError = errDown })
		if err := w.feed.Verify(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("while the upstream is down: %v", err)
		}
		w.do(func() { w.listError = nil })
		before := w.swap(other(5))
		if err := w.feed.Verify(t.Context()); !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("while it denies what is known: %v", err)
		}
		w.swap(before)
		if err := w.feed.Verify(t.Context()); err != nil {
			t.Errorf("after it came back: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.do(func() { w.latency = time.Hour })
		if err := w.feed.Verify(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("after the caller went away: %v", err)
		}
	})
}

// A row that a listing lacks is asked for before the listing counts. While that
// fails, nothing is verified.
func TestVerifyWaitsUntilAbsencesAreConfirmed(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() { w.getError = errDown })
		w.remove("r00004")
		verified := make(chan error, 1)
		go func() { verified <- w.feed.Verify(t.Context()) }()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		select {
		case err := <-verified:
			t.Fatalf("a row that is in doubt counts as verified: %v", err)
		default:
		}
		w.do(func() { w.getError = nil })
		if err := <-verified; err != nil {
			t.Fatal(err)
		}
		w.agrees()
	})
}

// What was created before the call is known after it, through failures.
func TestAwaitListingGoesOnUntilAListingIsComplete(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() { w.listError = errDown })
		w.write("new", "made")
		after := time.Now()
		done := make(chan error, 1)
		go func() { done <- w.feed.AwaitListing(t.Context(), after) }()
		time.Sleep(3 * time.Second)
		w.do(func() { w.listError, w.miscount = nil, 1 })
		time.Sleep(2 * time.Second)
		w.do(func() { w.miscount = 0 })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.sees("new", "made", 0)
		if !w.feed.CompleteSince().After(after) {
			t.Error("the listing began before")
		}
	})
}
