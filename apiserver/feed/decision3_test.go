package feed

import (
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// other is another database: rows of other ids.
func other(count int) map[string]record { return newUpstream(ids("foreign", count)...).rows }

func TestDecision3LostRightsAreNoDeletions(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.noRights, w.mute = true, true })
		time.Sleep(5 * time.Minute)
		w.inState(Degraded)
		if _, detail := w.feed.State(); !strings.Contains(detail, "rights") {
			t.Errorf("the detail does not name the cause: %s", detail)
		}
		if w.release() {
			t.Error("absences of rows that exist could be released")
		}
		time.Sleep(time.Minute)
		if w.clients.withdrawals() != 0 {
			t.Fatal("rows that a Get still finds were withdrawn")
		}
		// A row that is really gone is withdrawn all the same when asked for.
		w.remove("r00001")
		if err := w.feed.Refresh(t.Context(), "r00001"); err != nil {
			t.Fatal(err)
		}
		w.sees("r00001", "-", 0)
		w.do(func() { w.noRights = false })
		w.settle()
		w.inState(Live)
		w.agrees()
	})
}

func TestDecision3LostRightsToASingleRowAreNoDeletion(t *testing.T) {
	running(t, func() *upstream { return newUpstream("only") }, nil, func(t *testing.T, w *world) {
		w.do(func() { w.noRights, w.mute = true, true })
		time.Sleep(time.Minute)
		w.inState(Degraded)
		if w.clients.withdrawals() != 0 {
			t.Fatal("the row was withdrawn")
		}
	})
}

func TestDecision3AnotherDatabaseIsNoMassDeletion(t *testing.T) {
	for name, script := range map[string]struct {
		rows     map[string]record
		miscount int
	}{
		"empty":                               {map[string]record{}, 0},
		"with rows of its own":                {other(200), 0},
		"with rows of its own, always moving": {other(200), 1},
	} {
		t.Run(name, func(t *testing.T) {
			vouching := &witness{}
			running(t, twenty, vouching.option, func(t *testing.T, w *world) {
				before := w.swap(script.rows)
				w.do(func() { w.miscount = script.miscount })
				w.end(errDown)
				time.Sleep(10 * time.Minute)
				w.inState(Degraded)
				for _, id := range ids("r", 20) {
					if err := w.feed.Refresh(t.Context(), id); !errors.Is(err, ErrUnconfirmed) {
						t.Fatalf("reading a row that another database denies returned %v", err)
					}
				}
				// Announcements of the other database prove nothing.
				w.send(Event[record]{ID: "r00001", Deleted: true}, Event[record]{ID: "r00002", Deleted: true})
				time.Sleep(time.Minute)
				if w.clients.withdrawals() != 0 {
					t.Fatal("rows that only another database denies were withdrawn")
				}
				w.do(func() { w.miscount = 0 })
				w.swap(before)
				w.settle()
				w.settle()
				w.inState(Live)
				w.agrees()
				for _, id := range ids("r", 20) {
					if w.clients.withdrawalsOf(id) != 0 {
						t.Fatalf("%s was withdrawn", id)
					}
				}
			})
		})
	}
}

func TestDecision3APersonReleasesAnotherDatabase(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		if w.release() || w.feed.Release("0123456789abcdef") {
			t.Error("something could be released though nothing is held back")
		}
		w.settle()
		w.swap(other(30))
		time.Sleep(time.Minute)
		w.inState(Degraded)
		former, _ := w.feed.Doubt()
		if !w.release() {
			t.Fatal("what was shown cannot be released")
		}
		w.settle()
		w.inState(Live)
		w.agrees()
		// The release was for these absences only.
		w.swap(other(0))
		time.Sleep(time.Minute)
		w.inState(Degraded)
		if w.feed.Release(former.Fingerprint) {
			t.Error("an earlier release could be used again")
		}
		time.Sleep(time.Minute)
		w.inState(Degraded)
		if w.feed.Len() != 30 {
			t.Errorf("%d rows are held, want the 30 of before", w.feed.Len())
		}
	})
}

// The same rows are absent a second time: a release that came too late the first
// time means nothing now.
func TestDecision3AReleaseIsForOneOccasion(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		before := w.swap(other(0))
		time.Sleep(time.Minute)
		first, _ := w.feed.Doubt()
		w.swap(before)
		w.settle()
		w.inState(Live)
		w.swap(other(0))
		time.Sleep(time.Minute)
		w.inState(Degraded)
		if w.feed.Release(first.Fingerprint) {
			t.Error("a release of the first time was accepted the second time")
		}
	})
}

// What is released is what was shown: more absences have to be shown first.
func TestDecision3AReleaseIsForTheAbsencesThatWereShown(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.swap(other(1))
		time.Sleep(10 * time.Second)
		w.inState(Degraded)
		w.swap(other(0)) // one row more is absent
		if !w.release() {
			t.Fatal("what was shown cannot be released")
		}
		time.Sleep(time.Minute)
		if w.clients.withdrawals() != 0 {
			t.Fatalf("%d rows were withdrawn, though more are absent than were shown", w.clients.withdrawals())
		}
		w.inState(Degraded)
		w.release()
		w.settle()
		w.agrees()
	})
}

// A row that only moved between pages is asked for just when the database is
// exchanged.
func TestDecision3AFewAbsencesAreNoDeletionsWhenTheDatabaseIsExchanged(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() {
			w.miscount, w.hidden["r00003"] = 1, true
			w.beforeGet = func(string) {
				w.do(func() { w.beforeGet = nil })
				w.swap(other(0))
			}
		})
		time.Sleep(time.Minute)
		if w.count(&w.gets) == 0 {
			t.Fatal("nobody asked for the row: the test proves nothing")
		}
		if w.clients.withdrawals() != 0 {
			t.Fatal("the denial of another database was believed")
		}
	})
}

// The denial comes from a database that is exchanged for the known one before
// that is asked to vouch.
func TestDecision3ADenialFromBeforeTheDatabaseCameBackIsNotBelieved(t *testing.T) {
	for name, cause := range map[string]func(w *world){
		"a row that only moved between pages": func(w *world) { w.do(func() { w.miscount, w.hidden["r00003"] = 1, true }) },
		"an announced deletion":               func(w *world) { w.send(Event[record]{ID: "r00003", Deleted: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			running(t, silent, nil, func(t *testing.T, w *world) {
				var asked atomic.Bool
				before := maps.Clone(w.rows)
				w.do(func() {
					w.beforeGet = func(string) {
						w.do(func() { w.beforeGet = nil })
						w.swap(other(0))
					}
					w.onGet = func(string) {
						if !asked.Swap(true) {
							w.swap(before)
						}
					}
				})
				cause(w)
				time.Sleep(time.Minute)
				if !asked.Load() {
					t.Fatal("nobody asked for the row: the test proves nothing")
				}
				if w.clients.withdrawals() != 0 {
					t.Fatal("the denial of another database was believed, because the known one vouched later")
				}
			})
		})
	}
}

// A release of what a lost right hides is void, and stays so when the cause
// changes.
func TestDecision3AReleaseOfRowsThatExistIsVoid(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.do(func() { w.noRights = true })
		time.Sleep(10 * time.Second)
		w.release()
		time.Sleep(10 * time.Second)
		w.do(func() { w.noRights = false })
		w.swap(other(0))
		time.Sleep(time.Minute)
		w.inState(Degraded)
		if w.clients.withdrawals() != 0 {
			t.Fatal("a release for one reason was used for another")
		}
	})
}

func TestDecision3RowsThatMovedBetweenPagesAreNoLostRights(t *testing.T) {
	running(t, silent, nil, func(t *testing.T, w *world) {
		w.do(func() {
			w.miscount = 12 // as if the rows were counted, and each page missed them
			for _, id := range ids("r", 12) {
				w.hidden[id] = true
			}
		})
		w.remove("r00000")
		w.sees("r00000", "-", 5*time.Second)
		w.inState(Live)
		if w.clients.withdrawals() != 1 {
			t.Errorf("%d rows were withdrawn, want 1", w.clients.withdrawals())
		}
	})
}

func TestDecision3AReleaseThatFailsIsNotForgotten(t *testing.T) {
	running(t, twenty, nil, func(t *testing.T, w *world) {
		w.swap(other(0))
		time.Sleep(10 * time.Second)
		w.inState(Degraded)
		asked := 0
		w.do(func() {
			w.onGet = func(string) {
				w.do(func() {
					if asked++; asked == samples+5 {
						w.getError = errDown
					}
				})
			}
		})
		w.release()
		time.Sleep(10 * time.Second)
		w.inState(Degraded)
		w.do(func() { w.getError, w.onGet = nil, nil })
		w.settle()
		w.inState(Live)
		w.agrees()
	})
}
