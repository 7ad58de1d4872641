package feed

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// healthyAfter is how long a stream must have lived for the pauses between
// reconnects to start anew.
const healthyAfter = 10 * time.Second

// hintReaders is how many rows that events point at are read at a time.
const hintReaders = 4

// streamForEver opens the stream, lists, and goes on listing; again for ever,
// whatever ends the stream. EOF and errors mean the same: connect and list.
func (f *Feed[R]) streamForEver(ctx context.Context) error {
	pauses := reconnectPauses()
	for ctx.Err() == nil {
		opened := time.Now()
		err := f.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		f.options.Metrics.Reconnect(f.options.Name)
		if time.Since(opened) > healthyAfter {
			pauses = reconnectPauses()
		}
		pause := pauses.Step()
		klog.FromContext(ctx).V(2).Info("The watch stream of the upstream ended", "kind", f.options.Name, "reason", err, "pause", pause)
		if !sleep(ctx, pause) {
			return nil
		}
	}
	return nil
}

func reconnectPauses() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 8, Cap: 10 * time.Second}
}

// session is the life of one stream. It returns when the stream ended; while no
// stream can be opened, each attempt still lists.
func (f *Feed[R]) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := f.source.Watch(ctx)
	group, groupCtx := errgroup.WithContext(ctx)
	if err == nil {
		f.setStream(true)
		defer f.setStream(false)
		group.Go(func() error { return f.drain(stream) })
	}
	if f.options.Reopen != nil {
		changed := f.options.Reopen()
		group.Go(func() error {
			select {
			case <-changed:
				return errors.New("the credentials changed")
			case <-groupCtx.Done():
				return nil
			}
		})
	}
	group.Go(func() error {
		defer cancel()
		return f.listUntilDone(groupCtx, err == nil)
	})
	// A stream that waits for its next event ends only with its own context.
	group.Go(func() error {
		<-groupCtx.Done()
		cancel()
		return nil
	})
	return errors.Join(err, group.Wait())
}

func (f *Feed[R]) setStream(open bool) {
	f.mu.Lock()
	f.status.streamOpen = open
	f.mu.Unlock()
}

// drain takes every event off the stream at once: the upstream drops what a slow
// reader leaves.
func (f *Feed[R]) drain(stream Stream[R]) error {
	for {
		event, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errors.New("the upstream closed the stream")
			}
			return err
		}
		f.mu.Lock()
		f.status.lastEvent = time.Now()
		f.status.lastAnswer = f.status.lastEvent
		f.mu.Unlock()
		f.options.Metrics.Event(f.options.Name)
		if f.foldEvent(event) {
			f.hints.add(event.ID)
		}
	}
}

// hints is a set of ids whose rows have to be read. Its size is bounded by the
// number of rows, whatever the burst.
type hints[R any] struct {
	mu      sync.Mutex
	pending map[string]struct{}
	signal  chan struct{}
}

func newHints[R any]() *hints[R] {
	return &hints[R]{pending: map[string]struct{}{}, signal: make(chan struct{}, 1)}
}

func (h *hints[R]) add(id string) {
	h.mu.Lock()
	h.pending[id] = struct{}{}
	h.mu.Unlock()
	select {
	case h.signal <- struct{}{}:
	default:
	}
}

func (h *hints[R]) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]string, 0, len(h.pending))
	for id := range h.pending {
		ids = append(ids, id)
	}
	clear(h.pending)
	return ids
}

// foldHintsForEver reads the rows that events pointed at without proving
// anything.
func (f *Feed[R]) foldHintsForEver(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.hints.signal:
		}
		readers, readCtx := errgroup.WithContext(ctx)
		readers.SetLimit(hintReaders)
		for _, id := range f.hints.take() {
			readers.Go(func() error {
				if err := f.Refresh(readCtx, id); err != nil && ctx.Err() == nil {
					// The next listing says what this read could not.
					klog.FromContext(ctx).V(2).Info("Could not read a row that an event pointed at", "kind", f.options.Name, "id", id, "err", err)
					f.Relist()
				}
				return nil
			})
		}
		if err := readers.Wait(); err != nil {
			return err
		}
	}
}

// probeForEver asks the upstream for a sign of life when nothing else did for a
// third of the time that reads may be stale.
func (f *Feed[R]) probeForEver(ctx context.Context) error {
	interval := f.options.MaxStaleness / 3
	for sleep(ctx, interval) {
		if f.Age() < interval {
			continue
		}
		if _, _, err := f.source.List(ctx, 1, 1); err == nil {
			f.Answered()
		}
	}
	return nil
}

// sleep waits for the duration; false means that the context ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
