package feed

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// attempts returns the pauses between the attempts to open a stream since.
func (w *world) attempts(since time.Time) (pauses []time.Duration) {
	w.upstream.mu.Lock()
	defer w.upstream.mu.Unlock()
	last := since
	for _, at := range w.opened {
		if at.After(since) {
			pauses = append(pauses, at.Sub(last))
			last = at
		}
	}
	return pauses
}

// slowly is an upstream whose listings take a second, and pause for nineteen.
func slowly() *upstream {
	u := twenty()
	u.latency = time.Second
	return u
}

// amidPause waits until a listing has ended whose pause has just begun.
func (w *world) amidPause() {
	time.Sleep(time.Minute)
	for lists := w.count(&w.lists); w.count(&w.lists) == lists; {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(3 * time.Second)
}

func TestStreamsAreReopenedWhateverEndsThem(t *testing.T) {
	for name, reason := range map[string]error{"a regular end": errEndOfStream, "an error": errDown} {
		t.Run(name, func(t *testing.T) {
			running(t, slowly, nil, func(t *testing.T, w *world) {
				w.amidPause()
				w.do(func() { w.mute = true })
				w.write("r00001", "in the gap")
				w.end(reason)
				w.do(func() { w.mute = false })
				// Neither waits for the pause between listings.
				w.sees("r00001", "in the gap", 1500*time.Millisecond)
				w.write("r00002", "afterwards")
				w.sees("r00002", "afterwards", 100*time.Millisecond)
				time.Sleep(2 * time.Minute)
				w.inState(Live)
				if w.metrics.read(&w.metrics.reconnects) != 1 {
					t.Errorf("%d reconnects, want 1", w.metrics.read(&w.metrics.reconnects))
				}
			})
		})
	}
}

// The stream gives no sign of when it became active: what happened right after
// it was opened shows in a second listing, long before the next regular one.
func TestAListingFollowsASecondAfterAStreamWasOpened(t *testing.T) {
	running(t, slowly, nil, func(t *testing.T, w *world) {
		w.amidPause()
		w.do(func() { w.mute = true })
		w.end(errEndOfStream)
		time.Sleep(700 * time.Millisecond) // the listing at once has been read
		w.write("r00001", "not announced")
		w.sees("r00001", "not announced", 3*time.Second)
	})
}

func TestTheStreamIsOpenedBeforeTheFirstListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		within(t, twenty(), nil, func(t *testing.T, w *world) {
			source := &slowWatch{upstream: w.upstream, opening: time.Second}
			f, err := New[record](source, w.clients, Options{Name: "rows"})
			if err != nil {
				t.Fatal(err)
			}
			w.feed = f
			defer w.run()()
			time.Sleep(900 * time.Millisecond)
			if w.count(&w.lists) != 0 {
				t.Fatal("a listing began before the stream was open")
			}
			time.Sleep(200 * time.Millisecond)
			if w.count(&w.lists) == 0 {
				t.Fatal("no listing began when the stream was open")
			}
		})
	})
}

func TestListingsGoOnWhileTheStreamIsBeingOpenedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		within(t, twenty(), nil, func(t *testing.T, w *world) {
			source := &slowWatch{upstream: w.upstream, opening: time.Hour}
			f, err := New[record](source, w.clients, Options{Name: "rows"})
			if err != nil {
				t.Fatal(err)
			}
			w.feed = f
			defer w.run()()
			select {
			case <-f.Synced():
			case <-time.After(openPatience + time.Second):
				t.Fatal("the first listing waits for a stream that never opens")
			}
			w.write("r00001", "changed")
			w.sees("r00001", "changed", 3*time.Second)
			w.inState(Lagging)
		})
	})
}

// slowWatch takes its time to open a stream.
type slowWatch struct {
	*upstream
	opening time.Duration
}

func (s *slowWatch) Watch(ctx context.Context) (Stream[record], error) {
	if !sleep(ctx, s.opening, nil) {
		return nil, ctx.Err()
	}
	return s.upstream.Watch(ctx)
}

func TestListingsGoOnWithoutAStream(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.watchError = errDown })
		w.end(errDown)
		time.Sleep(time.Minute)
		w.inState(Lagging)
		w.write("r00001", "changed")
		w.remove("r00002")
		w.sees("r00001", "changed", 2*time.Second)
		w.sees("r00002", "-", 2*time.Second)
	})
}

func TestAFailedListingDoesNotEndTheStream(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.listError = errDown })
		time.Sleep(time.Minute)
		w.inState(Stale)
		w.write("r00001", "by event")
		w.sees("r00001", "by event", time.Millisecond)
		if opens := w.count(&w.opens); opens != 1 {
			t.Errorf("%d streams were opened, want 1", opens)
		}
		lists := w.count(&w.lists)
		time.Sleep(time.Minute)
		if more := w.count(&w.lists) - lists; more > 20 {
			t.Errorf("%d listings were tried in a minute that all failed", more)
		}
		w.do(func() { w.listError = nil })
		time.Sleep(20 * time.Second)
		w.inState(Live)
		lists = w.count(&w.lists)
		time.Sleep(10 * time.Second)
		if more := w.count(&w.lists) - lists; more < 8 {
			t.Errorf("%d listings in ten seconds after the upstream came back", more)
		}
	})
}

func TestPausesBetweenAttemptsGrowAndStartAnew(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		began := time.Now()
		w.do(func() { w.watchError = errDown })
		w.end(errDown)
		time.Sleep(2 * time.Minute)
		pauses := w.attempts(began)
		if len(pauses) < 8 || len(pauses) > 30 {
			t.Fatalf("%d attempts in two minutes", len(pauses))
		}
		if first, last := pauses[0], pauses[len(pauses)-1]; first > 200*time.Millisecond || last < 5*time.Second || last > 15*time.Second {
			t.Errorf("the pauses are %s", pauses)
		}
		w.do(func() { w.watchError = nil })
		time.Sleep(15*time.Second + healthyAfter)
		w.inState(Live)
		ended := time.Now()
		w.end(errDown)
		time.Sleep(time.Second)
		if pauses := w.attempts(ended); len(pauses) != 1 || pauses[0] > 200*time.Millisecond {
			t.Errorf("after a stream that lived the pauses are %s", pauses)
		}
	})
}

func TestAStreamThatEndsAtOnceIsNoHealthyOne(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		began := time.Now()
		for time.Since(began) < time.Minute {
			w.end(errEndOfStream)
			time.Sleep(10 * time.Millisecond)
		}
		if attempts := len(w.attempts(began)); attempts > 20 {
			t.Errorf("%d streams were opened in a minute", attempts)
		}
	})
}

// rotation is a Reopen.
type rotation struct {
	mu      sync.Mutex
	changed chan struct{}
}

func (r *rotation) channel() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

func (r *rotation) rotate() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
}

func TestNewCredentialsReopenTheStream(t *testing.T) {
	tokens := &rotation{}
	running(t, twenty, func(o *Options) { o.Reopen = tokens.channel }, func(t *testing.T, w *world) {
		for n := range 3 {
			time.Sleep(time.Second)
			tokens.rotate()
			time.Sleep(200 * time.Millisecond)
			if opens := w.count(&w.opens); opens != n+2 {
				t.Fatalf("%d streams were opened after %d rotations", opens, n+1)
			}
			w.inState(Live)
		}
	})
}

func TestNewCredentialsEndThePauseBetweenAttempts(t *testing.T) {
	tokens := &rotation{}
	running(t, twenty, func(o *Options) { o.Reopen = tokens.channel }, func(t *testing.T, w *world) {
		w.do(func() { w.watchError = errDown })
		w.end(errDown)
		time.Sleep(2 * time.Minute)
		for opens := w.count(&w.opens); w.count(&w.opens) == opens; {
			time.Sleep(time.Millisecond) // a pause of at least five seconds begins
		}
		w.do(func() { w.watchError = nil })
		tokens.rotate()
		time.Sleep(10 * time.Millisecond)
		w.inState(Live)
	})
}

func TestNewCredentialsDuringTheOpeningAreNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := &rotation{}
		within(t, twenty(), nil, func(t *testing.T, w *world) {
			source := &slowWatch{upstream: w.upstream, opening: time.Second}
			f, err := New[record](source, w.clients, Options{Name: "rows", Reopen: tokens.channel})
			if err != nil {
				t.Fatal(err)
			}
			w.feed = f
			defer w.run()()
			time.Sleep(500 * time.Millisecond)
			tokens.rotate()
			time.Sleep(5 * time.Second)
			if opens := w.count(&w.opens); opens != 2 {
				t.Errorf("%d streams were opened, want a second one with the new credentials", opens)
			}
		})
	})
}

func TestRunEndsWithItsContextWhateverItWaitsFor(t *testing.T) {
	for name, script := range map[string]func(*world){
		"at rest":           func(*world) {},
		"in a listing":      func(w *world) { w.do(func() { w.latency = time.Hour }); w.feed.Relist() },
		"in a Get":          func(w *world) { w.do(func() { w.latency = time.Hour }); w.feed.hints.add("r00001") },
		"without stream":    func(w *world) { w.do(func() { w.watchError = errDown }); w.end(errDown) },
		"without an answer": func(w *world) { w.do(func() { w.listError, w.getError = errDown, errDown }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				within(t, twenty(), nil, func(t *testing.T, w *world) {
					stop := w.run()
					<-w.feed.Synced()
					script(w)
					time.Sleep(10 * time.Second)
					began := time.Now()
					stop()
					if took := time.Since(began); took != 0 {
						t.Errorf("ending took %s", took)
					}
				})
			})
		})
	}
}

func TestRelistIsBoundedHoweverOftenItIsAskedFor(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.latency = 200 * time.Millisecond })
		lists := w.count(&w.lists)
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(time.Millisecond) {
			w.feed.Relist()
		}
		if more := w.count(&w.lists) - lists; more < 15 || more > 30 {
			t.Errorf("%d listings of 200 ms in ten seconds of asking, want about 25", more)
		}
	})
}
