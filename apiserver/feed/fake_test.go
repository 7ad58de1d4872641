package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errNotFound = errors.New("no such row")
	errDown     = errors.New("the upstream is down")
	errTooLarge = errors.New("larger than max")
)

// record is a row of the fake upstream. n counts the changes of the row; what
// was published of an id must never have a lower n than before.
type record struct {
	id, content string
	n           int
	at, created time.Time
}

// upstream is a scripted upstream. Its fields are set before use or through do.
type upstream struct {
	mu      sync.Mutex
	rows    map[string]record
	changes map[string]int
	heap    []string // the order of listings: a changed row moves to the end
	last    time.Time
	streams map[*stream]struct{}

	latency                    time.Duration // of each page and each Get
	listError, getError        error
	watchError                 error
	noRights                   bool            // lists are empty, Get works
	hidden                     map[string]bool // rows that lists leave out and do not count
	miscount                   int             // added to the total
	limit                      int             // of the content of a page, in bytes; 0: none
	asked                      []int           // the size of each page, probes included
	refused                    int             // pages beyond the limit
	mute                       bool            // changes send no events
	hold                       bool            // events are kept in held
	held                       []Event[record]
	lists, gets, opens, probes int
	beforeGet                  func(id string) // runs before a Get reads
	onGet                      func(id string) // runs after a Get has read and before it returns
	opened                     []time.Time
}

func newUpstream(ids ...string) *upstream {
	u := &upstream{rows: map[string]record{}, changes: map[string]int{}, streams: map[*stream]struct{}{}, hidden: map[string]bool{}, latency: 5 * time.Millisecond}
	for _, id := range ids {
		u.set(id, "first", false)
	}
	return u
}

func ids(prefix string, count int) []string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return all
}

// do changes the script.
func (u *upstream) do(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

// set writes a row and returns it as a write would be answered.
func (u *upstream) set(id, content string, announce bool) record {
	u.mu.Lock()
	defer u.mu.Unlock()
	at := time.Now().Round(time.Microsecond)
	if !at.After(u.last) {
		at = u.last.Add(time.Microsecond)
	}
	u.last = at
	before, found := u.rows[id]
	u.changes[id]++
	after := record{id: id, content: content, n: u.changes[id], at: at, created: before.created}
	if !found {
		after.created = at
	} else {
		u.heap = slices.DeleteFunc(u.heap, func(other string) bool { return other == id })
	}
	u.heap = append(u.heap, id)
	u.rows[id] = after
	if announce {
		u.sendLocked(Event[record]{ID: id, Row: after})
	}
	return after
}

func (u *upstream) write(id, content string) record { return u.set(id, content, true) }

func (u *upstream) remove(ids ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, id := range ids {
		delete(u.rows, id)
		u.heap = slices.DeleteFunc(u.heap, func(other string) bool { return other == id })
		u.sendLocked(Event[record]{ID: id, Deleted: true})
	}
}

// swap exchanges the database and returns the one before.
func (u *upstream) swap(rows map[string]record) map[string]record {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.rows
	u.rows, u.heap = rows, slices.Sorted(maps.Keys(rows))
	return before
}

func (u *upstream) sendLocked(event Event[record]) {
	switch {
	case u.mute:
	case u.hold:
		u.held = append(u.held, event)
	default:
		for s := range u.streams {
			s.push(event)
		}
	}
}

// send delivers an event whatever the script says.
func (u *upstream) send(events ...Event[record]) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, event := range events {
		for s := range u.streams {
			s.push(event)
		}
	}
}

// releaseHeld delivers the events that were kept.
func (u *upstream) releaseHeld() {
	u.mu.Lock()
	events := u.held
	u.held, u.hold = nil, false
	u.mu.Unlock()
	u.send(events...)
}

// end ends every open stream.
func (u *upstream) end(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for s := range u.streams {
		s.finish(err)
	}
	clear(u.streams)
}

func (u *upstream) count(of *int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return *of
}

func (u *upstream) wait(ctx context.Context) error {
	u.mu.Lock()
	latency := u.latency
	u.mu.Unlock()
	if !sleep(ctx, latency, nil) {
		return ctx.Err()
	}
	return nil
}

// List reads the page at once and answers after the latency: what happens
// between is what a real answer misses.
func (u *upstream) List(ctx context.Context, page, size int) ([]record, int, error) {
	u.mu.Lock()
	if size == 1 {
		u.probes++
	} else {
		u.lists++
	}
	var visible []record
	for _, id := range u.heap {
		if !u.hidden[id] && !u.noRights {
			visible = append(visible, u.rows[id])
		}
	}
	total, err := len(visible), u.listError
	if !u.noRights {
		total += u.miscount
	}
	u.asked = append(u.asked, size)
	if size < 1 || size > 500 {
		size = 20
	}
	first := min((page-1)*size, len(visible))
	rows := slices.Clone(visible[first:min(first+size, len(visible))])
	content := 0
	for _, row := range rows {
		content += len(row.content)
	}
	if err == nil && u.limit > 0 && content > u.limit {
		u.refused++
		err = errTooLarge
	}
	u.mu.Unlock()
	if waited := u.wait(ctx); waited != nil {
		return nil, 0, waited
	}
	if err != nil {
		return nil, 0, err
	}
	return rows, total, nil
}

func (u *upstream) Get(ctx context.Context, id string) (record, error) {
	u.mu.Lock()
	beforeGet := u.beforeGet
	u.mu.Unlock()
	if beforeGet != nil {
		beforeGet(id)
	}
	u.mu.Lock()
	u.gets++
	row, found := u.rows[id]
	err, onGet := u.getError, u.onGet
	u.mu.Unlock()
	if onGet != nil {
		onGet(id)
	}
	if waited := u.wait(ctx); waited != nil {
		return record{}, waited
	}
	if err == nil && !found {
		err = errNotFound
	}
	return row, err
}

func (u *upstream) NotFound(err error) bool { return errors.Is(err, errNotFound) }
func (u *upstream) TooLarge(err error) bool { return errors.Is(err, errTooLarge) }

func (u *upstream) Watch(ctx context.Context) (Stream[record], error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opens++
	u.opened = append(u.opened, time.Now())
	if u.watchError != nil {
		return nil, u.watchError
	}
	s := &stream{ctx: ctx, signal: make(chan struct{}, 1)}
	u.streams[s] = struct{}{}
	return s, nil
}

func (u *upstream) ID(row record) string           { return row.id }
func (u *upstream) UpdatedAt(row record) time.Time { return row.at }
func (u *upstream) Equal(a, b record) bool {
	return a.content == b.content && a.created.Equal(b.created)
}
func (u *upstream) Same(a, b record) bool { return a.created.Equal(b.created) }

// stream is one open watch with an unbounded queue.
type stream struct {
	ctx    context.Context
	mu     sync.Mutex
	queue  []Event[record]
	err    error
	signal chan struct{}
}

func (s *stream) push(event Event[record]) {
	s.mu.Lock()
	s.queue = append(s.queue, event)
	s.mu.Unlock()
	s.wake()
}

func (s *stream) finish(err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	s.wake()
}

func (s *stream) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *stream) Recv() (Event[record], error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			event := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			return event, nil
		}
		err := s.err
		s.mu.Unlock()
		if err != nil {
			return Event[record]{}, err
		}
		select {
		case <-s.ctx.Done():
			return Event[record]{}, s.ctx.Err()
		case <-s.signal:
		}
	}
}
