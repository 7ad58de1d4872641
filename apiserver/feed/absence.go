package feed

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// Above both of these, absences are a mass: the loss of a right or another
// database is likelier than deletions.
const (
	massCount    = 10
	massFraction = 0.20
)

const (
	// confirmers is how many absences are confirmed at a time.
	confirmers = 8
	// missesBeforeGet is after how many successive passes without a row the row is
	// asked for when no pass was complete.
	missesBeforeGet = 2
	// samples is how many rows are asked for to learn about all.
	samples = 3
)

// absences is what a listing did not return of what was known. Rows that were
// observed after it began are not among them: it proves nothing about those.
type absences struct {
	// due are the ids that have to be settled now.
	due []string
	// rows is how many rows the listing should have returned.
	rows int
	// returned is how many rows it returned that were held before it began.
	returned int
	// The other numbers are of established rows only: how many there are, how many
	// of them the listing lacked, and how many of those are due.
	known, absent, absentDue int
}

// seen tells whether the listing returned an established row.
func (a absences) seen() bool { return a.absent < a.known }

func isMass(missing, known int) bool {
	return missing > 0 && (missing == known || missing > massCount && float64(missing) > massFraction*float64(known))
}

// settleAbsences decides about the rows that a pass did not return. Nothing is
// believed without a Get, a mass not without a witness.
func (f *Feed[R]) settleAbsences(ctx context.Context, result passResult) error {
	found := f.absences(result)
	switch {
	case len(found.due) > 0 && found.known == 0 && found.returned > 0 && f.HasSynced() && !f.isDegraded():
		// A young world: no listing has agreed with what is held yet. This one
		// returned some of it, so it is the same upstream; the next one judges.
		f.settle(ctx)
		return nil
	case isMass(found.absentDue, found.known), len(found.due) > 0 && found.known == 0 && f.HasSynced():
		return f.settleMass(ctx, result, found)
	case isMass(found.absent, found.known):
		// A disturbed listing; the next one tells whether the rows only moved.
		return nil
	default:
		f.settle(ctx)
		return f.confirm(ctx, found.due)
	}
}

// absences collects what the pass did not return.
func (f *Feed[R]) absences(result passResult) absences {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found absences
	for id, h := range f.rows {
		seen := h.pass == result.number
		if !seen && h.version > result.clock {
			continue
		}
		found.rows++
		established := f.establishedLocked(h)
		if established {
			found.known++
		}
		if seen {
			if h.first.Before(result.began) {
				found.returned++
			}
			continue
		}
		h.missed++
		due := result.complete || h.missed >= missesBeforeGet || !f.HasSynced()
		if due {
			found.due = append(found.due, id)
		}
		if established {
			found.absent++
			if due {
				found.absentDue++
			}
		}
	}
	return found
}

// settleMass handles a mass of absences: rows that the upstream still returns to
// a Get mean a lost right; rows that it denies need a witness, and time.
func (f *Feed[R]) settleMass(ctx context.Context, result passResult, found absences) error {
	lost := fmt.Sprintf("the listing lacks %d of %d rows", len(found.due), found.rows)
	for _, id := range found.due[:min(len(found.due), samples)] {
		_, err := f.source.Get(ctx, id)
		switch {
		case err != nil && !f.source.NotFound(err):
			return fmt.Errorf("asking for %s %s: %w", f.options.Name, id, err)
		case err != nil:
			continue
		case !result.complete && found.seen():
			// Rows that moved between the pages of listings that were all disturbed.
			return f.confirm(ctx, found.due)
		}
		// A person may have released absences, but not of rows that exist.
		f.takeRelease("")
		f.degrade(ctx, Doubt{Reason: lost + ", but some of them still exist: the credential lost its rights"})
		return nil
	}
	fingerprint := f.fingerprint(found.due)
	if f.takeRelease(fingerprint) {
		return f.believe(ctx, found.due, fingerprint)
	}
	if !found.seen() && !f.witnessed(ctx) {
		f.degrade(ctx, Doubt{Fingerprint: fingerprint, Reason: lost + " and nothing vouches for the upstream being the same: no deletion is believed until a person releases it"})
		return nil
	}
	credible := f.credible(found.due)
	if len(credible) == len(found.due) {
		return f.confirmAndSettle(ctx, credible)
	}
	f.degrade(ctx, Doubt{Reason: fmt.Sprintf("%s: waiting %s for a second look", lost, f.options.SuspicionPeriod)})
	return f.confirm(ctx, credible)
}

// believe folds in absences that a person released, as far as the upstream still
// denies the rows.
func (f *Feed[R]) believe(ctx context.Context, ids []string, fingerprint string) error {
	klog.FromContext(ctx).Info("Believing absences that a person released", "kind", f.options.Name, "rows", len(ids))
	denied, err := f.askAll(ctx, ids)
	if err != nil {
		f.Release(fingerprint)
		return err
	}
	f.withdrawAll(denied)
	f.settle(ctx)
	return nil
}

// witnessed asks another feed whether the upstream is the one that was known
// when this feed last agreed with it.
func (f *Feed[R]) witnessed(ctx context.Context) bool {
	f.mu.Lock()
	settledAt := f.status.settledAt
	f.mu.Unlock()
	return f.options.Witness != nil && !settledAt.IsZero() && f.options.Witness(ctx, settledAt)
}

// credible returns the ids whose deletion the upstream announced, or that have
// stayed absent for the suspicion period. The others are suspects from now on.
func (f *Feed[R]) credible(missing []string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var credible []string
	for _, id := range missing {
		if _, suspected := f.suspects[id]; !suspected {
			f.suspects[id] = time.Now()
		}
		if f.credibleLocked(id) {
			credible = append(credible, id)
		}
	}
	return credible
}

// credibleLocked tells whether a denial of the row may be believed while
// something vouches for the upstream.
func (f *Feed[R]) credibleLocked(id string) bool {
	since, suspected := f.suspects[id]
	if !suspected || time.Since(since) >= f.options.SuspicionPeriod {
		return true
	}
	h, found := f.rows[id]
	return !found || h.announced
}

// confirmAndSettle ends the degraded state once every absence is decided.
func (f *Feed[R]) confirmAndSettle(ctx context.Context, ids []string) error {
	if err := f.confirm(ctx, ids); err != nil {
		return err
	}
	f.settle(ctx)
	return nil
}

// confirm asks for each row and folds in the answers. Denials are folded in if
// something vouches for the upstream and the rows are denied again after that: the
// upstream may be exchanged at any time, and back.
func (f *Feed[R]) confirm(ctx context.Context, ids []string) error {
	denied, err := f.askAll(ctx, ids)
	if err != nil || len(denied) == 0 {
		return err
	}
	if !f.HasSynced() {
		f.withdrawAll(denied)
		return nil
	}
	if err := f.vouchedFor(ctx, denied); err != nil {
		return err
	}
	denied, err = f.askAll(ctx, slices.Collect(maps.Keys(denied)))
	if err != nil {
		return err
	}
	f.withdrawAll(denied)
	return nil
}

// askAll asks for each row, folds in those that are there, and returns the ids
// of the others, with the clock's value from when their reads began.
func (f *Feed[R]) askAll(ctx context.Context, ids []string) (denials map[string]uint64, err error) {
	var mu sync.Mutex
	denials = map[string]uint64{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(confirmers)
	for _, id := range ids {
		group.Go(func() error {
			denied, basis, err := f.ask(ctx, id)
			if denied {
				mu.Lock()
				defer mu.Unlock()
				denials[id] = basis
			}
			return err
		})
	}
	return denials, group.Wait()
}

// withdrawAll folds in denials, except of rows that were observed since.
func (f *Feed[R]) withdrawAll(denials map[string]uint64) {
	repairing := f.HasSynced()
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, basis := range denials {
		if f.versionLocked(id) <= basis && f.withdrawLocked(id) && repairing {
			f.status.repairs++
		}
	}
}
