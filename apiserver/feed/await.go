package feed

import (
	"context"
	"fmt"
	"time"
)

// AwaitListing waits until a complete listing that began after the time is folded
// in, and asks for one: every row that existed then is known afterwards. A failed
// listing is followed by another. It fails when the context ends.
func (f *Feed[R]) AwaitListing(ctx context.Context, after time.Time) error {
	return f.await(ctx, func(s *status) (bool, error) { return s.completeBegan.After(after), nil })
}

// Verify waits until all that is known is known to be the upstream's state at one
// moment or another after the call, by a listing that begins after it and that all
// who wait share. It fails when that listing does, or when the upstream denies what
// is known and nothing vouches for it (ErrUnconfirmed).
func (f *Feed[R]) Verify(ctx context.Context) error {
	after := time.Now()
	return f.await(ctx, func(s *status) (bool, error) {
		switch {
		case s.verifiedBegan.After(after):
			return true, nil
		case !s.finishedBegan.After(after):
			return false, nil
		case s.listingError != nil:
			return false, s.listingError
		case s.doubt.Reason != "":
			return false, ErrUnconfirmed
		default:
			return false, nil
		}
	})
}

// await looks at the status now and after each listing, and asks for listings,
// until done tells that it is or why it will not be.
func (f *Feed[R]) await(ctx context.Context, done func(*status) (bool, error)) error {
	for {
		f.mu.Lock()
		enough, err := done(&f.status)
		finished := f.finished
		f.mu.Unlock()
		if enough || err != nil {
			return err
		}
		f.Relist()
		select {
		case <-finished:
		case <-ctx.Done():
			return fmt.Errorf("waiting for a listing of %s: %w", f.options.Name, ctx.Err())
		}
	}
}
