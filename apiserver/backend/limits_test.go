package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestUrgentWritesGoFirstWhenASlotIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		release, err := l.acquire(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 2)
		wait := func(name string, urgent bool) {
			done, err := l.acquire(t.Context(), urgent)
			if err != nil {
				t.Error(err)
				return
			}
			order <- name
			done()
		}
		go wait("regular", false)
		synctest.Wait()
		go wait("urgent", true)
		synctest.Wait()
		release()
		synctest.Wait()
		if first, second := <-order, <-order; first != "urgent" || second != "regular" {
			t.Fatalf("the order was %s, %s", first, second)
		}
	})
}

func TestAWaiterThatGivesUpLosesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		release, err := l.acquire(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := l.acquire(ctx, false)
			gaveUp <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Fatalf("giving up returned %v", err)
		}
		release()
		again, err := l.acquire(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		again()
		if l.free != 1 {
			t.Fatalf("%d slots are free, want 1", l.free)
		}
	})
}

// The slot is handed over at the very moment at which the waiter gives up.
func TestASlotHandedToAWaiterThatGivesUpIsNotLost(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			l := newLimiter(1)
			release, err := l.acquire(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				if release, err := l.acquire(ctx, false); err == nil {
					release()
				}
			}()
			synctest.Wait()
			cancel()
			release()
			synctest.Wait()
			if l.free != 1 {
				t.Fatalf("%d slots are free, want 1", l.free)
			}
		})
	}
}

func TestWritersOfOneKeyWaitAndOthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locks := newKeyLocks()
		unlock, err := locks.lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := locks.lock(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		other()
		entered := make(chan struct{})
		go func() {
			again, err := locks.lock(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			close(entered)
			again()
		}()
		synctest.Wait()
		select {
		case <-entered:
			t.Fatal("a second writer entered")
		default:
		}
		unlock()
		<-entered
		synctest.Wait()
		if len(locks.held) != 0 {
			t.Fatalf("%d keys are still remembered", len(locks.held))
		}
	})
}
