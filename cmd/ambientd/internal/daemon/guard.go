package daemon

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/fault"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
)

// guard holds the interceptors that every call passes.
type guard struct {
	authenticator *identity.Authenticator
	faults        *fault.Faults
	logger        *slog.Logger
}

func (g *guard) caller(ctx context.Context, method string) (context.Context, error) {
	caller, err := g.authenticator.Authenticate(ctx, method)
	if err != nil {
		return nil, err
	}
	if g.faults.LoseRights() {
		caller.Service = false
	}
	return identity.WithCaller(ctx, caller), nil
}

func (g *guard) authenticateUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := g.caller(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return handler(ctx, request)
}

// authenticateStream looks at the token once, when the stream opens.
func (g *guard) authenticateStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := g.caller(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return handler(server, &streamWithContext{ServerStream: stream, ctx: ctx})
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context that carries the caller.
func (s *streamWithContext) Context() context.Context { return s.ctx }

func (g *guard) recoverUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = g.recovered(info.FullMethod, cause)
		}
	}()
	return handler(ctx, request)
}

func (g *guard) recoverStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = g.recovered(info.FullMethod, cause)
		}
	}()
	return handler(server, stream)
}

func (g *guard) recovered(method string, cause any) error {
	g.logger.Error("a call panicked", "method", method, "panic", cause, "stack", string(debug.Stack()))
	return status.Error(codes.Internal, "internal error")
}

func (g *guard) logUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	began := time.Now()
	response, err := handler(ctx, request)
	g.log(ctx, info.FullMethod, began, err)
	return response, err
}

func (g *guard) logStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	began := time.Now()
	err := handler(server, stream)
	g.log(stream.Context(), info.FullMethod, began, err)
	return err
}

// log tells of a call, never of its content: rows may hold tokens.
func (g *guard) log(ctx context.Context, method string, began time.Time, err error) {
	g.logger.DebugContext(ctx, "call", "method", method, "code", status.Code(err).String(), "took", time.Since(began))
}
