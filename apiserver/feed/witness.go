package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnconfirmed says that the upstream denies a row, but that nothing vouches
// for it being the same upstream as before.
var ErrUnconfirmed = errors.New("the upstream denies a row that was there, and nothing vouches yet for it being the same upstream")

// confirmDenial guards a single denial against another database, which denies
// everything honestly: another row that was known must still be there. It is
// asked for after the denial, since the upstream may be exchanged at any time.
// Before the first synchronisation nobody has seen anything that could be lost.
func (f *Feed[R]) confirmDenial(ctx context.Context, id string) error {
	f.mu.Lock()
	_, known := f.rows[id]
	credible := f.credibleLocked(id)
	f.mu.Unlock()
	switch {
	case !known || !f.HasSynced():
		return nil
	case !credible:
		return ErrUnconfirmed
	default:
		return f.vouchedFor(ctx, map[string]uint64{id: 0})
	}
}

// vouchedFor returns nil if a row that was known before, none of those denied,
// is still there.
func (f *Feed[R]) vouchedFor(ctx context.Context, denied map[string]uint64) error {
	f.mu.Lock()
	others := f.witnessesLocked(denied, f.status.settledAt)
	f.mu.Unlock()
	vouched, err := f.anyStillThere(ctx, others)
	if err != nil {
		return err
	}
	if vouched || f.witnessed(ctx) {
		return nil
	}
	return ErrUnconfirmed
}

// Vouch tells whether some row that this feed knew at the time is still there
// upstream. Rows that the feed learnt later prove nothing: another database has
// rows, too.
func (f *Feed[R]) Vouch(ctx context.Context, knownAt time.Time) bool {
	f.mu.Lock()
	ids := f.witnessesLocked(nil, knownAt)
	f.mu.Unlock()
	// A call that fails vouches for nothing.
	vouched, err := f.anyStillThere(ctx, ids)
	return err == nil && vouched
}

// anyStillThere asks for the rows, until one is found to be the one held.
func (f *Feed[R]) anyStillThere(ctx context.Context, ids []string) (bool, error) {
	for _, id := range ids {
		row, err := f.source.Get(ctx, id)
		if err == nil {
			if held, found := f.Row(id); found && f.sameRow(held, row) {
				return true, nil
			}
		} else if !f.source.NotFound(err) {
			return false, fmt.Errorf("asking for %s %s as a witness: %w", f.options.Name, id, err)
		}
	}
	return false, nil
}

// sameRow tells whether two rows with the same id are the same row. Where ids
// are names, another database may use them, too.
func (f *Feed[R]) sameRow(a, b R) bool {
	identifier, ok := f.source.(Identifier[R])
	return !ok || identifier.Same(a, b)
}

// witnessesLocked returns a few established rows that were known at the time and
// of which nothing says that they are gone.
func (f *Feed[R]) witnessesLocked(except map[string]uint64, knownAt time.Time) []string {
	ids := make([]string, 0, samples)
	for id, h := range f.rows {
		_, suspected := f.suspects[id]
		_, excepted := except[id]
		if excepted || suspected || h.announced || !f.establishedLocked(h) || h.first.After(knownAt) {
			continue
		}
		if ids = append(ids, id); len(ids) == samples {
			break
		}
	}
	return ids
}
