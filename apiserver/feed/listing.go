package feed

import (
	"context"
	"fmt"
	"time"

	"k8s.io/klog/v2"
)

// restFactor is the pause between listings in listing times: listing forever
// then takes at most a twentieth of one connection.
const restFactor = 19

// secondListingAfter is when the listing after the first one begins: the stream
// gives no sign of when it became active, so what changed in between shows there.
const secondListingAfter = time.Second

// passResult is what one listing of all pages found.
type passResult struct {
	complete bool
	total    int
	unique   int
	repairs  int
	began    uint64
}

// listUntilDone lists at once, soon again, and then with pauses, until the
// context ends. Without an open stream it lists once and returns, so that the
// stream is tried again.
func (f *Feed[R]) listUntilDone(ctx context.Context, streamOpen bool) error {
	for n := 0; ; n++ {
		began := time.Now()
		result, err := f.pass(ctx)
		took := time.Since(began)
		if ctx.Err() != nil {
			return nil
		}
		f.options.Metrics.Listing(f.options.Name, took, err == nil && result.complete, result.repairs)
		if err != nil {
			return fmt.Errorf("listing: %w", err)
		}
		if err := f.settleAbsences(ctx, result); err != nil {
			klog.FromContext(ctx).V(2).Info("Absent rows could not be confirmed", "kind", f.options.Name, "err", err)
		}
		f.finishPass(ctx, result, took)
		if !streamOpen {
			return nil
		}
		pause := max(time.Second, restFactor*took)
		switch {
		case n == 0:
			pause = secondListingAfter
		case !f.HasSynced():
			// A first pass that was disturbed is repeated without delay.
			pause = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-f.relist:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// pass reads every page once. Each row is folded in as an observation of that
// row; a row that was observed after its page was asked for is left alone.
func (f *Feed[R]) pass(ctx context.Context) (passResult, error) {
	f.mu.Lock()
	f.status.pass++
	f.status.listingPhase = true
	pass := f.status.pass
	result := passResult{began: f.clock}
	f.mu.Unlock()

	seen := map[string]struct{}{}
	for page := 1; ; page++ {
		f.mu.Lock()
		basis := f.clock
		f.mu.Unlock()
		rows, total, err := f.source.List(ctx, page, f.options.PageSize)
		if err != nil {
			return result, fmt.Errorf("page %d of %s: %w", page, f.options.Name, err)
		}
		f.mu.Lock()
		f.status.lastAnswer = time.Now()
		for _, row := range rows {
			id := f.source.ID(row)
			seen[id] = struct{}{}
			if f.foldListedLocked(id, row, basis, pass) {
				result.repairs++
			}
		}
		f.mu.Unlock()
		result.total = total
		if len(rows) < f.options.PageSize {
			break
		}
	}
	result.unique = len(seen)
	result.complete = result.unique == result.total
	return result, nil
}

// foldListedLocked folds in one row of a listing and tells whether that changed
// anything: on an open stream, that is an event which the upstream lost or which
// is still on its way.
func (f *Feed[R]) foldListedLocked(id string, row R, basis, pass uint64) (changed bool) {
	h, found := f.rows[id]
	if f.versionLocked(id) <= basis {
		changed = !found || !f.source.Equal(h.row, row)
		delete(f.tombstones, id)
		f.setLocked(id, row)
	}
	if h, found := f.rows[id]; found {
		h.pass, h.missed = pass, 0
	}
	return changed
}

// finishPass records the listing, and ends the first synchronisation when the
// rows held are all that the upstream counts.
func (f *Feed[R]) finishPass(ctx context.Context, result passResult, took time.Duration) {
	f.mu.Lock()
	f.status.listingPhase = false
	f.status.listingTook = took
	if result.complete {
		f.status.lastListing = time.Now()
		f.status.completeBegan = f.status.lastListing.Add(-took)
	}
	f.sweepTombstonesLocked()
	unseen := 0
	for _, h := range f.rows {
		if h.pass != f.status.pass && h.version <= result.began {
			unseen++
		}
	}
	done := result.complete || (unseen == 0 && len(f.rows) >= result.total)
	f.mu.Unlock()
	if done {
		f.markSynced(ctx)
	}
}
