// Package health asks gRPC servers how they are, by the protocol grpc.health.v1.
package health

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// Check returns nil if the server at host and port, which is asked without TLS, says
// that it serves.
func Check(ctx context.Context, address string) (err error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", address, err)
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	answer, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("asking %s for its health: %w", address, err)
	}
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the health of %s is %v", address, answer.GetStatus())
	}
	return nil
}
