package feed

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestDecision2AnEventHeldAcrossANewerListIsAHint(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.hold = true })
		w.write("r00001", "second")
		w.do(func() { w.mute = true })
		w.write("r00001", "third")
		w.sees("r00001", "third", 3*time.Second)
		time.Sleep(5 * time.Second)
		gets := w.count(&w.gets)
		w.releaseHeld()
		w.never("r00001", "second", 5*time.Second)
		if w.count(&w.gets) != gets+1 {
			t.Errorf("the late event led to %d Gets, want 1", w.count(&w.gets)-gets)
		}
		w.agrees()
	})
}

func TestDecision2AnEventHeldAcrossOurOwnWriteIsAHint(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.hold = true })
		w.write("r00001", "theirs")
		w.do(func() { w.mute = true })
		answer := w.write("r00001", "ours")
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		w.sees("r00001", "ours", 0)
		time.Sleep(5 * time.Second)
		gets := w.count(&w.gets)
		w.releaseHeld()
		w.never("r00001", "theirs", 5*time.Second)
		if w.count(&w.gets) != gets+1 {
			t.Errorf("the late event led to %d Gets, want 1", w.count(&w.gets)-gets)
		}
	})
}

func TestDecision2ANewerEventIsFoldedWithoutAGet(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		gets := w.count(&w.gets)
		w.write("r00001", "second")
		w.write("new", "here")
		w.sees("r00001", "second", time.Millisecond)
		w.sees("new", "here", time.Millisecond)
		if w.count(&w.gets) != gets {
			t.Error("a row that an event carried was asked for")
		}
	})
}

// The upstream's clock is set back between two writes: the first one's event looks
// newer than the second.
func TestDecision2AClockThatIsSetBackRollsNothingBack(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		first := w.write("r00001", "second")
		w.sees("r00001", "second", time.Millisecond)
		w.do(func() { w.mute = true })
		w.write("r00001", "third")
		w.do(func() {
			row := w.rows["r00001"]
			row.at = row.at.Add(-time.Hour)
			w.rows["r00001"] = row
		})
		w.sees("r00001", "third", 3*time.Second)
		w.send(Event[record]{ID: "r00001", Row: first})
		w.never("r00001", "second", 5*time.Second)
	})
}

func TestDecision2AnEventOfTheSameTimeButOtherContentIsAHint(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		now := w.write("r00001", "second")
		w.sees("r00001", "second", time.Millisecond)
		twin := now
		twin.content = "other"
		w.send(Event[record]{ID: "r00001", Row: twin})
		w.never("r00001", "other", 3*time.Second)
	})
}

// A, B, A again: the event of B comes last. It is newer than the first A, whose
// content is the present one.
func TestDecision2ContentThatCameBackIsNotRolledBack(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.mute = true })
		between := w.write("r00001", "between")
		back := w.write("r00001", "first")
		w.send(Event[record]{ID: "r00001", Row: back}, Event[record]{ID: "r00001", Row: between})
		w.never("r00001", "between", 3*time.Second)
		if w.clients.publications("r00001") != 1 {
			t.Errorf("a content that never changed was published %d times", w.clients.publications("r00001"))
		}
	})
}

func TestDecision2EqualContentIsNoEvent(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		answer := w.write("r00001", "first")
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		w.write("r00001", "first")
		w.write("r00001", "first")
		w.settle()
		if w.clients.publications("r00001") != 1 {
			t.Errorf("equal content was published %d times", w.clients.publications("r00001"))
		}
		if w.metrics.read(&w.metrics.echoes) != 3 || w.metrics.read(&w.metrics.repairs) != 0 {
			t.Errorf("%d echoes and %d repairs, want 3 and 0", w.metrics.read(&w.metrics.echoes), w.metrics.read(&w.metrics.repairs))
		}
	})
}

func TestDecision2AnEchoOfOurOwnWriteCostsNothing(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.hold = true })
		answer := w.write("r00001", "ours")
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		gets := w.count(&w.gets)
		w.releaseHeld()
		w.settle()
		if w.clients.publications("r00001") != 2 || w.count(&w.gets) != gets {
			t.Errorf("published %d times with %d Gets, want 2 and 0", w.clients.publications("r00001"), w.count(&w.gets)-gets)
		}
	})
}

func TestDecision2AnAnswerThatWasOvertakenIsReadAgain(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		answer := w.write("r00001", "ours")
		w.write("r00001", "theirs")
		w.sees("r00001", "theirs", time.Millisecond)
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		w.sees("r00001", "theirs", 0)
		if w.clients.publications("r00001") > 3 {
			t.Errorf("published %d times", w.clients.publications("r00001"))
		}
	})
}

func TestDecision2AnAnswerThatADeletionOvertookIsReadAgain(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		answer := w.write("r00001", "ours")
		w.remove("r00001")
		w.sees("r00001", "-", time.Second)
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		w.never("r00001", "ours", 3*time.Second)
	})
}

func TestDecision2TheAnswerToACreationIsFoldedEvenIfTheIDWasAskedForBefore(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		if err := w.feed.Refresh(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		w.do(func() { w.mute = true })
		answer := w.write("new", "here")
		w.do(func() { w.getError = errDown })
		if err := w.feed.Observe(t.Context(), answer); err != nil {
			t.Fatal(err)
		}
		w.sees("new", "here", 0)
	})
}

func TestDecision2AGetIsRepeatedIfTheRowChangedMeanwhile(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() {
			w.mute = true
			w.onGet = func(string) {
				w.do(func() { w.onGet = nil })
				// The Get has read the first state; a newer one becomes known before it
				// answers.
				if err := w.feed.Observe(t.Context(), w.write("r00001", "ours")); err != nil {
					t.Error(err)
				}
			}
		})
		gets := w.count(&w.gets)
		if err := w.feed.Refresh(t.Context(), "r00001"); err != nil {
			t.Fatal(err)
		}
		w.sees("r00001", "ours", 0)
		if w.count(&w.gets) != gets+2 {
			t.Errorf("%d Gets, want 2", w.count(&w.gets)-gets)
		}
	})
}

func TestDecision2ADenialIsRepeatedIfTheRowAppearedMeanwhile(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() {
			w.onGet = func(string) {
				w.do(func() { w.onGet = nil })
				if err := w.feed.Observe(t.Context(), w.write("new", "ours")); err != nil {
					t.Error(err)
				}
			}
		})
		if err := w.feed.Refresh(t.Context(), "new"); err != nil {
			t.Fatal(err)
		}
		w.sees("new", "ours", 0)
	})
}

func TestDecision2ADeletionIsConfirmedByGet(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		gets := w.count(&w.gets)
		w.remove("r00001")
		w.sees("r00001", "-", 100*time.Millisecond)
		if w.count(&w.gets) == gets {
			t.Error("a deletion was believed without a Get")
		}
	})
}

func TestDecision2ADeletionOfALivingRowIsNotBelieved(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.send(Event[record]{ID: "r00001", Deleted: true})
		w.never("r00001", "-", 5*time.Second)
	})
}

func TestDecision2ALateCreatedAfterOurDeleteDoesNotResurrect(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.hold = true })
		w.write("new", "here")
		w.write("r00001", "second")
		w.sees("new", "here", 3*time.Second)
		w.remove("new")
		w.remove("r00001")
		w.feed.Deleted("new")
		w.feed.Deleted("r00001")
		w.sees("new", "-", 0)
		time.Sleep(5 * time.Second)
		published := w.clients.publications("new") + w.clients.publications("r00001")
		w.releaseHeld()
		w.settle()
		if now := w.clients.publications("new") + w.clients.publications("r00001"); now != published {
			t.Error("a late event resurrected a deleted row")
		}
	})
}

func TestDecision2ARowThatAWriterRevivedIsShown(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.remove("r00001")
		w.feed.Deleted("r00001")
		w.write("r00001", "revived")
		w.sees("r00001", "revived", time.Second)
	})
}

// A page that was read before a deletion is answered after it.
func TestDecision2APageOnItsWayDoesNotResurrect(t *testing.T) {
	for name, del := range map[string]func(*world){
		"ours":       func(w *world) { w.remove("r00001"); w.feed.Deleted("r00001") },
		"announced":  func(w *world) { w.remove("r00001") },
		"never held": func(w *world) { w.remove("new") },
	} {
		t.Run(name, func(t *testing.T) {
			running(t, twenty, nil, func(t *testing.T, w *world) {
				w.settle()
				w.do(func() { w.latency, w.mute = 200*time.Millisecond, true })
				w.write("new", "here")
				lists := w.count(&w.lists)
				w.feed.Relist()
				for w.count(&w.lists) == lists {
					time.Sleep(time.Millisecond)
				}
				w.do(func() { w.latency, w.mute = time.Millisecond, false })
				published := w.clients.publications("r00001")
				del(w)
				time.Sleep(2 * time.Second)
				if w.clients.publications("r00001") != published {
					t.Error("a listing brought back a row that was deleted after it had been read")
				}
				if name == "never held" && w.clients.publications("new") != 0 {
					t.Error("a listing brought a row whose deletion had been announced")
				}
			})
		})
	}
}

// A row is denied, and revived while something is asked to vouch for the denial.
func TestDecision2ADenialThatWasOvertakenIsNotBelieved(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.remove("r00003")
		w.do(func() {
			w.onGet = func(id string) {
				if id != "r00003" && w.clients.state("r00003") == "first" {
					w.send(Event[record]{ID: "r00003", Row: w.write("r00003", "revived")})
				}
			}
		})
		w.sees("r00003", "revived", 3*time.Second)
		w.settle()
		if w.clients.withdrawals() != 0 {
			t.Error("a row that had come back was withdrawn")
		}
	})
}

func TestAnEventWithoutAnIDIsIgnored(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.send(Event[record]{Deleted: true}, Event[record]{Row: record{content: "nobody"}})
		w.settle()
		w.agrees()
	})
}

func TestHintsAreBoundedByTheNumberOfRows(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.settle()
		w.do(func() { w.latency = time.Minute })
		for n := range 10_000 {
			for _, id := range ids("r", 10) {
				w.send(Event[record]{ID: id, Row: record{id: id, content: "old", n: n}})
			}
		}
		synctest.Wait()
		w.feed.hints.mu.Lock()
		pending, queued := len(w.feed.hints.pending), len(w.feed.hints.queue)
		w.feed.hints.mu.Unlock()
		if pending > 10 || queued > 10 || pending == 0 {
			t.Errorf("%d hints are pending and %d queued after 100,000 events about 10 rows", pending, queued)
		}
		w.do(func() { w.latency = time.Millisecond })
	})
}

func TestTombstonesAreBoundedAndForgotten(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		for _, id := range ids("unknown", 5*strangers) {
			w.send(Event[record]{ID: id, Deleted: true})
		}
		synctest.Wait()
		count := func() int {
			w.feed.mu.Lock()
			defer w.feed.mu.Unlock()
			return len(w.feed.tombstones)
		}
		if got := count(); got == 0 || got > strangers+20 {
			t.Errorf("%d tombstones of rows that never were", got)
		}
		time.Sleep(tombstoneLife + time.Minute)
		if got := count(); got != 0 {
			t.Errorf("%d tombstones are never forgotten", got)
		}
	})
}

func TestRefreshEndsWithItsContext(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.latency = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.feed.Refresh(ctx, "r00001"); err == nil {
			t.Fatal("a read that was never answered succeeded")
		}
		w.do(func() { w.latency = time.Millisecond })
	})
}
