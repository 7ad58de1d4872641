package conformance

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// together runs the functions at the same time and returns their errors in order.
func together(functions ...func() error) []error {
	errs := make([]error, len(functions))
	var running sync.WaitGroup
	for i, function := range functions {
		running.Go(func() { errs[i] = function() })
	}
	running.Wait()
	return errs
}

// pair updates the prompt of a session and, the given time later, its phase while
// the first call still runs; both must succeed. It returns the session afterwards.
func pair(t *testing.T, w *world, id string, later time.Duration) *pb.Session {
	t.Helper()
	for _, err := range together(
		func() error {
			_, err := w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Prompt: proto.String("changed")})
			return err
		},
		func() error {
			timer := time.NewTimer(later)
			defer timer.Stop()
			<-timer.C
			_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id, Phase: proto.String("Running")})
			return err
		},
	) {
		wantCode(t, err, codes.OK)
	}
	return w.getSession(id)
}

func Test_2_6_OneOfTwoConcurrentWritesIsLostThoughBothAreAnsweredOK(t *testing.T) {
	w := newWorld(t)
	inject(t, target, faults{UpdateWindow: "400ms", StatusWindow: "400ms"})
	lost := 0
	const pairs = 5
	for range pairs {
		session := pair(t, w, w.createSession().GetMetadata().GetId(), 0)
		if session.GetPrompt() != "changed" || session.GetPhase() != "Running" {
			lost++
		}
	}
	if lost != pairs {
		t.Errorf("%d of %d pairs lost a write although their saves overlapped", lost, pairs)
	}
}

func Test_2_10_ConcurrentSpecAndStatusUpdatesSaveAllColumns(t *testing.T) {
	w := newWorld(t)
	// The later save wins with everything that it read, so the loser's fields go
	// back to what they were: here the phase goes back to absent.
	inject(t, target, faults{UpdateWindow: "800ms"})
	session := pair(t, w, w.createSession().GetMetadata().GetId(), 300*time.Millisecond)
	if session.Phase != nil || session.GetPrompt() != "changed" {
		t.Errorf("phase = %v, prompt = %q; want the whole row of the later save", session.Phase, session.GetPrompt())
	}
}

func Test_2_6_DeletionDuringAStatusUpdateIsUndone(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	inject(t, target, faults{StatusWindow: "500ms"})
	var beforeDelete, afterUpdate time.Time
	for _, err := range together(
		func() error {
			_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id, Phase: proto.String("Running")})
			afterUpdate = time.Now()
			return err
		},
		func() error {
			timer := time.NewTimer(150 * time.Millisecond) // let the other read the row
			defer timer.Stop()
			<-timer.C
			beforeDelete = time.Now()
			return sessionKind.delete(w.ctx, w, id)
		},
	) {
		wantCode(t, err, codes.OK)
	}
	if !beforeDelete.Before(afterUpdate) {
		t.Fatal("the two calls did not overlap")
	}
	if got := w.getSession(id).GetPhase(); got != "Running" {
		t.Errorf("the revived session's phase is %q", got)
	}
}

func Test_2_6_WritesBeyondThePoolReachTheirDeadline(t *testing.T) {
	w := newWorld(t)
	exhaustPool(t, w, 60)
	// Fewer than a third of the pool get through.
	for _, err := range updateTogether(t, w, 16) {
		wantCode(t, err, codes.OK)
	}
}

// exhaustPool sends more updates at once than the pool has connections: each holds
// one and waits for more, so that all end at their deadlines.
func exhaustPool(t *testing.T, w *world, calls int) {
	t.Helper()
	inject(t, w.server, faults{CallDelay: "1500ms", Methods: []string{"UpdateSession"}})
	exceeded := 0
	for _, err := range updateTogether(t, w, calls) {
		if status.Code(err) == codes.DeadlineExceeded {
			exceeded++
		}
	}
	if exceeded != calls {
		t.Errorf("%d of %d calls reached their deadline, want all", exceeded, calls)
	}
}

// updateTogether updates one session by several calls at once and returns their
// errors. They have one deadline, because a call that ends sooner makes room for
// another; none may fail before it.
func updateTogether(t *testing.T, w *world, calls int) []error {
	t.Helper()
	const timeout = 4 * time.Second
	id := w.createSession().GetMetadata().GetId()
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	updates := make([]func() error, calls)
	for i := range updates {
		updates[i] = func() error {
			err := sessionKind.touch(ctx, w, id)
			if took := time.Since(began); status.Code(err) == codes.DeadlineExceeded && took < timeout-timeout/20 {
				t.Errorf("a call failed %s before its deadline", timeout-took)
			}
			return err
		}
	}
	return together(updates...)
}
