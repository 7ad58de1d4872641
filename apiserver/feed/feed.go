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
	// upstream falls back to 20. Pages that are too large to be received are asked
	// for in smaller ones. Defaults to 500.
	PageSize int
	// MaxStaleness is the age of the last answer of the upstream above which the
	// state is stale. Defaults to 30 s.
	MaxStaleness time.Duration
	// Witness tells whether another feed of the same upstream still finds a row
	// that it knew at the time. It vouches for the upstream's identity when this
	// kind has no row left that could. See Vouch. May be nil.
	Witness func(ctx context.Context, knownAt time.Time) bool
	// SuspicionPeriod is how long rows that are absent in a mass must stay absent
	// before they are believed to be gone. Defaults to 30 s.
	SuspicionPeriod time.Duration
	// Reopen, if set, returns a channel that is closed when streams must be
	// opened anew because the credentials changed. The next change closes the
	// channel that the next call returns.
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
	// clock counts observations. Reads carry its value from when they began, and
	// prove nothing about rows that were observed later than that.
	clock uint64
	rows  map[string]*held[R]
	// tombstones remember rows that are gone, so that nothing late brings them
	// back unasked.
	tombstones map[string]tombstone
	// suspects are the rows that are absent in a mass, and since when.
	suspects map[string]time.Time
	status   status

	// pages is used by one listing after the other.
	pages pageSize

	synced   chan struct{}
	syncOnce sync.Once
	// attempted is closed when a stream was opened, or could not be, for the
	// first time: listings begin then.
	attempted   chan struct{}
	attemptOnce sync.Once
	relist      chan struct{}
	// finished is closed, and replaced, at the end of each listing.
	finished chan struct{}
	hints    *hints
}

// held is a row and what is known of it.
type held[R any] struct {
	row R
	// version is the clock's value at the last observation.
	version uint64
	// latest is the latest updated_at of all states that were seen.
	latest time.Time
	// first is when the row was observed for the first time.
	first time.Time
	// pass is the last listing that returned the row; missed counts those since
	// that did not.
	pass   uint64
	missed int
	// announced tells that the upstream announced the row's deletion.
	announced bool
}

// tombstone is the observation that a row is gone.
type tombstone struct {
	version uint64
	at      time.Time
	// stranger tells that the row was never held nor its deletion announced: a
	// read of an id that somebody named found nothing.
	stranger bool
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
	if options.Reopen == nil {
		options.Reopen = func() <-chan struct{} { return nil }
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
		status:     status{pageSize: options.PageSize},
		pages:      newPageSize(options.PageSize),
		synced:     make(chan struct{}),
		attempted:  make(chan struct{}),
		relist:     make(chan struct{}, 1),
		finished:   make(chan struct{}),
		hints:      newHints(),
	}, nil
}

// Run keeps the map equal to the upstream until the context ends. Nothing that
// the upstream does ends it.
func (f *Feed[R]) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { f.streamForEver(ctx); return nil })
	group.Go(func() error { f.listForEver(ctx); return nil })
	group.Go(func() error { f.probeForEver(ctx); return nil })
	for range hintReaders {
		group.Go(func() error { f.foldHintsForEver(ctx); return nil })
	}
	if err := group.Wait(); err != nil {
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

func (f *Feed[R]) markSynced(ctx context.Context) {
	f.syncOnce.Do(func() {
		klog.FromContext(ctx).Info("First synchronisation complete", "kind", f.options.Name, "rows", f.Len())
		close(f.synced)
	})
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

// Answered records that the upstream answered a call of this kind.
func (f *Feed[R]) Answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answeredLocked()
}

// Relist asks for a listing as soon as possible.
func (f *Feed[R]) Relist() {
	select {
	case f.relist <- struct{}{}:
	default:
	}
}
