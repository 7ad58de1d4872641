package feed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
)

// Options are the settings of a Feed.
type Options struct {
	// Name of the kind, in metrics and logs.
	Name string
	// PageSize is the number of rows of one page; at most 500, above which the
	// upstream falls back to 20. Defaults to 500.
	PageSize int
	// MaxStaleness is the age of the last answer of the upstream above which the
	// state is stale. Defaults to 30 s.
	MaxStaleness time.Duration
	// Witness tells whether another feed of the same upstream still finds a row
	// that it knew before. It vouches for the upstream's identity when this kind
	// has no row left that could. May be nil.
	Witness func(ctx context.Context) bool
	// SuspicionPeriod is how long rows that are absent in a mass must stay absent
	// before they are believed to be gone. Defaults to 30 s.
	SuspicionPeriod time.Duration
	// Reopen, if set, returns a channel that is closed when streams must be
	// opened anew because the credentials changed.
	Reopen func() <-chan struct{}
	// Metrics receives what happens; may be nil.
	Metrics Metrics
}

// Feed keeps a map of rows equal to one kind of the upstream.
type Feed[R any] struct {
	options   Options
	source    Source[R]
	publisher Publisher[R]

	mu sync.Mutex
	// clock counts accepted observations. Reads carry its value from when they
	// began, and are ignored for rows that were observed later than that.
	clock      uint64
	rows       map[string]*held[R]
	tombstones map[string]tombstone
	suspects   map[string]time.Time
	status     status

	synced   chan struct{}
	syncOnce sync.Once
	relist   chan struct{}
	hints    *hints[R]
}

// held is a row and what is known of it.
type held[R any] struct {
	row     R
	version uint64
	pass    uint64
	missed  int
}

// tombstone remembers a row that is gone, so that a late event cannot bring it
// back unasked.
type tombstone struct {
	version   uint64
	at        time.Time
	announced bool
}

// status is what a feed tells of itself.
type status struct {
	streamOpen  bool
	degraded    string
	released    bool
	lastEvent   time.Time
	lastListing time.Time
	// completeBegan is when the last complete listing began.
	completeBegan time.Time
	lastAnswer    time.Time
	listingTook   time.Duration
	listingPhase  bool
	pass          uint64
}

// New makes a feed that is not running yet.
func New[R any](source Source[R], publisher Publisher[R], options Options) (*Feed[R], error) {
	if options.Name == "" {
		return nil, errors.New("a feed needs the name of its kind")
	}
	if options.PageSize == 0 {
		options.PageSize = 500
	}
	if options.PageSize < 1 || options.PageSize > 500 {
		return nil, fmt.Errorf("page size %d of feed %s is not between 1 and 500", options.PageSize, options.Name)
	}
	if options.MaxStaleness == 0 {
		options.MaxStaleness = 30 * time.Second
	}
	if options.SuspicionPeriod == 0 {
		options.SuspicionPeriod = 30 * time.Second
	}
	if options.Metrics == nil {
		options.Metrics = discard{}
	}
	return &Feed[R]{
		options:    options,
		source:     source,
		publisher:  publisher,
		rows:       map[string]*held[R]{},
		tombstones: map[string]tombstone{},
		suspects:   map[string]time.Time{},
		synced:     make(chan struct{}),
		relist:     make(chan struct{}, 1),
		hints:      newHints[R](),
	}, nil
}

// Run keeps the map equal to the upstream until the context ends.
func (f *Feed[R]) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.streamForEver(ctx) })
	group.Go(func() error { return f.foldHintsForEver(ctx) })
	group.Go(func() error { return f.probeForEver(ctx) })
	if err := group.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("feeding %s: %w", f.options.Name, err)
	}
	return nil
}

// Synced is closed when the first synchronisation is complete.
func (f *Feed[R]) Synced() <-chan struct{} { return f.synced }

// HasSynced tells whether the first synchronisation is complete.
func (f *Feed[R]) HasSynced() bool {
	select {
	case <-f.synced:
		return true
	default:
		return false
	}
}

// Row returns the row with the id as it was last observed.
func (f *Feed[R]) Row(id string) (R, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h, found := f.rows[id]; found {
		return h.row, true
	}
	var none R
	return none, false
}

// Len returns the number of rows.
func (f *Feed[R]) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.rows)
}

// Age returns the time since the upstream last answered a call of this kind.
func (f *Feed[R]) Age() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ageLocked()
}

func (f *Feed[R]) ageLocked() time.Duration {
	if f.status.lastAnswer.IsZero() {
		return 1<<63 - 1
	}
	return time.Since(f.status.lastAnswer)
}

// CompleteSince returns when the last complete listing began: it holds every row
// that existed then. Zero before the first one.
func (f *Feed[R]) CompleteSince() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status.completeBegan
}

// Answered records that the upstream answered a call of this kind.
func (f *Feed[R]) Answered() {
	f.mu.Lock()
	f.status.lastAnswer = time.Now()
	f.mu.Unlock()
}

// State names where the feed stands; the text adds a detail for people.
func (f *Feed[R]) State() (State, string) {
	synced := f.HasSynced()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch s := &f.status; {
	case !synced && s.listingPhase:
		return Listing, fmt.Sprintf("%d rows so far", len(f.rows))
	case !synced:
		return Connecting, "waiting for the upstream"
	case s.degraded != "":
		return Degraded, s.degraded
	case f.ageLocked() > f.options.MaxStaleness:
		return Stale, fmt.Sprintf("the upstream last answered %s ago", f.ageLocked().Round(time.Second))
	case !s.streamOpen:
		return Lagging, "no watch stream is open; listings go on"
	default:
		return Live, fmt.Sprintf("%d rows, last complete listing %s ago, last event %s", len(f.rows), age(s.lastListing), age(s.lastEvent)+" ago")
	}
}

func age(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String()
}

// Release lets a degraded feed believe the absences that it holds back: a
// person has confirmed that the upstream is the right one.
func (f *Feed[R]) Release() {
	f.mu.Lock()
	f.status.released = true
	f.mu.Unlock()
	f.Relist()
}

// Relist asks for a listing as soon as possible.
func (f *Feed[R]) Relist() {
	select {
	case f.relist <- struct{}{}:
	default:
	}
}

func (f *Feed[R]) markSynced(ctx context.Context) {
	f.syncOnce.Do(func() {
		klog.FromContext(ctx).Info("First synchronisation complete", "kind", f.options.Name, "rows", f.Len())
		close(f.synced)
	})
}
