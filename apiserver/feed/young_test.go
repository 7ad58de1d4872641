package feed

import (
	"testing"
	"testing/synctest"
	"time"
)

// Rows that come and go before any listing agreed with what is held must not
// leave the feed degraded for ever: others of them are still there.
func TestDecision3AYoungWorldIsNotDegradedByItsFirstDeletions(t *testing.T) {
	running(t, func() *upstream { return newUpstream() }, nil, func(t *testing.T, w *world) {
		time.Sleep(20 * time.Millisecond)
		// Between two listings, twenty rows come by events, and seven go without.
		for _, id := range ids("r", 20) {
			w.write(id, "here")
		}
		synctest.Wait()
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		w.do(func() { w.mute = true })
		w.remove(ids("r", 7)...)
		lists := w.count(&w.lists)
		for w.count(&w.lists) < lists+3 {
			if state, detail := w.feed.State(); state == Degraded {
				t.Fatalf("the feed is degraded: %s", detail)
			}
			time.Sleep(10 * time.Millisecond)
		}
		w.do(func() { w.mute = false })
		w.settle()
		w.agrees()
		w.inState(Live)
	})
}
