package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

const (
	// connectPatience is how long a call waits for a connection that is being
	// made. Writes must be refused within a second.
	connectPatience = 700 * time.Millisecond
	// failureLimit is how many calls in a row must go unanswered before calls are
	// refused.
	failureLimit = 3
	// probePause is the time between two calls that try whether the upstream
	// answers again.
	probePause = time.Second
)

// guard gives each call its deadline and refuses calls at once while the
// upstream does not answer: because no connection can be made, or because calls
// over a standing connection go unanswered.
type guard struct {
	target     string
	timeout    time.Duration
	tokens     *tokens
	connection *grpc.ClientConn // set before the first call
	now        func() time.Time

	mu          sync.Mutex
	unreachable bool // a call waited in vain for a connection, none stood since
	failures    int  // calls in a row that went unanswered
	probing     bool // one call is trying whether the upstream answers again
	lastFailure time.Time
}

func newGuard(target string, timeout time.Duration, tokens *tokens) *guard {
	return &guard{target: target, timeout: timeout, tokens: tokens, now: time.Now}
}

func (g *guard) unary(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	attempt := &attempt{}
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, attemptKey{}, attempt), g.timeout)
	defer cancel()
	if err := g.connected(bounded); err != nil {
		return neverSentError{err}
	}
	patient := g.patient(ctx)
	probe, err := g.admit(patient)
	if err != nil {
		return neverSentError{err}
	}
	err = invoke(bounded, method, request, reply, connection, options...)
	// A call that could not be sent failed at once and knows why; that the caller
	// gave up says nothing about the upstream, whichever side noticed first.
	cut := ctx.Err() != nil || !patient && status.Code(err) == codes.DeadlineExceeded
	g.record(err, probe, attempt.sent() && !cut)
	if err != nil && !attempt.sent() {
		return neverSentError{err}
	}
	return err
}

func (g *guard) stream(ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := g.connected(ctx); err != nil {
		return nil, neverSentError{err}
	}
	return open(ctx, description, connection, method, options...)
}

// connected waits a moment for a connection that is being made. A connection
// that failed is left to the call itself, which fails at once and knows why.
func (g *guard) connected(ctx context.Context) error {
	if state := g.connection.GetState(); state == connectivity.Ready {
		g.setUnreachable(false)
		return nil
	}
	patience, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	for {
		state := g.connection.GetState()
		switch state {
		case connectivity.Ready:
			g.setUnreachable(false)
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return nil
		case connectivity.Idle:
			g.connection.Connect()
		}
		if g.isUnreachable() {
			return status.Errorf(codes.Unavailable, "no connection to the upstream at %s", g.target)
		}
		if !g.connection.WaitForStateChange(patience, state) {
			if err := ctx.Err(); err != nil {
				return status.FromContextError(err).Err()
			}
			g.setUnreachable(true)
		}
	}
}

func (g *guard) setUnreachable(unreachable bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unreachable = unreachable
}

func (g *guard) isUnreachable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.unreachable
}

// patient tells whether the caller waits for as long as the upstream may take.
func (g *guard) patient(ctx context.Context) bool {
	deadline, limited := ctx.Deadline()
	return !limited || time.Until(deadline) >= g.timeout
}

// admit refuses a call while too many before it went unanswered, except one at a
// time that tries again: a patient one, since others would keep those from trying
// and tell nothing of an upstream that is slow.
func (g *guard) admit(patient bool) (probe bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failures < failureLimit {
		return false, nil
	}
	if !patient || g.probing || g.now().Sub(g.lastFailure) < probePause {
		return false, status.Errorf(codes.Unavailable, "the upstream at %s left the last %d calls unanswered", g.target, g.failures)
	}
	g.probing = true
	return true, nil
}

// record takes a call's outcome into account if it tells whether the upstream
// answers.
func (g *guard) record(err error, probe, telling bool) {
	code := status.Code(err)
	if code == codes.Unauthenticated {
		g.tokens.rejected()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if probe {
		g.probing = false
	}
	switch {
	case !telling:
	case code == codes.Unavailable || code == codes.DeadlineExceeded:
		g.failures++
		g.lastFailure = g.now()
	default:
		g.failures = 0
	}
}

// attempt remembers whether a call left this process.
type attempt struct {
	mu   sync.Mutex
	left bool
}

type attemptKey struct{}

func (a *attempt) sent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left
}

// sentTracker notes on a call's attempt that its message was handed to a
// connection. Before that the upstream cannot have acted on it.
type sentTracker struct{}

// TagRPC implements stats.Handler.
func (sentTracker) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (sentTracker) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutPayload); !ok {
		return
	}
	if attempt, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		attempt.mu.Lock()
		attempt.left = true
		attempt.mu.Unlock()
	}
}

// TagConn implements stats.Handler.
func (sentTracker) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (sentTracker) HandleConn(context.Context, stats.ConnStats) {}

// neverSentError marks the error of a call that did not leave this process.
type neverSentError struct{ error }

// Unwrap returns the error itself.
func (e neverSentError) Unwrap() error { return e.error }

// GRPCStatus returns the status of the error itself.
func (e neverSentError) GRPCStatus() *status.Status { return status.Convert(e.error) }

// NeverSent tells whether the failed call certainly did not reach the upstream.
// Any other failed call may have taken effect there, unless its code says that
// the upstream refused it. To be asked before StatusError, which forgets it.
func NeverSent(err error) bool {
	var marked neverSentError
	return errors.As(err, &marked)
}

// Ambiguous tells whether a failed call may have taken effect upstream: it was
// sent and the answer does not say.
func Ambiguous(err error) bool {
	if err == nil || NeverSent(err) {
		return false
	}
	switch status.Convert(err).Code() {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.Unimplemented:
		return false
	default:
		return true
	}
}
