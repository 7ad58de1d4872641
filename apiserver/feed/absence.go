package feed

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// Above both of these, absences are a mass: no deletion but the loss of a right
// or another database is the likelier cause.
const (
	massCount    = 10
	massFraction = 0.20
)

// confirmers is how many absences are confirmed at a time.
const confirmers = 8

// missesBeforeGet is after how many successive incomplete passes without a row
// the row is asked for.
const missesBeforeGet = 2

// settleAbsences decides about the rows that a pass did not return. Nothing is
// believed without a Get, a mass not without a witness.
func (f *Feed[R]) settleAbsences(ctx context.Context, result passResult) error {
	missing, known := f.missing(result)
	if len(missing) == 0 {
		f.setDegraded(ctx, "")
		return nil
	}
	if !f.isMass(len(missing), known) {
		f.setDegraded(ctx, "")
		return f.confirmAll(ctx, missing)
	}
	if f.takeRelease() {
		klog.FromContext(ctx).Info("Believing absences that a person released", "kind", f.options.Name, "rows", len(missing))
		f.setDegraded(ctx, "")
		return f.withdrawDenied(ctx, missing)
	}
	return f.settleMass(ctx, missing, known)
}

func (f *Feed[R]) isMass(missing, known int) bool {
	return missing == known || (missing > massCount && float64(missing) > massFraction*float64(known))
}

// missing returns the ids that the pass should have returned and did not.
func (f *Feed[R]) missing(result passResult) (ids []string, known int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, h := range f.rows {
		if h.version > result.began {
			continue
		}
		known++
		if h.pass == f.status.pass {
			delete(f.suspects, id)
			continue
		}
		h.missed++
		if result.complete || h.missed >= missesBeforeGet || !f.HasSynced() {
			ids = append(ids, id)
		}
	}
	return ids, known
}

// settleMass handles a mass of absences: rows that the upstream still returns to
// a Get mean a lost right; rows that it denies need a witness and time.
func (f *Feed[R]) settleMass(ctx context.Context, missing []string, known int) error {
	for _, id := range missing[:min(len(missing), 3)] {
		if _, err := f.source.Get(ctx, id); err == nil {
			f.setDegraded(ctx, fmt.Sprintf("the listing lacks %d of %d known rows, but %s still exists: the credential lost its rights", len(missing), known, id))
			return nil
		} else if !f.source.NotFound(err) {
			return fmt.Errorf("asking for %s: %w", id, err)
		}
	}
	if !f.vouched(ctx, len(missing) < known) {
		f.setDegraded(ctx, fmt.Sprintf("the upstream denies %d of %d known rows and nothing vouches for it being the same: no deletion is believed until a person releases it", len(missing), known))
		return nil
	}
	credible := f.credible(missing)
	if len(credible) < len(missing) {
		f.setDegraded(ctx, fmt.Sprintf("the listing lacks %d of %d known rows: waiting for a second look", len(missing), known))
	} else {
		f.setDegraded(ctx, "")
	}
	return f.withdrawDenied(ctx, credible)
}

// vouched tells whether a row that was known before is still there, in this
// listing or in another feed of the same upstream.
func (f *Feed[R]) vouched(ctx context.Context, someSeen bool) bool {
	return someSeen || (f.options.Witness != nil && f.options.Witness(ctx))
}

// credible returns the ids whose deletion the upstream announced, or that have
// stayed absent for the suspicion period.
func (f *Feed[R]) credible(missing []string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var credible []string
	for _, id := range missing {
		since, suspected := f.suspects[id]
		if !suspected {
			since = time.Now()
			f.suspects[id] = since
		}
		if f.tombstones[id].announced || time.Since(since) >= f.options.SuspicionPeriod {
			credible = append(credible, id)
		}
	}
	return credible
}

// confirmAll asks for each of the few rows that a pass lacks.
func (f *Feed[R]) confirmAll(ctx context.Context, ids []string) error {
	var group errgroup.Group
	group.SetLimit(confirmers)
	for _, id := range ids {
		group.Go(func() error { return f.Refresh(ctx, id) })
	}
	return group.Wait()
}

// withdrawDenied asks for each row once more and withdraws those that the
// upstream denies.
func (f *Feed[R]) withdrawDenied(ctx context.Context, ids []string) error {
	var group errgroup.Group
	group.SetLimit(confirmers)
	for _, id := range ids {
		group.Go(func() error {
			f.mu.Lock()
			basis := f.clock
			f.mu.Unlock()
			_, err := f.source.Get(ctx, id)
			if err == nil {
				return nil
			}
			if !f.source.NotFound(err) {
				return fmt.Errorf("confirming the absence of %s: %w", id, err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.versionLocked(id) <= basis {
				f.withdrawLocked(id, false)
			}
			return nil
		})
	}
	return group.Wait()
}

// confirmDenial guards a single denial against another database that denies
// everything honestly: another known row must still be there.
func (f *Feed[R]) confirmDenial(ctx context.Context, id string) error {
	f.mu.Lock()
	_, known := f.rows[id]
	announced := f.tombstones[id].announced
	others := make([]string, 0, 3)
	for other := range f.rows {
		if other != id && len(others) < cap(others) {
			others = append(others, other)
		}
	}
	f.mu.Unlock()
	if !known {
		return nil
	}
	found := false
	for _, other := range others {
		if _, err := f.source.Get(ctx, other); err == nil {
			found = true
			break
		} else if !f.source.NotFound(err) {
			return fmt.Errorf("asking for %s as a witness: %w", other, err)
		}
	}
	if found || (f.options.Witness != nil && f.options.Witness(ctx)) {
		return nil
	}
	if announced && len(others) == 0 && f.options.Witness == nil {
		return nil
	}
	return ErrUnconfirmed
}

// Vouch tells whether some row that this feed knows is still there upstream.
func (f *Feed[R]) Vouch(ctx context.Context) bool {
	f.mu.Lock()
	ids := make([]string, 0, 3)
	for id := range f.rows {
		if len(ids) == cap(ids) {
			break
		}
		ids = append(ids, id)
	}
	f.mu.Unlock()
	for _, id := range ids {
		if _, err := f.source.Get(ctx, id); err == nil {
			return true
		}
	}
	return false
}

func (f *Feed[R]) takeRelease() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	released := f.status.released
	f.status.released = false
	return released
}

func (f *Feed[R]) setDegraded(ctx context.Context, reason string) {
	f.mu.Lock()
	before := f.status.degraded
	f.status.degraded = reason
	f.mu.Unlock()
	if reason != "" && before == "" {
		klog.FromContext(ctx).Info("The feed is degraded: no deletion is published", "kind", f.options.Name, "reason", reason)
	}
	if reason == "" && before != "" {
		klog.FromContext(ctx).Info("The feed is no longer degraded", "kind", f.options.Name)
	}
}
