package feed

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

// release is a person who releases what is held back just now.
func (w *world) release() bool {
	doubt, _ := w.feed.Doubt()
	return w.feed.Release(doubt.Fingerprint)
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

var errEndOfStream = io.EOF
