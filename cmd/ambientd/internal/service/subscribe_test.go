package service

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/tap"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
)

func TestAWatchIsSubscribedBeforeItsHandlerRuns(t *testing.T) {
	broker := events.NewBroker(events.Unfiltered{})
	defer broker.Close()
	for method, early := range map[string]bool{
		ambientv1.SessionService_WatchSessions_FullMethodName:                true,
		ambientv1.ProjectService_WatchProjects_FullMethodName:                true,
		ambientv1.ProjectSettingsService_WatchProjectSettings_FullMethodName: true,
		ambientv1.SessionService_ListSessions_FullMethodName:                 false,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		opened, err := SubscribeEarly(broker)(ctx, &tap.Info{FullMethodName: method})
		if err != nil {
			t.Fatal(err)
		}
		clock, err := broker.Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		broker.Publish(events.Event{ID: "written before the handler runs"})
		select {
		case <-clock.Events():
		case <-time.After(10 * time.Second):
			t.Fatal("the event was not delivered")
		}
		subscription, err := subscriptionOf(opened, broker)
		if err != nil {
			t.Fatal(err)
		}
		// Subscribers get an event one after the other; this waits for the last one.
		clock.Cancel()
		if got := len(subscription.Events()) == 1; got != early {
			t.Errorf("%s: the event waits: %t, want %t", method, got, early)
		}
		subscription.Cancel()
		cancel()
	}
}

func TestASubscriptionEndsWithItsStream(t *testing.T) {
	broker := events.NewBroker(events.Unfiltered{})
	defer broker.Close()
	ctx, cancel := context.WithCancel(t.Context())
	opened, err := SubscribeEarly(broker)(ctx, &tap.Info{FullMethodName: ambientv1.SessionService_WatchSessions_FullMethodName})
	if err != nil {
		t.Fatal(err)
	}
	subscription, err := subscriptionOf(opened, broker)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	// The end is not told to anybody: events stop arriving.
	for deadline := time.Now().Add(10 * time.Second); ; {
		broker.Publish(events.Event{ID: "a"})
		select {
		case <-subscription.Events():
		case <-time.After(200 * time.Millisecond):
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the subscription outlives its stream")
		}
	}
}
