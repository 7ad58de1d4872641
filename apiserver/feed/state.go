package feed

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/klog/v2"
)

// status is what a feed tells of itself.
type status struct {
	// streamOpen and openedAt tell of the last stream.
	streamOpen bool
	openedAt   time.Time
	lastEvent  time.Time
	lastAnswer time.Time

	// pass is the number of the last listing that began.
	pass uint64
	// listingError is why the last listing failed; nil if it did not.
	listingError error
	// total is what the upstream counted in the last listing.
	total int
	// pageSize is how many rows the smallest page of the last listing that did not
	// fail was asked for.
	pageSize int
	// repairs counts what the present listing corrected, repairing how many
	// listings in a row corrected something.
	repairs   int
	repairing int
	// previous is the last listing that did not fail.
	previous passResult
	// completeBegan is when the last complete listing began, or the earlier of two
	// that were complete together.
	completeBegan time.Time
	// finishedBegan is when the last listing began, whatever came of it, and
	// verifiedBegan when the last one did after which no row was in doubt.
	finishedBegan time.Time
	verifiedBegan time.Time

	// settledAt is when a listing last agreed with what was known, apart from a
	// few rows. Rows that were known then are established: they can vouch for the
	// upstream being the same. While degraded it stands still, so that the rows
	// of another database never vouch for that database.
	settledAt time.Time
	// doubt is what is held back; its reason is empty unless the feed is degraded.
	doubt Doubt
	// salt makes the fingerprints of this doubt unlike those of others; released
	// is the fingerprint that a person released.
	salt     string
	released string
}

// State names where the feed stands; the text adds a detail for people.
func (f *Feed[R]) State() (State, string) {
	synced := f.HasSynced()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch s := &f.status; {
	case s.doubt.Reason != "":
		return Degraded, s.doubt.Reason
	case !synced && s.listingError != nil:
		return Connecting, s.listingError.Error()
	case !synced && s.pass > 0:
		return Listing, fmt.Sprintf("%d of %d rows so far", len(f.rows), s.total)
	case !synced:
		return Connecting, "waiting for the upstream"
	case f.ageLocked() > f.options.MaxStaleness:
		return Stale, fmt.Sprintf("the upstream last answered %s ago", f.ageLocked().Round(time.Second))
	case s.listingError != nil:
		return Lagging, s.listingError.Error()
	case !s.streamOpen:
		return Lagging, "no watch stream is open; listings go on"
	case s.repairing > 1:
		return Lagging, fmt.Sprintf("the last %d listings told of changes before the watch stream did", s.repairing)
	default:
		return Live, fmt.Sprintf("%d rows, last complete listing %s, last event %s%s", len(f.rows), ago(s.completeBegan), ago(s.lastEvent), f.slowerLocked())
	}
}

// slowerLocked says why listings take more pages than they should.
func (f *Feed[R]) slowerLocked() string {
	if f.status.pageSize == f.options.PageSize {
		return ""
	}
	return fmt.Sprintf("; some pages of more than %d rows are too large to be received", f.status.pageSize)
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String() + " ago"
}

// Age returns the time since the upstream last answered a call of this kind. It
// is the longest of all durations as long as the upstream never did. Events do
// not count: they may have waited for minutes.
func (f *Feed[R]) Age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ageLocked()
}

func (f *Feed[R]) ageLocked() time.Duration {
	if f.status.lastAnswer.IsZero() {
		return math.MaxInt64
	}
	return time.Since(f.status.lastAnswer)
}

func (f *Feed[R]) answeredLocked() { f.status.lastAnswer = time.Now() }

// CompleteSince returns when the last complete listing began: every row that
// existed then was seen since. Two listings in a row that were disturbed count as
// one if each row was seen in one of them or confirmed, and the rows are as many
// as the upstream counts. Zero before the first one.
func (f *Feed[R]) CompleteSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.completeBegan
}

// LastEvent returns when the watch last told something. Zero before the first
// event.
func (f *Feed[R]) LastEvent() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.lastEvent
}

// degrade holds back every deletion, for a reason that people are told.
func (f *Feed[R]) degrade(ctx context.Context, doubt Doubt) {
	f.mu.Lock()
	before := f.status.doubt
	f.status.doubt = doubt
	f.mu.Unlock()
	if before.Reason == "" {
		klog.FromContext(ctx).Info("The feed is degraded: no deletion is published", "kind", f.options.Name, "reason", doubt.Reason)
	}
}

// settle records that the upstream is the one that was known before. A release
// that was not needed is void.
func (f *Feed[R]) settle(ctx context.Context) {
	f.mu.Lock()
	before := f.status.doubt
	f.status.doubt, f.status.salt, f.status.released = Doubt{}, "", ""
	f.status.settledAt = time.Now()
	clear(f.suspects)
	f.mu.Unlock()
	if before.Reason != "" {
		klog.FromContext(ctx).Info("The feed is no longer degraded", "kind", f.options.Name)
	}
}

// establishedLocked tells whether the row was known when a listing last agreed
// with what was known.
func (f *Feed[R]) establishedLocked(h *held[R]) bool { return !h.first.After(f.status.settledAt) }

func (f *Feed[R]) isDegraded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.doubt.Reason != ""
}
