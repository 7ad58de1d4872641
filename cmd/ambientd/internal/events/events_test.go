package events

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newBroker(t *testing.T) *Broker {
	t.Helper()
	broker := NewBroker(Unfiltered{})
	t.Cleanup(broker.Close)
	return broker
}

func subscribe(t *testing.T, broker *Broker) *Subscription {
	t.Helper()
	subscription, err := broker.Subscribe()
	if err != nil {
		t.Fatal(err)
	}
	return subscription
}

func next(t *testing.T, subscription *Subscription) (Event, bool) {
	t.Helper()
	select {
	case event, open := <-subscription.Events():
		return event, open
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrived")
		return Event{}, false
	}
}

func TestEventsArriveInTheOrderOfPublishingAtAllSubscribers(t *testing.T) {
	broker := newBroker(t)
	first, second := subscribe(t, broker), subscribe(t, broker)
	const events = 100
	for i := range events {
		broker.Publish(Event{Kind: "Session", Type: Updated, ID: fmt.Sprint(i)})
	}
	for _, subscription := range []*Subscription{first, second} {
		for i := range events {
			if event, _ := next(t, subscription); event.ID != fmt.Sprint(i) {
				t.Fatalf("event %d is %s", i, event.ID)
			}
		}
	}
}

func TestASubscriberThatDoesNotReadLosesEventsAndOthersDoNot(t *testing.T) {
	broker := newBroker(t)
	paused, reading := subscribe(t, broker), subscribe(t, broker)
	const events = Capacity + 50
	for i := range events {
		broker.Publish(Event{ID: fmt.Sprint(i)})
		if event, _ := next(t, reading); event.ID != fmt.Sprint(i) {
			t.Fatalf("the reader got %s instead of %d", event.ID, i)
		}
	}
	if published, dropped := broker.Counts(); published != events || dropped != 50 {
		t.Errorf("published = %d, dropped = %d", published, dropped)
	}
	for i := range Capacity {
		if event, _ := next(t, paused); event.ID != fmt.Sprint(i) {
			t.Fatalf("event %d of the paused one is %s", i, event.ID)
		}
	}
	broker.Publish(Event{ID: "afterwards"})
	if event, _ := next(t, paused); event.ID != "afterwards" {
		t.Errorf("after the loss came %s", event.ID)
	}
}

func TestEventsTakeAtLeastTheLatencyEach(t *testing.T) {
	broker := newBroker(t)
	subscription := subscribe(t, broker)
	for range 3 {
		began := time.Now()
		broker.Publish(Event{ID: "a"})
		next(t, subscription)
		if took := time.Since(began); took < latency {
			t.Errorf("an event took %s", took)
		}
	}
}

func TestEndedSubscriptionsAreClosedAndNewOnesWork(t *testing.T) {
	broker := newBroker(t)
	old := subscribe(t, broker)
	broker.EndSubscriptions()
	if _, open := next(t, old); open {
		t.Error("the old subscription is open")
	}
	old.Cancel()
	fresh := subscribe(t, broker)
	broker.Publish(Event{ID: "a"})
	if event, _ := next(t, fresh); event.ID != "a" {
		t.Errorf("the event is %v", event)
	}
}

func TestACancelledSubscriptionGetsNothing(t *testing.T) {
	broker := newBroker(t)
	cancelled, other := subscribe(t, broker), subscribe(t, broker)
	cancelled.Cancel()
	broker.Publish(Event{ID: "a"})
	next(t, other)
	if waiting := len(cancelled.Events()); waiting != 0 {
		t.Errorf("%d events wait for a cancelled subscription", waiting)
	}
}

func TestACloseEndsSubscriptionsAndRefusesNewOnes(t *testing.T) {
	broker := NewBroker(Unfiltered{})
	subscription := subscribe(t, broker)
	broker.Close()
	if _, open := next(t, subscription); open {
		t.Error("the subscription is open")
	}
	if _, err := broker.Subscribe(); !errors.Is(err, ErrClosed) {
		t.Errorf("subscribing: %v", err)
	}
	broker.Close() // a second time does nothing
}
