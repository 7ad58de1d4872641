package backend

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
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

// A write that waits as long as its request may would be answered when nobody listens.
func TestWritesAreRefusedInTimeWhileTheUpstreamIsSaturated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := kind[*ambientv1.Project]{resource: v1alpha1.Resource("projects"), writes: newLimiter(1), office: newOffice(nil)}
		release, err := k.writes.acquire(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		write := func(patience time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			return k.call(ctx, false, "team", func(context.Context) error { made++; return nil })
		}
		began := time.Now()
		err = write(time.Minute)
		expectUnavailable(t, "a write", err)
		if took := time.Since(began); took != slotPatience || !strings.Contains(err.Error(), "saturated") {
			t.Errorf("after %s: %v", took, err)
		}
		if err := write(time.Second); !apierrors.IsTimeout(err) {
			t.Errorf("a write that has less time: %v", err)
		}
		release()
		if err := write(time.Second); err != nil || made != 1 {
			t.Errorf("when there is a slot again: %d writes, %v", made, err)
		}
	})
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
