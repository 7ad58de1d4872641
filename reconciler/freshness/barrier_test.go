package freshness

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is an API server at a version and an informer that has reached another one.
type world struct {
	server, informer atomic.Int64
	// questions counts the questions; each takes slow, and fails with failure.
	questions atomic.Int64
	slow      time.Duration
	failure   error
}

func (w *world) barrier() *Barrier {
	current := func(context.Context) (string, error) {
		w.questions.Add(1)
		version := w.server.Load()
		time.Sleep(w.slow)
		return strconv.FormatInt(version, 10), w.failure
	}
	reached := func() string { return strconv.FormatInt(w.informer.Load(), 10) }
	return NewBarrier(current, reached, time.Now)
}

func TestItWaitsForTheInformer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{slow: time.Millisecond}
		w.server.Store(20)
		w.informer.Store(19)
		barrier := w.barrier()
		done := make(chan error, 1)
		go func() { done <- barrier.Await(t.Context(), time.Now()) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(done) != 0 {
			t.Fatal("it did not wait for the informer")
		}
		w.informer.Store(20)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What is known of a moment is known of all moments before it.
func TestAMomentThatIsKnownIsNotAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.server.Store(20)
		w.informer.Store(20)
		barrier, first := w.barrier(), time.Now()
		for _, step := range []struct {
			moment time.Time
			asked  int64
		}{{first, 1}, {first, 1}, {first.Add(-time.Hour), 1}, {first.Add(time.Minute), 2}, {first, 2}} {
			if wait := time.Until(step.moment); wait > 0 {
				time.Sleep(wait)
			}
			if err := barrier.Await(t.Context(), step.moment); err != nil || w.questions.Load() != step.asked {
				t.Errorf("asked %d times, want %d; %v", w.questions.Load(), step.asked, err)
			}
		}
	})
}

// A question that began before the moment does not tell of it.
func TestAQuestionThatBeganTooEarlyIsNotEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{slow: time.Second}
		w.server.Store(20)
		w.informer.Store(20)
		barrier := w.barrier()
		var waiting sync.WaitGroup
		await := func() {
			waiting.Go(func() {
				if err := barrier.Await(t.Context(), time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		await()
		time.Sleep(500 * time.Millisecond)
		w.server.Store(21)
		for range 10 {
			await()
		}
		synctest.Wait()
		if asked := w.questions.Load(); asked != 1 {
			t.Errorf("%d questions at the same time", asked)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		// Ten who wait share the second one, which tells of a state that the informer
		// has not reached.
		if asked := w.questions.Load(); asked != 2 {
			t.Errorf("%d questions, want 2", asked)
		}
		w.informer.Store(21)
		waiting.Wait()
	})
}

func TestFailuresAreToldAndTheNextOneAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{failure: errors.New("away")}
		barrier := w.barrier()
		if err := barrier.Await(t.Context(), time.Now()); !errors.Is(err, w.failure) {
			t.Errorf("got %v, want the failure", err)
		}
		w.failure = nil
		w.server.Store(20)
		w.informer.Store(1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() { first <- barrier.Await(ctx, time.Now()) }()
		synctest.Wait()
		short, cancelShort := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancelShort()
		if err := barrier.Await(short, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("whoever waits for another's question: %v", err)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an informer that gets nowhere: %v", err)
		}
		w.informer.Store(20)
		if err := barrier.Await(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		if asked := w.questions.Load(); asked != 3 {
			t.Errorf("%d questions, want 3", asked)
		}
	})
}
