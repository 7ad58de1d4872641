// Package events carries the news of changed rows from the writers to the open
// watch streams, with the losses of the real server: one worker takes the events
// one by one, and each subscriber has room for 256 events of all kinds together;
// when it is full, further events are dropped without a word.
//
// It owns queues and subscriptions. It must not know rows, gRPC or callers: an
// event says which row changed, and the stream reads the row when it sends it.
package events

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Capacity is the number of events that wait for one subscriber before further
// ones are dropped.
const Capacity = 256

// latency is the least time from a write to the delivery of its event. At the real
// server an event goes through the database, which takes 6 ms as a rule; without
// any delay, events would overtake the replies of the writes that caused them.
const latency = 3 * time.Millisecond

// ErrClosed means that the broker was shut down.
var ErrClosed = errors.New("the event broker is closed")

// Type tells what happened to a row.
type Type int

// The types of events.
const (
	Created Type = iota + 1
	Updated
	Deleted
)

// Event says that something happened to one row.
type Event struct {
	// Kind is the kind of the row, such as Session.
	Kind string
	Type Type
	ID   string
	// At is the time at which the event was published; Publish sets it.
	At time.Time
}

// Filter stands between the queue and the subscribers, to imitate faults.
type Filter interface {
	// Pass returns what is delivered in place of an event: usually the event
	// itself. It may wait, which holds up the events behind this one; it ends
	// when the context does.
	Pass(ctx context.Context, event Event) []Event
	// Flush returns the events that Pass kept back; it is called when the queue
	// is empty.
	Flush() []Event
}

// Broker hands events to subscribers.
type Broker struct {
	filter Filter

	queueMutex sync.Mutex
	queue      []Event
	filled     chan struct{}

	subscriberMutex sync.Mutex
	subscribers     map[*Subscription]struct{}
	closed          bool

	published atomic.Int64
	dropped   atomic.Int64

	cancel context.CancelFunc
	worker sync.WaitGroup
}

// NewBroker starts a broker; Close ends it.
func NewBroker(filter Filter) *Broker {
	ctx, cancel := context.WithCancel(context.Background())
	broker := &Broker{
		filter:      filter,
		filled:      make(chan struct{}, 1),
		subscribers: map[*Subscription]struct{}{},
		cancel:      cancel,
	}
	broker.worker.Go(func() { broker.run(ctx) })
	return broker
}

// Publish queues an event. It never waits: the queue has no limit, as the table of
// events of the real server has none.
func (b *Broker) Publish(event Event) {
	event.At = time.Now()
	b.queueMutex.Lock()
	b.queue = append(b.queue, event)
	b.queueMutex.Unlock()
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

func (b *Broker) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.filled:
		}
		b.queueMutex.Lock()
		batch := b.queue
		b.queue = nil
		b.queueMutex.Unlock()
		for _, event := range batch {
			wait(ctx, time.Until(event.At.Add(latency)))
			for _, passed := range b.filter.Pass(ctx, event) {
				b.deliver(passed)
			}
			if ctx.Err() != nil {
				return
			}
		}
		for _, kept := range b.filter.Flush() {
			b.deliver(kept)
		}
	}
}

func wait(ctx context.Context, duration time.Duration) {
	if duration <= 0 {
		return
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (b *Broker) deliver(event Event) {
	b.published.Add(1)
	b.subscriberMutex.Lock()
	defer b.subscriberMutex.Unlock()
	for subscriber := range b.subscribers {
		select {
		case subscriber.events <- event:
		default:
			b.dropped.Add(1)
		}
	}
}

// Counts returns how many events left the queue and how many deliveries to single
// subscribers were dropped.
func (b *Broker) Counts() (published, dropped int64) {
	return b.published.Load(), b.dropped.Load()
}

// Subscription receives the events published after it was made.
type Subscription struct {
	broker *Broker
	events chan Event
}

// Subscribe opens a subscription; it fails with ErrClosed after Close.
func (b *Broker) Subscribe() (*Subscription, error) {
	b.subscriberMutex.Lock()
	defer b.subscriberMutex.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	subscription := &Subscription{broker: b, events: make(chan Event, Capacity)}
	b.subscribers[subscription] = struct{}{}
	return subscription, nil
}

// Events returns the channel of the events. It is closed when the broker ends the
// subscription.
func (s *Subscription) Events() <-chan Event { return s.events }

// Cancel ends the subscription; it may be called more than once.
func (s *Subscription) Cancel() {
	s.broker.subscriberMutex.Lock()
	defer s.broker.subscriberMutex.Unlock()
	delete(s.broker.subscribers, s)
}

// EndSubscriptions closes the channels of all subscriptions, as a restart of the
// real server's broker does. New ones may be opened.
func (b *Broker) EndSubscriptions() {
	b.subscriberMutex.Lock()
	defer b.subscriberMutex.Unlock()
	b.endSubscriptions()
}

func (b *Broker) endSubscriptions() {
	for subscription := range b.subscribers {
		close(subscription.events)
		delete(b.subscribers, subscription)
	}
}

// Close ends all subscriptions, refuses new ones, and waits for the worker. Events
// that still wait in the queue are lost, as they are at the real server.
func (b *Broker) Close() {
	b.cancel()
	b.worker.Wait()
	b.subscriberMutex.Lock()
	defer b.subscriberMutex.Unlock()
	b.closed = true
	b.endSubscriptions()
}

// Unfiltered is a Filter that changes nothing.
type Unfiltered struct{}

// Pass returns the event itself.
func (Unfiltered) Pass(_ context.Context, event Event) []Event { return []Event{event} }

// Flush returns nothing, as nothing was kept back.
func (Unfiltered) Flush() []Event { return nil }
