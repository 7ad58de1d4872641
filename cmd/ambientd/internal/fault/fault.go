// Package fault lets tests make the embedded upstream misbehave: lose, delay,
// double and reorder events, fall silent, be slow, lose updates and replies, step
// its clock. Settings say which faults happen; Faults is the seam that the server
// asks at the places where something may go wrong; Handler is the HTTP interface
// through which tests change the settings of a running server.
//
// It must not know rows or what a call means.
package fault

import (
	"context"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
)

// Faults decides at each place where something may go wrong whether it does.
type Faults struct {
	settings atomic.Pointer[Settings]
	// changed is closed when the settings change, so that waits for the sake of a
	// fault end when the fault does.
	changed atomic.Pointer[chan struct{}]

	drops, duplicates, reorders, messages, failures, losses counter

	// kept and earliest belong to the one worker that calls Pass and Flush.
	kept     []events.Event
	earliest time.Time

	callsMutex sync.Mutex
	calls      map[string]int64
}

var _ events.Filter = (*Faults)(nil)

// New returns a seam without any fault.
func New() *Faults {
	faults := &Faults{calls: map[string]int64{}}
	faults.settings.Store(&Settings{})
	changed := make(chan struct{})
	faults.changed.Store(&changed)
	return faults
}

// Set replaces the settings; what waits because of the old ones goes on at once.
func (f *Faults) Set(settings Settings) {
	f.settings.Store(&settings)
	changed := make(chan struct{})
	close(*f.changed.Swap(&changed))
}

// Settings returns the current settings.
func (f *Faults) Settings() Settings { return *f.settings.Load() }

// counter makes every n-th of something go wrong.
type counter struct{ seen atomic.Int64 }

func (c *counter) hits(oneIn int) bool {
	return oneIn > 0 && c.seen.Add(1)%int64(oneIn) == 0
}

// wait returns after the duration, when the settings change, or when the context
// ends.
func (f *Faults) wait(ctx context.Context, duration time.Duration) {
	if duration <= 0 {
		return
	}
	changed := *f.changed.Load()
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
}

// Pass applies the faults of events; see events.Filter.
func (f *Faults) Pass(ctx context.Context, event events.Event) []events.Event {
	settings := f.settings.Load()
	if settings.EventDelay > 0 {
		f.wait(ctx, time.Until(event.At.Add(time.Duration(settings.EventDelay))))
	}
	if settings.EventsPerSecond > 0 {
		f.wait(ctx, time.Until(f.earliest))
		f.earliest = time.Now().Add(time.Duration(float64(time.Second) / settings.EventsPerSecond))
	}
	if settings.Silent || f.drops.hits(settings.DropEventOneIn) {
		return nil
	}
	if f.reorders.hits(settings.ReorderEventOneIn) && len(f.kept) == 0 {
		f.kept = append(f.kept, event)
		return nil
	}
	passed := append([]events.Event{event}, f.Flush()...)
	if f.duplicates.hits(settings.DuplicateEventOneIn) {
		passed = append(passed, event)
	}
	return passed
}

// Flush returns the events kept back for reordering; see events.Filter.
func (f *Faults) Flush() []events.Event {
	kept := f.kept
	f.kept = nil
	return kept
}

// HoldMessage is asked between reading the row of a watch message and sending it.
func (f *Faults) HoldMessage(ctx context.Context) {
	settings := f.settings.Load()
	if settings.MessageDelay > 0 && f.messages.hits(max(settings.MessageDelayOneIn, 1)) {
		f.wait(ctx, time.Duration(settings.MessageDelay))
	}
}

// BeforeUpdate is asked between reading and saving a row in an Update call.
func (f *Faults) BeforeUpdate(ctx context.Context) {
	f.wait(ctx, time.Duration(f.settings.Load().UpdateWindow))
}

// BeforeStatusUpdate is asked between reading and saving in UpdateSessionStatus.
func (f *Faults) BeforeStatusUpdate(ctx context.Context) {
	f.wait(ctx, time.Duration(f.settings.Load().StatusWindow))
}

// ShufflePages says whether listings have another order for every page.
func (f *Faults) ShufflePages() bool { return f.settings.Load().ShufflePages }

// LoseRights says whether callers are treated as ones without rights.
func (f *Faults) LoseRights() bool { return f.settings.Load().LoseRights }

// OversizeBytes is the number of bytes to add to a page of a listing.
func (f *Faults) OversizeBytes() int { return f.settings.Load().OversizeBytes }

// Now is the server's clock.
func (f *Faults) Now() time.Time {
	return time.Now().Add(time.Duration(f.settings.Load().ClockStep))
}

// UnaryInterceptor counts the calls and applies the faults of calls. It belongs
// inside whatever holds a database connection for the call.
func (f *Faults) UnaryInterceptor(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	f.count(method)
	settings := f.settings.Load()
	if !settings.concerns(info.FullMethod) {
		return handler(ctx, request)
	}
	f.wait(ctx, time.Duration(settings.CallDelay))
	if f.failures.hits(settings.FailOneIn) {
		code, err := settings.failCode()
		if err != nil {
			code = codes.Unavailable
		}
		return nil, status.Error(code, "refused by an injected fault")
	}
	lose := f.losses.hits(settings.LoseReplyOneIn)
	response, err := handler(ctx, request)
	if lose && err == nil {
		return nil, status.Error(codes.Unavailable, "the reply was lost by an injected fault")
	}
	return response, err
}

// StreamInterceptor counts the calls.
func (f *Faults) StreamInterceptor(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	f.count(path.Base(info.FullMethod))
	return handler(server, stream)
}

func (s *Settings) concerns(fullMethod string) bool {
	if len(s.Methods) > 0 {
		return slices.Contains(s.Methods, path.Base(fullMethod))
	}
	return path.Dir(fullMethod) != "/grpc.health.v1.Health"
}

func (f *Faults) count(method string) {
	f.callsMutex.Lock()
	defer f.callsMutex.Unlock()
	f.calls[method]++
}

// Calls returns how often each method was called since the start.
func (f *Faults) Calls() map[string]int64 {
	f.callsMutex.Lock()
	defer f.callsMutex.Unlock()
	calls := make(map[string]int64, len(f.calls))
	for method, count := range f.calls {
		calls[method] = count
	}
	return calls
}
