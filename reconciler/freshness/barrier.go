// Package freshness tells how current an informer is, for decisions that must not rest
// on what an informer has not heard yet.
//
// It owns one question to the API server that all who decide at the same time share. It
// must not know what is decided, or about which kind.
package freshness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
)

// lookPause is the pause between two looks at how far the informer has got. It mostly
// is there already: its watch is faster than a question.
const lookPause = 5 * time.Millisecond

// Barrier waits until an informer's store holds what the API server held at a moment.
type Barrier struct {
	// current asks the API server for the resourceVersion of its present state, and
	// reached returns the one up to which the store holds everything.
	current func(ctx context.Context) (string, error)
	reached func() string
	now     func() time.Time

	mutex sync.Mutex
	// known is the latest moment of which the store is known to hold everything.
	known time.Time
	// asking is closed when the question that is under way is answered; nil if there
	// is none.
	asking chan struct{}
}

// NewBarrier returns a Barrier. The resourceVersions that current and reached return
// have to be comparable.
func NewBarrier(current func(ctx context.Context) (string, error), reached func() string, now func() time.Time) *Barrier {
	return &Barrier{current: current, reached: reached, now: now}
}

// Await returns nil once the store holds everything that the API server held at the
// moment, which must not be in the future; it returns an error if that can't be known
// before the context ends. Calls at the same time share one question.
func (b *Barrier) Await(ctx context.Context, moment time.Time) error {
	for {
		b.mutex.Lock()
		if !b.known.Before(moment) {
			b.mutex.Unlock()
			return nil
		}
		if b.asking == nil {
			b.asking = make(chan struct{})
			b.mutex.Unlock()
			return b.ask(ctx)
		}
		asking := b.asking
		b.mutex.Unlock()
		select {
		case <-asking:
			// It may have begun too early, or have failed: perhaps it is our turn to ask.
		case <-ctx.Done():
			return fmt.Errorf("waiting for what others asked: %w", context.Cause(ctx))
		}
	}
}

// ask asks on behalf of all who wait.
func (b *Barrier) ask(ctx context.Context) error {
	began := b.now()
	err := b.caughtUp(ctx)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if err == nil {
		b.known = began
	}
	close(b.asking)
	b.asking = nil
	return err
}

// caughtUp returns nil once the store holds what the API server holds now.
func (b *Barrier) caughtUp(ctx context.Context) error {
	current, err := b.current(ctx)
	if err != nil {
		return fmt.Errorf("asking for the present state: %w", err)
	}
	err = wait.PollUntilContextCancel(ctx, lookPause, true, func(context.Context) (bool, error) {
		order, err := resourceversion.CompareResourceVersion(b.reached(), current)
		if err != nil {
			return false, fmt.Errorf("comparing with the present state: %w", err)
		}
		return order >= 0, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the informer has reached %s: %w", current, err)
	}
	return nil
}
