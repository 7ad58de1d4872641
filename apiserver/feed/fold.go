package feed

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnconfirmed says that the upstream denies a row, but that nothing vouches
// for it being the same upstream as before.
var ErrUnconfirmed = errors.New("the upstream denies a row that was there, and no other known row vouches for it")

// tombstoneLife is longer than any delay with which the upstream delivers an
// event (measured: below two minutes).
const tombstoneLife = 10 * time.Minute

// Observe folds in a row that the upstream returned as the answer to a write of
// ours. A newer state that arrived meanwhile stays; the row is then read again.
func (f *Feed[R]) Observe(ctx context.Context, row R) error {
	id := f.source.ID(row)
	f.mu.Lock()
	f.status.lastAnswer = time.Now()
	if h, found := f.rows[id]; found && !f.source.UpdatedAt(row).After(f.source.UpdatedAt(h.row)) && !f.source.Equal(row, h.row) {
		f.mu.Unlock()
		return f.Refresh(ctx, id)
	}
	delete(f.tombstones, id)
	f.setLocked(id, row)
	f.mu.Unlock()
	return nil
}

// Deleted folds in that the upstream confirmed a deletion that we asked for.
func (f *Feed[R]) Deleted(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.lastAnswer = time.Now()
	f.withdrawLocked(id, true)
}

// Refresh reads the row from the upstream and folds it in. A row that the
// upstream denies is withdrawn if something vouches for the upstream; otherwise
// the error is ErrUnconfirmed and the row stays.
func (f *Feed[R]) Refresh(ctx context.Context, id string) error {
	for {
		f.mu.Lock()
		basis := f.clock
		f.mu.Unlock()
		row, err := f.source.Get(ctx, id)
		if err != nil && !f.source.NotFound(err) {
			return fmt.Errorf("reading %s %s: %w", f.options.Name, id, err)
		}
		gone := err != nil
		if gone {
			if err := f.confirmDenial(ctx, id); err != nil {
				return err
			}
		}
		f.mu.Lock()
		f.status.lastAnswer = time.Now()
		folded := f.versionLocked(id) <= basis
		switch {
		case !folded:
		case gone:
			f.withdrawLocked(id, false)
		default:
			delete(f.tombstones, id)
			f.setLocked(id, row)
		}
		f.mu.Unlock()
		if folded {
			return nil
		}
	}
}

// versionLocked returns when the row, or its absence, was last observed.
func (f *Feed[R]) versionLocked(id string) uint64 {
	if h, found := f.rows[id]; found {
		return h.version
	}
	return f.tombstones[id].version
}

// setLocked makes row the present state of its id and publishes it if its
// content differs from the state held.
func (f *Feed[R]) setLocked(id string, row R) {
	f.clock++
	delete(f.suspects, id)
	h, found := f.rows[id]
	if !found {
		f.rows[id] = &held[R]{row: row, version: f.clock, pass: f.status.pass}
		f.publisher.Publish(id, row)
		return
	}
	same := f.source.Equal(h.row, row)
	h.row, h.version, h.missed = row, f.clock, 0
	if !same {
		f.publisher.Publish(id, row)
	}
}

// withdrawLocked forgets the row and remembers that it is gone.
func (f *Feed[R]) withdrawLocked(id string, announced bool) {
	f.clock++
	delete(f.suspects, id)
	f.tombstones[id] = tombstone{version: f.clock, at: time.Now(), announced: announced || f.tombstones[id].announced}
	if _, found := f.rows[id]; !found {
		return
	}
	delete(f.rows, id)
	f.publisher.Withdraw(id)
}

// sweepTombstonesLocked drops tombstones that no late event can concern.
func (f *Feed[R]) sweepTombstonesLocked() {
	for id, t := range f.tombstones {
		if time.Since(t.at) > tombstoneLife {
			delete(f.tombstones, id)
		}
	}
}

// foldEvent folds an event in directly where that is safe, and else tells that
// the row has to be read.
func (f *Feed[R]) foldEvent(event Event[R]) (read bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h, found := f.rows[event.ID]
	if event.Deleted {
		// Announced again or by mistake, for all that is known: the row is asked for.
		if found {
			f.announceLocked(event.ID)
		}
		return found
	}
	if !found {
		if _, gone := f.tombstones[event.ID]; gone {
			return true
		}
		f.setLocked(event.ID, event.Row)
		return false
	}
	if f.source.Equal(event.Row, h.row) {
		f.options.Metrics.Echo(f.options.Name)
		return false
	}
	if f.source.UpdatedAt(event.Row).After(f.source.UpdatedAt(h.row)) {
		f.setLocked(event.ID, event.Row)
		return false
	}
	return true
}

// announceLocked remembers that the upstream announced a deletion, which makes a
// later absence of the row credible.
func (f *Feed[R]) announceLocked(id string) {
	t := f.tombstones[id]
	t.announced, t.at = true, time.Now()
	f.tombstones[id] = t
}
