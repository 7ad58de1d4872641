package backend

import (
	"container/list"
	"context"
	"sync"
)

// maxInFlight is how many writes may be under way at the upstream. Each of its
// calls holds up to three connections of a pool of fifty; measured: 60 writes at
// a time starve each other until their deadlines.
const maxInFlight = 16

// limiter bounds the writes in flight; urgent ones (status) go first.
type limiter struct {
	mu      sync.Mutex
	slots   int
	free    int
	urgent  list.List
	regular list.List
}

func newLimiter(slots int) *limiter { return &limiter{slots: slots, free: slots} }

// acquire waits for a slot. The returned function gives it back.
func (l *limiter) acquire(ctx context.Context, urgent bool) (release func(), err error) {
	l.mu.Lock()
	if l.free > 0 {
		l.free--
		l.mu.Unlock()
		return l.release, nil
	}
	queue := &l.regular
	if urgent {
		queue = &l.urgent
	}
	granted := make(chan struct{})
	element := queue.PushBack(granted)
	l.mu.Unlock()
	select {
	case <-granted:
		return l.release, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		select {
		case <-granted:
			l.handOver()
		default:
			queue.Remove(element)
		}
		return nil, ctx.Err()
	}
}

// load returns how many slots are taken, and how many callers wait for one.
func (l *limiter) load() (taken, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slots - l.free, l.urgent.Len() + l.regular.Len()
}

func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handOver()
}

// handOver gives a free slot to the first who waits.
func (l *limiter) handOver() {
	for _, queue := range []*list.List{&l.urgent, &l.regular} {
		if first := queue.Front(); first != nil {
			close(queue.Remove(first).(chan struct{}))
			return
		}
	}
	l.free++
}
