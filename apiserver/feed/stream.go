package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// healthyAfter is how long a stream must have lived for the pauses between
// attempts to start anew.
const healthyAfter = 10 * time.Second

// hintReaders is how many rows that events point at are read at a time.
const hintReaders = 4

var (
	errCredentialsChanged = errors.New("the credentials changed")
	errStreamClosed       = errors.New("the upstream closed the stream")
)

// retryPauses are the pauses between attempts that fail.
func retryPauses() *wait.Backoff {
	return &wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 10 * time.Second}
}

// streamForEver keeps a stream open, whatever ends it: a regular end and an
// error mean the same. Listings go on meanwhile.
func (f *Feed[R]) streamForEver(ctx context.Context) {
	pauses := retryPauses()
	for ctx.Err() == nil {
		// Asked for before the stream is opened, so that no change is missed.
		changed := f.options.Reopen()
		began := time.Now()
		err := f.stream(ctx, changed)
		if ctx.Err() != nil {
			return
		}
		f.options.Metrics.Reconnect(f.options.Name)
		if time.Since(began) >= healthyAfter || errors.Is(err, errCredentialsChanged) {
			pauses = retryPauses()
		}
		pause := pauses.Step()
		klog.FromContext(ctx).V(2).Info("The watch stream of the upstream ended", "kind", f.options.Name, "reason", err, "pause", pause)
		if errors.Is(err, errCredentialsChanged) {
			changed = nil
		}
		if !sleep(ctx, pause, changed) {
			return
		}
	}
}

// stream is the life of one stream: it returns why the stream ended.
func (f *Feed[R]) stream(ctx context.Context, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := f.source.Watch(ctx)
	defer f.setStream(false)
	if err == nil {
		f.setStream(true)
	}
	f.attemptOnce.Do(func() { close(f.attempted) })
	if err != nil {
		return err
	}
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-changed:
			cancel(errCredentialsChanged)
		case <-ctx.Done():
		}
	})
	// A stream that waits for its next event ends only with its context. The
	// first cause stands.
	cancel(f.drain(stream))
	watcher.Wait()
	return context.Cause(ctx)
}

// setStream records whether a stream is open. What happened while none was is
// known from a listing only, so that an opened stream asks for one.
func (f *Feed[R]) setStream(open bool) {
	f.mu.Lock()
	f.status.streamOpen = open
	if open {
		f.status.openedAt = time.Now()
	}
	f.mu.Unlock()
	if open {
		f.Relist()
	}
}

// drain takes every event off the stream at once: the upstream drops what a slow
// reader leaves.
func (f *Feed[R]) drain(stream Stream[R]) error {
	for {
		event, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return errStreamClosed
		case err != nil:
			return fmt.Errorf("receiving: %w", err)
		}
		f.options.Metrics.Event(f.options.Name)
		if f.foldEvent(event) {
			f.hints.add(event.ID)
		}
	}
}

// hints is a queue of ids whose rows have to be read. An id is in it at most
// once, so that its size is bounded by the number of rows, whatever the burst.
type hints struct {
	mu      sync.Mutex
	pending map[string]struct{}
	queue   []string
	signal  chan struct{}
}

func newHints() *hints {
	return &hints{pending: map[string]struct{}{}, signal: make(chan struct{}, 1)}
}

func (h *hints) add(id string) {
	h.mu.Lock()
	if _, found := h.pending[id]; !found {
		h.pending[id] = struct{}{}
		h.queue = append(h.queue, id)
	}
	h.mu.Unlock()
	h.wake()
}

func (h *hints) wake() {
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

// next waits for an id; false means that the context ended before.
func (h *hints) next(ctx context.Context) (id string, ok bool) {
	for {
		select {
		case <-ctx.Done():
			return "", false
		case <-h.signal:
		}
		h.mu.Lock()
		if len(h.queue) > 0 {
			id, ok = h.queue[0], true
			h.queue = h.queue[1:]
			delete(h.pending, id)
		}
		more := len(h.queue) > 0
		h.mu.Unlock()
		if more {
			h.wake()
		}
		if ok {
			return id, true
		}
	}
}

// foldHintsForEver reads the rows that events pointed at without proving
// anything.
func (f *Feed[R]) foldHintsForEver(ctx context.Context) {
	for {
		id, ok := f.hints.next(ctx)
		if !ok {
			return
		}
		if err := f.Refresh(ctx, id); err != nil && ctx.Err() == nil {
			// The next listing says what this read could not.
			klog.FromContext(ctx).V(2).Info("Could not read a row that an event pointed at", "kind", f.options.Name, "id", id, "err", err)
			f.Relist()
		}
	}
}

// probeForEver asks the upstream for a sign of life when nothing else did for a
// third of the time that reads may be stale.
func (f *Feed[R]) probeForEver(ctx context.Context) {
	patience := f.options.MaxStaleness / 3
	for sleep(ctx, max(patience-f.Age(), patience/4), nil) {
		if f.Age() < patience {
			continue
		}
		if _, _, err := f.source.List(ctx, 1, 1); err == nil {
			f.Answered()
		} else if ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("The upstream gives no sign of life", "kind", f.options.Name, "err", err)
		}
	}
}

// sleep waits for the duration, or until the channel is closed or has something;
// false means that the context ended before.
func sleep(ctx context.Context, d time.Duration, until <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-until:
	case <-timer.C:
	}
	return ctx.Err() == nil
}
