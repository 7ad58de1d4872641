package service

import (
	"context"

	"google.golang.org/grpc/tap"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
)

type subscriptionKey struct{}

var watchMethods = map[string]bool{
	ambientv1.SessionService_WatchSessions_FullMethodName:                true,
	ambientv1.ProjectService_WatchProjects_FullMethodName:                true,
	ambientv1.ProjectSettingsService_WatchProjectSettings_FullMethodName: true,
}

// SubscribeEarly returns a handle that subscribes a watch when its headers are read,
// before any later call on the same connection begins. The handler itself runs in
// a goroutine that a busy machine may start late; a client that creates an object
// right after it opened a watch would then miss the event, which it never does at
// the real server.
func SubscribeEarly(broker *events.Broker) tap.ServerInHandle {
	return func(ctx context.Context, info *tap.Info) (context.Context, error) {
		if !watchMethods[info.FullMethodName] {
			return ctx, nil
		}
		subscription, err := broker.Subscribe()
		if err != nil {
			return ctx, nil //nolint:nilerr // the handler meets the same error and answers it
		}
		context.AfterFunc(ctx, subscription.Cancel)
		return context.WithValue(ctx, subscriptionKey{}, subscription), nil
	}
}

// subscriptionOf returns the subscription of a watch, a new one if there is none yet.
func subscriptionOf(ctx context.Context, broker *events.Broker) (*events.Subscription, error) {
	if subscription, ok := ctx.Value(subscriptionKey{}).(*events.Subscription); ok {
		return subscription, nil
	}
	return broker.Subscribe()
}
