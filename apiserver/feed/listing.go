package feed

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

const (
	// restFactor is the pause between listings in listing times: listing for ever
	// then takes at most a twentieth of one connection.
	restFactor = 19
	// shortestPause is the least pause between undisturbed listings.
	shortestPause = time.Second
	// shortestGap is the least pause before a listing that was asked for.
	shortestGap = 50 * time.Millisecond
	// lookAgainAfter is how long after a stream was opened a listing begins: the
	// stream gives no sign of when it became active, so that what changed at first
	// shows there.
	lookAgainAfter = time.Second
	// openPatience is how long the first listing waits for the first stream.
	openPatience = 2 * time.Second
)

// passResult is what one listing of all pages found.
type passResult struct {
	// complete tells that the unique ids are as many as the upstream counts: the
	// absence of others counts.
	complete bool
	// total is the most that the upstream counted during the pass.
	total int
	// number of the pass, the clock's value and the time when it began.
	number uint64
	clock  uint64
	began  time.Time
}

// listForEver lists until the context ends: once a stream was tried, soon after
// a stream was opened, and else with pauses.
func (f *Feed[R]) listForEver(ctx context.Context) {
	if !sleep(ctx, openPatience, f.attempted) {
		return
	}
	retries, failing := retryPauses(), false
	for {
		// The listing that begins now answers what was asked for until now.
		select {
		case <-f.relist:
		default:
		}
		began := time.Now()
		took, complete, err := f.list(ctx)
		if ctx.Err() != nil {
			return
		}
		failing = f.tellFailure(ctx, failing, err)
		pause, gap := max(shortestPause, restFactor*took), max(shortestGap, took)
		switch {
		case err != nil:
			klog.FromContext(ctx).V(2).Info("Listing failed", "kind", f.options.Name, "err", err)
			pause = retries.Step()
			gap = min(pause, shortestPause)
		case !complete && !f.HasSynced():
			// A first listing that was disturbed is repeated at once, but not for
			// ever: the upstream's count may be wrong for good.
			pause = min(pause, f.firstPause(took))
		}
		if err == nil {
			retries = retryPauses()
		}
		if !f.rest(ctx, min(pause, f.untilSecondLook(began, pause)), gap) {
			return
		}
	}
}

// tellFailure says in the log when listings begin to fail and when they succeed again,
// and returns whether the last one failed. What lasts is shown by State.
func (f *Feed[R]) tellFailure(ctx context.Context, failing bool, err error) bool {
	switch logger := klog.FromContext(ctx); {
	case err != nil && !failing:
		logger.Info("The upstream can't be listed, trying again", "kind", f.options.Name, "reason", err.Error())
	case err == nil && failing:
		logger.Info("The upstream can be listed again", "kind", f.options.Name)
	}
	return err != nil
}

// firstPause is the pause between listings before the first synchronisation. It
// grows with their number.
func (f *Feed[R]) firstPause(took time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(shortestGap/5, time.Duration(f.status.pass)*took/10)
}

// untilSecondLook returns the time until a second after the stream was opened,
// if no listing has begun since then.
func (f *Feed[R]) untilSecondLook(began time.Time, otherwise time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	second := f.status.openedAt.Add(lookAgainAfter)
	if f.status.openedAt.IsZero() || !began.Before(second) {
		return otherwise
	}
	return max(0, time.Until(second))
}

// rest waits for the pause, or less if a listing is asked for, but then for the
// gap; false means that the context ended before.
func (f *Feed[R]) rest(ctx context.Context, pause, gap time.Duration) bool {
	due := time.Now().Add(pause)
	earliest := time.Now().Add(min(pause, gap))
	if !sleep(ctx, time.Until(earliest), nil) {
		return false
	}
	return sleep(ctx, time.Until(due), f.relist)
}

// list makes one pass and draws the conclusions.
func (f *Feed[R]) list(ctx context.Context) (took time.Duration, complete bool, err error) {
	result, err := f.pass(ctx)
	took = time.Since(result.began)
	if err == nil {
		f.tellPageSize(ctx)
		if unconfirmed := f.settleAbsences(ctx, result); unconfirmed != nil && ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("Absent rows could not be confirmed", "kind", f.options.Name, "err", unconfirmed)
		}
	}
	done, repairs := f.finishPass(result, err)
	if ctx.Err() != nil {
		return took, false, ctx.Err()
	}
	f.options.Metrics.Listing(f.options.Name, took, err == nil && result.complete, repairs)
	if done {
		f.markSynced(ctx)
	}
	return took, result.complete, err
}

// page is one page of a listing.
type page[R any] struct {
	rows  []R
	total int
	// end is the number of rows up to the end of a full page; last tells that this
	// one is not full.
	end  int
	last bool
	// basis is the clock's value from before the page was asked for.
	basis uint64
}

// pass reads every page once. Each row is folded in as an observation of that
// row; a row that was observed after its page was asked for is left alone. The
// next page is asked for while the upstream's answer is folded in, so that a long
// listing takes as long as the slower of the two.
func (f *Feed[R]) pass(ctx context.Context) (passResult, error) {
	f.mu.Lock()
	f.status.pass++
	f.status.repairs = 0
	result := passResult{number: f.status.pass, clock: f.clock, began: time.Now()}
	f.mu.Unlock()

	pages := make(chan page[R])
	group, fetching := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(pages)
		var err error
		result.total, result.complete, err = f.fetchPages(fetching, pages)
		return err
	})
	for page := range pages {
		f.foldPage(page, result.number)
	}
	return result, group.Wait()
}

// fetchPages sends all pages of a listing, and tells the most rows that the
// upstream counted and whether so many different ones came.
func (f *Feed[R]) fetchPages(ctx context.Context, pages chan<- page[R]) (most int, complete bool, err error) {
	seen := map[string]struct{}{}
	basis := f.now()
	f.pages.begin()
	for offset := 0; ; {
		fetched, err := f.fetchPage(ctx, offset)
		if err != nil {
			return most, false, err
		}
		before, total := len(seen), fetched.total
		for _, row := range fetched.rows {
			if id := f.source.ID(row); id != "" {
				seen[id] = struct{}{}
			}
		}
		most = max(most, total)
		// The clock is read before the receiver, who takes every page, holds the lock.
		next := f.now()
		fetched.basis = basis
		pages <- fetched
		basis = next
		// A full page beyond the count that holds nothing new comes from an upstream
		// that would go on for ever.
		if fetched.last || fetched.end >= total && len(seen) == before {
			return most, len(seen) == total, nil
		}
		offset = fetched.end
	}
}

// foldPage folds in the rows of one page. What it corrects after the first
// synchronisation is an event that the upstream lost or that is still on its way.
func (f *Feed[R]) foldPage(page page[R], pass uint64) {
	repairing := f.HasSynced()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answeredLocked()
	f.status.total = page.total
	for _, row := range page.rows {
		id := f.source.ID(row)
		if id == "" {
			continue
		}
		if _, changed := f.foldReadLocked(id, row, page.basis); changed && repairing {
			f.status.repairs++
		}
		if h, found := f.rows[id]; found {
			h.pass, h.missed = pass, 0
		}
	}
}

// finishPass records the listing. The first synchronisation is done when the
// rows held are all that the upstream counts and none of them is in doubt.
func (f *Feed[R]) finishPass(result passResult, err error) (done bool, repairs int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.listingError = err
	f.status.finishedBegan = result.began
	close(f.finished)
	f.finished = make(chan struct{})
	if err != nil {
		return false, f.status.repairs
	}
	if f.status.repairs > 0 {
		f.status.repairing++
	} else {
		f.status.repairing = 0
	}
	f.sweepTombstonesLocked()
	previous := f.status.previous
	f.status.previous = result
	doubtful, doubtfulBefore := 0, 0
	for _, h := range f.rows {
		if h.pass != result.number && h.version <= result.clock {
			doubtful++
		}
		if h.version <= previous.clock {
			doubtfulBefore++
		}
	}
	enough := len(f.rows) >= result.total
	switch {
	case result.complete:
		f.status.completeBegan = result.began
		if doubtful == 0 {
			f.status.verifiedBegan = result.began
		}
	case enough && doubtfulBefore == 0 && previous.number > 0 && previous.began.After(f.status.completeBegan):
		// Under load hardly any listing is complete alone.
		f.status.completeBegan = previous.began
		f.status.verifiedBegan = previous.began
	}
	done = doubtful == 0 && (result.complete || enough)
	return done, f.status.repairs
}
