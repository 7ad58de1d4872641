// Package service serves the gRPC services of ambient-api-server on the rows of
// package store, with the real server's semantics: defaults at create, updates
// that save whole rows, deletions that always succeed, listings without order,
// watches without snapshot.
//
// It owns what a call means. It must not know SQL, tokens or listeners.
package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

// Faults is asked at the places where a call may be made to go wrong.
type Faults interface {
	// Now is the clock that dates the rows.
	Now() time.Time
	// BeforeUpdate is called between reading and saving a row in Update calls.
	BeforeUpdate(context.Context)
	// BeforeStatusUpdate is the same for UpdateSessionStatus.
	BeforeStatusUpdate(context.Context)
	// HoldMessage is called between reading the row of an event and sending it.
	HoldMessage(context.Context)
	// ShufflePages says whether each page of a listing has another order.
	ShufflePages() bool
	// OversizeBytes is the number of bytes to add to each page of a listing.
	OversizeBytes() int
}

// Environment is what the services work with.
type Environment struct {
	Database *store.Database
	// Events carries the changes of rows to the watches.
	Events *events.Broker
	// Messages wakes the watchers of session messages; an event's ID is that of
	// the session.
	Messages *events.Broker
	Faults   Faults
}

// Register registers SessionService, ProjectService and ProjectSettingsService.
func Register(registrar grpc.ServiceRegistrar, environment Environment) {
	ambientv1.RegisterSessionServiceServer(registrar, newSessionServer(environment))
	ambientv1.RegisterProjectServiceServer(registrar, newProjectServer(environment))
	ambientv1.RegisterProjectSettingsServiceServer(registrar, newProjectSettingsServer(environment))
}

// Transaction returns an interceptor that takes a database connection for as long
// as a call lasts, as the real server does for the transaction of each call. The
// calls then need further connections for their statements: when all are taken by
// calls that wait for one more, they wait until their deadlines.
func Transaction(database *store.Database) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		release, err := database.Hold(ctx)
		if err != nil {
			return nil, statusOf("a call", err)
		}
		defer release()
		return handler(ctx, request)
	}
}

// statusOf turns an error into the status that the real server answers; what says
// which object it is about.
func statusOf(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return status.Error(codes.NotFound, what+" not found")
	case errors.Is(err, store.ErrExists):
		return status.Error(codes.AlreadyExists, fmt.Sprintf("this %s already exists", what))
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	default:
		return status.Error(codes.Internal, fmt.Sprintf("%s: %v", what, err))
	}
}

func requireID(id string) error {
	if id == "" {
		return status.Error(codes.InvalidArgument, "id is required")
	}
	return nil
}
