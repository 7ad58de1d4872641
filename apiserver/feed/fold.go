package feed

import (
	"context"
	"fmt"
	"time"
)

const (
	// tombstoneLife is longer than any delay with which the upstream delivers an
	// event (measured: below two minutes).
	tombstoneLife = 10 * time.Minute
	// strangers is how many ids that were never held may have a tombstone: the
	// upstream announces deletions of ids that never existed.
	strangers = 1024
)

// Observe folds in a row that the upstream returned as the answer to a write of
// ours. The answer may have been overtaken: by a newer state, which stays, or by
// a deletion. Where that cannot be told the row is read again.
func (f *Feed[R]) Observe(ctx context.Context, row R) error {
	id := f.source.ID(row)
	f.mu.Lock()
	f.answeredLocked()
	h, found := f.rows[id]
	t, gone := f.tombstones[id]
	if gone && !t.stranger || found && !f.supersedes(row, h) {
		settled := found && f.source.Equal(row, h.row)
		f.mu.Unlock()
		if settled {
			return nil
		}
		return f.Refresh(ctx, id)
	}
	f.setLocked(id, row)
	f.mu.Unlock()
	return nil
}

// Deleted folds in that the upstream confirmed a deletion that we asked for.
func (f *Feed[R]) Deleted(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answeredLocked()
	f.withdrawLocked(id)
}

// Refresh reads the row from the upstream and folds it in. A row that the
// upstream denies is withdrawn if something vouches for the upstream, which then
// denies the row again; otherwise the error is ErrUnconfirmed and the row stays.
func (f *Feed[R]) Refresh(ctx context.Context, id string) error {
	for {
		denied, basis, err := f.ask(ctx, id)
		if err != nil || !denied {
			return err
		}
		if err := f.confirmDenial(ctx, id); err != nil {
			return err
		}
		if _, known := f.Row(id); known {
			if denied, basis, err = f.ask(ctx, id); err != nil || !denied {
				return err
			}
		}
		f.mu.Lock()
		overtaken := f.versionLocked(id) > basis
		if !overtaken {
			f.withdrawLocked(id)
		}
		f.mu.Unlock()
		if !overtaken {
			return nil
		}
	}
}

// ask reads the row, again as often as it was observed otherwise meanwhile, and
// folds it in. That the upstream denies it is only told, together with the
// clock's value from when the read began.
func (f *Feed[R]) ask(ctx context.Context, id string) (denied bool, basis uint64, err error) {
	for {
		basis := f.now()
		row, err := f.source.Get(ctx, id)
		if err != nil && !f.source.NotFound(err) {
			return false, basis, fmt.Errorf("reading %s %s: %w", f.options.Name, id, err)
		}
		f.mu.Lock()
		f.answeredLocked()
		folded := err != nil
		if !folded {
			folded, _ = f.foldReadLocked(id, row, basis)
		}
		f.mu.Unlock()
		if folded {
			return err != nil, basis, nil
		}
	}
}

// now is the clock's value, which a read carries from when it begins.
func (f *Feed[R]) now() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clock
}

// versionLocked returns when the row, or its absence, was last observed.
func (f *Feed[R]) versionLocked(id string) uint64 {
	if h, found := f.rows[id]; found {
		return h.version
	}
	return f.tombstones[id].version
}

// supersedes tells whether a row whose age is unknown is newer than the one held:
// later than all that were seen of it, since the upstream's clock may have been set
// back after one of them.
func (f *Feed[R]) supersedes(row R, h *held[R]) bool {
	return f.source.UpdatedAt(row).After(h.latest)
}

// foldReadLocked folds in a row of a read that began at basis. A row that was
// observed since is left alone unless the read certainly tells something newer;
// then folded is false if the read told something else.
func (f *Feed[R]) foldReadLocked(id string, row R, basis uint64) (folded, changed bool) {
	h, found := f.rows[id]
	switch {
	case f.versionLocked(id) <= basis:
	case !found:
		return false, false
	case f.supersedes(row, h):
	default:
		return f.source.Equal(row, h.row), false
	}
	return true, f.setLocked(id, row)
}

// setLocked makes row the present state of its id and publishes it if its
// content differs from the state held.
func (f *Feed[R]) setLocked(id string, row R) (changed bool) {
	f.clock++
	delete(f.suspects, id)
	delete(f.tombstones, id)
	h, found := f.rows[id]
	if !found {
		f.rows[id] = &held[R]{row: row, version: f.clock, latest: f.source.UpdatedAt(row), first: time.Now(), pass: f.status.pass}
		f.publisher.Publish(id, row)
		return true
	}
	changed = !f.source.Equal(h.row, row)
	if changed && !f.sameRow(h.row, row) {
		// What was known is gone; this is known from now on only.
		h.first = time.Now()
	}
	h.version, h.missed, h.announced = f.clock, 0, false
	at := f.source.UpdatedAt(row)
	if at.After(h.latest) {
		h.latest = at
	}
	if changed || !at.Equal(f.source.UpdatedAt(h.row)) {
		// An equal row is not kept beside the one that was published.
		h.row = row
	}
	if changed {
		f.publisher.Publish(id, row)
	}
	return changed
}

// withdrawLocked forgets the row and remembers that it is gone.
func (f *Feed[R]) withdrawLocked(id string) (changed bool) {
	f.clock++
	delete(f.suspects, id)
	if _, changed = f.rows[id]; !changed {
		f.rememberStrangerLocked(id, true)
		return false
	}
	f.tombstones[id] = tombstone{version: f.clock, at: time.Now()}
	delete(f.rows, id)
	f.publisher.Withdraw(id)
	return true
}

// rememberStrangerLocked remembers the absence of a row that is not held, as far
// as memory allows.
func (f *Feed[R]) rememberStrangerLocked(id string, denied bool) {
	t, remembered := f.tombstones[id]
	if !remembered && len(f.tombstones) >= len(f.rows)+strangers {
		return
	}
	f.tombstones[id] = tombstone{version: f.clock, at: time.Now(), stranger: denied && (!remembered || t.stranger)}
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
// the row has to be read: an event carries the row as it was when sent, and then
// waits in queues.
func (f *Feed[R]) foldEvent(event Event[R]) (read bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.lastEvent = time.Now()
	if event.ID == "" {
		return false
	}
	h, found := f.rows[event.ID]
	_, gone := f.tombstones[event.ID]
	switch {
	case event.Deleted && found:
		// Announced late or by mistake, for all that is known: the row is asked for.
		h.announced = true
		return true
	case event.Deleted:
		// A listing on its way, or an event overtaken by this one, may still hold
		// the row.
		f.clock++
		f.rememberStrangerLocked(event.ID, false)
		return false
	case gone:
		return true
	case !found:
		f.setLocked(event.ID, event.Row)
		return false
	}
	newer := f.supersedes(event.Row, h)
	if f.source.Equal(event.Row, h.row) {
		f.options.Metrics.Echo(f.options.Name)
		if newer {
			// The content came back: what happened between is older than this.
			f.setLocked(event.ID, event.Row)
		}
		return false
	}
	if newer {
		f.setLocked(event.ID, event.Row)
		return false
	}
	return true
}
