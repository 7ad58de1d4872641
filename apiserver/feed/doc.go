// Package feed keeps a map of rows equal to one kind of the upstream: it opens
// the watch stream, lists, merges, and lists again for ever.
//
// The upstream's watch is a hint and its list is the truth about the rows that
// it returns; neither proves that a row is gone. The package therefore believes
// an absence only after a Get, and a mass of absences only with a witness. It is
// generic over the row and knows neither REST nor Kubernetes objects.
package feed

import (
	"context"
	"time"
)

// Source reads one kind of the upstream.
type Source[R any] interface {
	// List returns one page (from 1) of at most size rows, and the number of all
	// rows. The order is undefined and may change between pages.
	List(ctx context.Context, page, size int) (rows []R, total int, err error)
	// Get returns the row with the id, or an error for which NotFound is true.
	Get(ctx context.Context, id string) (R, error)
	// NotFound tells whether an error of Get says that there is no such row.
	NotFound(err error) bool
	// TooLarge tells whether an error of List says that the page is too large to be
	// received.
	TooLarge(err error) bool
	// Watch opens a stream of events that begins some time after the call.
	Watch(ctx context.Context) (Stream[R], error)

	// ID returns the row's id.
	ID(row R) string
	// UpdatedAt returns the time of the row's last change upstream, rounded to
	// microseconds as the upstream's database does.
	UpdatedAt(row R) time.Time
	// Equal tells whether two rows have the same content, whatever their times
	// of change say.
	Equal(a, b R) bool
}

// Identifier is implemented by a Source whose ids do not identify a row in all
// databases, as names do not.
type Identifier[R any] interface {
	// Same tells whether two rows with the same id are states of the same row.
	Same(a, b R) bool
}

// Stream is an open watch of the upstream.
type Stream[R any] interface {
	// Recv waits for the next event. It returns io.EOF when the upstream ended
	// the stream regularly.
	Recv() (Event[R], error)
}

// Event is one message of the upstream's watch.
type Event[R any] struct {
	// ID is the id of the row that changed.
	ID string
	// Row is the row as it was when the event was sent; absent for a deletion.
	Row R
	// Deleted tells that the event announces a deletion.
	Deleted bool
}

// Publisher learns of each change of the map, in order, one call at a time.
type Publisher[R any] interface {
	// Publish announces that the row is new or has changed.
	Publish(id string, row R)
	// Withdraw announces that the row is gone.
	Withdraw(id string)
}

// State names where a feed stands.
type State string

const (
	// Connecting: the upstream has not answered yet.
	Connecting State = "connecting"
	// Listing: the first synchronisation runs.
	Listing State = "listing"
	// Live: the stream is open and listings agree with it.
	Live State = "live"
	// Lagging: no stream is open, or listings tell of changes before the stream
	// does, or the last listing failed.
	Lagging State = "lagging"
	// Degraded: the upstream denies rows in a mass that only a lost right or
	// another database explains; none of these deletions is believed.
	Degraded State = "degraded"
	// Stale: the upstream has not answered for longer than reads may be stale.
	Stale State = "stale"
)

// States lists every state, for metrics.
var States = []State{Connecting, Listing, Live, Lagging, Degraded, Stale}
