package feed

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"time"
)

// witness is a Witness that says what it is told to.
type witness struct{ there atomic.Bool }

func (w *witness) option(o *Options) {
	o.Witness = func(context.Context, time.Time) bool { return w.there.Load() }
}

func TestDecision3AMassThatAWitnessVouchesForIsBelievedAtTheSecondLook(t *testing.T) {
	vouching := &witness{}
	vouching.there.Store(true)
	running(t, silent, vouching.option, func(t *testing.T, w *world) {
		w.swap(map[string]record{})
		time.Sleep(29 * time.Second)
		w.inState(Degraded)
		if w.clients.withdrawals() != 0 {
			t.Fatal("a mass of absences was believed at first sight")
		}
		if err := w.feed.Refresh(t.Context(), "r00001"); !errors.Is(err, ErrUnconfirmed) {
			t.Fatalf("a suspect was read before the second look: %v", err)
		}
		time.Sleep(5 * time.Second)
		w.agrees()
		w.inState(Live)
	})
}

func TestDecision3AMassDeletionIsVouchedForByTheRowsThatRemain(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.remove(ids("r", 15)...)
		time.Sleep(25 * time.Second)
		if w.clients.withdrawals() != 0 {
			t.Fatal("a mass of absences was believed at first sight")
		}
		time.Sleep(10 * time.Second)
		w.agrees()
		w.inState(Live)
	})
}

func TestDecision3AnAnnouncedMassDeletionIsBelievedAtOnce(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.remove(ids("r", 15)...)
		time.Sleep(3 * time.Second)
		w.agrees()
		w.inState(Live)
	})
}

func TestDecision3AnAnnouncedMassDeletionThatCouldNotBeReadIsBelievedAtFirstSight(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.getError = errDown })
		w.remove(ids("r", 15)...)
		time.Sleep(3 * time.Second)
		w.do(func() { w.getError = nil })
		time.Sleep(5 * time.Second)
		w.agrees()
		w.inState(Live)
	})
}

func TestDecision3TheLastRowIsWithdrawnWhenAWitnessVouches(t *testing.T) {
	one := func() *upstream { return newUpstream("only") }
	for name, mute := range map[string]bool{"announced": false, "not announced": true} {
		t.Run(name, func(t *testing.T) {
			vouching := &witness{}
			vouching.there.Store(true)
			running(t, one, vouching.option, func(t *testing.T, w *world) {
				w.do(func() { w.mute = mute })
				w.remove("only")
				if mute {
					w.sees("only", "-", 35*time.Second)
				} else {
					w.sees("only", "-", time.Second)
				}
				w.settle()
				w.inState(Live)
			})
		})
	}
	t.Run("nobody vouches", func(t *testing.T) {
		vouching := &witness{}
		running(t, one, vouching.option, func(t *testing.T, w *world) {
			w.remove("only")
			w.never("only", "-", time.Minute)
			w.inState(Degraded)
			vouching.there.Store(true)
			w.sees("only", "-", 35*time.Second)
		})
	})
	t.Run("deleted through us", func(t *testing.T) {
		running(t, one, nil, func(t *testing.T, w *world) {
			w.remove("only")
			w.feed.Deleted("only")
			w.sees("only", "-", 0)
			w.settle()
			w.inState(Live)
		})
	})
}

func TestDecision3TheRowsOfAnotherDatabaseNeverVouchForIt(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		known := time.Now()
		if !w.feed.Vouch(t.Context(), known) {
			t.Fatal("a feed whose rows are all there does not vouch")
		}
		w.swap(other(100))
		w.end(errDown)
		w.write("appeared", "by event")
		for range 20 {
			time.Sleep(10 * time.Second)
			if w.feed.Vouch(t.Context(), known) || w.feed.Vouch(t.Context(), time.Now()) {
				t.Fatal("the rows of another database vouched for it")
			}
		}
	})
}

// Where ids are names, another database may have the same ones.
func TestDecision3ARowOfTheSameNameInAnotherDatabaseDoesNotVouch(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		known := time.Now()
		database := other(0)
		w.swap(database)
		w.do(func() { w.mute = true })
		w.write("r00000", "namesake")
		if w.feed.Vouch(t.Context(), known) {
			t.Fatal("a namesake vouched before a listing told of it")
		}
		time.Sleep(time.Minute)
		if w.clients.state("r00000") != "namesake" {
			t.Errorf("the row that the upstream returns is %q to clients", w.clients.state("r00000"))
		}
		if w.feed.Vouch(t.Context(), known) {
			t.Fatal("a namesake vouched for another database")
		}
		w.inState(Degraded)
		if w.clients.withdrawals() != 0 {
			t.Fatal("rows that another database denies were withdrawn")
		}
	})
}

// The rows that came with another database are no loss when it goes.
func TestDecision3TheRowsOfAnotherDatabaseGoWithIt(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		before := w.swap(maps.Clone(other(500)))
		time.Sleep(time.Minute)
		if w.feed.Len() != 520 {
			t.Fatalf("%d rows are held, want the 20 known and the 500 that the listing returns", w.feed.Len())
		}
		w.swap(before)
		time.Sleep(5 * time.Second)
		w.agrees()
		w.inState(Live)
	})
}

func TestDecision3TwoFeedsOfAnotherDatabaseDoNotVouchForEachOther(t *testing.T) {
	for name, known := range map[string]int{"both know rows": 20, "one knows none": 0} {
		t.Run(name, func(t *testing.T) {
			var sessions *world
			running(t, func() *upstream { return newUpstream(ids("p", known)...) }, func(o *Options) {
				o.Witness = func(ctx context.Context, at time.Time) bool { return sessions.feed.Vouch(ctx, at) }
			}, func(t *testing.T, projects *world) {
				within(t, newUpstream(ids("s", 50)...), func(o *Options) {
					o.Witness = func(ctx context.Context, at time.Time) bool { return projects.feed.Vouch(ctx, at) }
				}, func(t *testing.T, w *world) {
					sessions = w
					defer sessions.run()()
					<-sessions.feed.Synced()
					projects.settle()
					sessions.settle()
					sessions.do(func() { sessions.latency = 100 * time.Millisecond }) // projects are listed first
					projects.swap(other(10))
					sessions.swap(other(70))
					time.Sleep(10 * time.Minute)
					sessions.inState(Degraded)
					if projects.clients.withdrawals()+sessions.clients.withdrawals() != 0 {
						t.Fatal("rows were withdrawn")
					}
				})
			})
		})
	}
}
