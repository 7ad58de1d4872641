package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errNotFound = errors.New("no such row")
	errDown     = errors.New("the upstream is down")
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

func (u *upstream) remove(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.rows, id)
	u.heap = slices.DeleteFunc(u.heap, func(other string) bool { return other == id })
	u.sendLocked(Event[record]{ID: id, Deleted: true})
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
	first := min((page-1)*size, len(visible))
	rows := slices.Clone(visible[first:min(first+size, len(visible))])
	u.mu.Unlock()
	if waited := u.wait(ctx); waited != nil {
		return nil, 0, waited
	}
	return rows, total, err
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

// clients is what the publisher's clients see, and every fault they could see.
type clients struct {
	t         *testing.T
	mu        sync.Mutex
	rows      map[string]record
	highest   map[string]int
	published map[string]int
	withdrawn map[string]int
}

func (c *clients) Publish(id string, row record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, found := c.rows[id]; found && before.content == row.content && before.created.Equal(row.created) {
		c.t.Errorf("%s was published again with the same content %q", id, row.content)
	}
	if row.n < c.highest[id] {
		c.t.Errorf("%s was rolled back from its state %d to %d", id, c.highest[id], row.n)
	}
	c.rows[id], c.highest[id] = row, row.n
	c.published[id]++
}

func (c *clients) Withdraw(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.rows[id]; !found {
		c.t.Errorf("%s was withdrawn without having been published", id)
	}
	delete(c.rows, id)
	c.withdrawn[id]++
}

// state returns what clients see of the row, "-" if nothing.
func (c *clients) state(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if row, found := c.rows[id]; found {
		return row.content
	}
	return "-"
}

// publications returns how often the row was published.
func (c *clients) publications(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.published[id]
}

// publications counts how often the row was published.
func (c *clients) publications(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.published[id]
}

// withdrawalsOf counts how often the row was withdrawn.
func (c *clients) withdrawalsOf(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.withdrawn[id]
}

func (c *clients) withdrawals() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := 0
	for _, count := range c.withdrawn {
		sum += count
	}
	return sum
}

// counters is a Metrics.
type counters struct {
	mu                                               sync.Mutex
	events, echoes, reconnects, complete, incomplete int
	repairs                                          int
	longest                                          time.Duration
}

func (c *counters) add(to *int, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*to += n
}

func (c *counters) Event(string)     { c.add(&c.events, 1) }
func (c *counters) Echo(string)      { c.add(&c.echoes, 1) }
func (c *counters) Reconnect(string) { c.add(&c.reconnects, 1) }
func (c *counters) Listing(_ string, took time.Duration, complete bool, repairs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest = max(c.longest, took)
	c.repairs += repairs
	if complete {
		c.complete++
	} else {
		c.incomplete++
	}
}

func (c *counters) read(of *int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *of
}

// world is a feed at work between a scripted upstream and its clients.
type world struct {
	*upstream
	t       *testing.T
	feed    *Feed[record]
	clients *clients
	metrics *counters
}

// within runs the test in its own time with a feed that is not running yet.
func within(t *testing.T, u *upstream, change func(*Options), test func(*testing.T, *world)) {
	t.Helper()
	options := Options{Name: "rows"}
	if change != nil {
		change(&options)
	}
	w := &world{
		upstream: u, t: t, metrics: &counters{},
		clients: &clients{t: t, rows: map[string]record{}, highest: map[string]int{}, published: map[string]int{}, withdrawn: map[string]int{}},
	}
	options.Metrics = w.metrics
	var err error
	if w.feed, err = New[record](u, w.clients, options); err != nil {
		t.Fatal(err)
	}
	test(t, w)
}

// running is within with a feed that runs and has synchronised.
func running(t *testing.T, script func() *upstream, change func(*Options), test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		within(t, script(), change, func(t *testing.T, w *world) {
			stop := w.run()
			defer stop()
			<-w.feed.Synced()
			test(t, w)
		})
	})
}

// run starts the feed; the returned function ends it and waits for it.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.feed.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the feed ended with %v", err)
		}
	}
}

// settle lets two undisturbed listings pass.
func (w *world) settle() {
	target := w.count(&w.lists) + 3
	for w.count(&w.lists) < target {
		time.Sleep(100 * time.Millisecond)
	}
	synctest.Wait()
}

// sees waits until clients see the state, and returns after how long.
func (w *world) sees(id, state string, within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for w.clients.state(id) != state {
		if time.Since(began) > within {
			w.t.Fatalf("%s is %q to clients %s after it became %q", id, w.clients.state(id), within, state)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// never fails if clients see another state within the time.
func (w *world) never(id, other string, within time.Duration) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < within; time.Sleep(time.Millisecond) {
		if state := w.clients.state(id); state == other {
			w.t.Fatalf("%s became %q to clients after %s", id, state, time.Since(began))
		}
	}
}

func (w *world) inState(want State) {
	w.t.Helper()
	if got, detail := w.feed.State(); got != want {
		w.t.Fatalf("the feed is %s (%s), want %s", got, detail, want)
	}
}

// agrees fails unless clients see exactly what the upstream holds.
func (w *world) agrees() {
	w.t.Helper()
	w.upstream.mu.Lock()
	defer w.upstream.mu.Unlock()
	w.clients.mu.Lock()
	defer w.clients.mu.Unlock()
	for id, row := range w.upstream.rows {
		if seen, found := w.clients.rows[id]; !found || seen.content != row.content {
			w.t.Errorf("%s is %q upstream and %q to clients", id, row.content, seen.content)
		}
	}
	for id := range w.clients.rows {
		if _, found := w.upstream.rows[id]; !found {
			w.t.Errorf("%s is gone upstream but not to clients", id)
		}
	}
	if len(w.clients.rows) != w.feed.Len() {
		w.t.Errorf("the feed holds %d rows, clients see %d", w.feed.Len(), len(w.clients.rows))
	}
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 815)) }

var endOfStream = io.EOF
