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

// settle is the time in which a call that the server has counted reads its row.
const settle = 300 * time.Millisecond

// inWindow starts calls and returns when the server works on all of them: they wait
// between reading and saving for the test to release them. methods names the methods
// of the calls. finish waits for the calls, which must succeed.
func inWindow(t *testing.T, w *world, methods []string, functions ...func() error) (finish func()) {
	t.Helper()
	before := map[string]int{}
	for _, method := range methods {
		before[method] = calls(t, w.server, method)
	}
	results := make(chan []error, 1)
	go func() { results <- together(functions...) }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(patience)
	for _, method := range methods {
		for calls(t, w.server, method) <= before[method] {
			if <-poll.C; time.Now().After(deadline) {
				t.Fatalf("%s did not reach the server", method)
			}
		}
	}
	timer := time.NewTimer(settle)
	defer timer.Stop()
	<-timer.C
	return func() {
		t.Helper()
		for _, err := range <-results {
			wantCode(t, err, codes.OK)
		}
	}
}

func (w *world) updatePrompt(id string) func() error {
	return func() error {
		_, err := w.sessions.UpdateSession(w.ctx, &pb.UpdateSessionRequest{Id: id, Prompt: proto.String("changed")})
		return err
	}
}

func (w *world) updatePhase(id string) func() error {
	return func() error {
		_, err := w.sessions.UpdateSessionStatus(w.ctx, &pb.UpdateSessionStatusRequest{Id: id, Phase: proto.String("Running")})
		return err
	}
}

func Test_2_6_OneOfTwoConcurrentWritesIsLostThoughBothAreAnsweredOK(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	inject(t, target, faults{UpdateWindow: held, StatusWindow: held})
	finish := inWindow(t, w, []string{"UpdateSession", "UpdateSessionStatus"}, w.updatePrompt(id), w.updatePhase(id))
	release(t, target)
	finish()
	session := w.getSession(id)
	if changed, running := session.GetPrompt() == "changed", session.GetPhase() == "Running"; changed == running {
		t.Errorf("prompt = %q, phase = %q, want exactly one of the two writes", session.GetPrompt(), session.GetPhase())
	}
}

func Test_2_10_ConcurrentSpecAndStatusUpdatesSaveAllColumns(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name                  string
		window                faults
		method                string
		slow, quick           func(string) func() error
		wantPrompt, wantPhase string
	}{
		{"the update saves later", faults{UpdateWindow: held}, "UpdateSession", w.updatePrompt, w.updatePhase, "changed", ""},
		{"the status update saves later", faults{StatusWindow: held}, "UpdateSessionStatus", w.updatePhase, w.updatePrompt, "", "Running"},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := w.createSession().GetMetadata().GetId()
			inject(t, target, test.window)
			finish := inWindow(t, w, []string{test.method}, test.slow(id))
			if err := test.quick(id)(); err != nil {
				t.Fatal(err)
			}
			release(t, target)
			finish()
			// The later save wins with all that it read: the other's fields go back.
			session := w.getSession(id)
			if session.GetPrompt() != test.wantPrompt || session.GetPhase() != test.wantPhase {
				t.Errorf("prompt = %q, phase = %q, want %q and %q", session.GetPrompt(), session.GetPhase(), test.wantPrompt, test.wantPhase)
			}
		})
	}
}

func Test_2_6_DeletionDuringAStatusUpdateIsUndone(t *testing.T) {
	w := newWorld(t)
	id := w.createSession().GetMetadata().GetId()
	inject(t, target, faults{StatusWindow: held})
	finish := inWindow(t, w, []string{"UpdateSessionStatus"}, w.updatePhase(id))
	if err := sessionKind.delete(w.ctx, w, id); err != nil {
		t.Fatal(err)
	}
	_, err := sessionKind.get(w.ctx, w, id)
	wantCode(t, err, codes.NotFound)
	release(t, target)
	finish()
	if got := w.getSession(id).GetPhase(); got != "Running" {
		t.Errorf("the revived session's phase is %q", got)
	}
}

func Test_2_6_WritesBeyondThePoolReachTheirDeadline(t *testing.T) {
	w := newWorld(t)
	exhaustPool(t, w, 50, 60)
	// Fewer than a third of the pool get through, however long they hold their
	// connections together.
	for _, result := range updateTogether(t, w, 16, 16) {
		wantCode(t, result.err, codes.OK)
	}
}

// exhaustPool sends more updates at once than the pool has connections: each holds
// one and waits for more, so that all end at their deadlines.
func exhaustPool(t *testing.T, w *world, pool, updates int) {
	t.Helper()
	exceeded := 0
	for _, result := range updateTogether(t, w, pool, updates) {
		if status.Code(result.err) == codes.DeadlineExceeded {
			exceeded++
		}
		if result.took < updateTimeout-updateTimeout/20 {
			t.Errorf("a call ended after %s, before its deadline: %v", result.took, result.err)
		}
	}
	// At the deadline the first calls that end make room, so that a call or two may
	// still be answered in the very same moment.
	if exceeded < updates*3/4 {
		t.Errorf("%d of %d calls reached their deadline, want all", exceeded, updates)
	}
}

// updateTimeout is the time after which the calls of updateTogether end.
const updateTimeout = 5 * time.Second

// updateResult tells how one call ended, and how long after the first began.
type updateResult struct {
	err  error
	took time.Duration
}

// updateTogether updates one session by several calls at once. The calls go on only
// when so many of them hold a connection. They have one deadline, because a call
// that ends sooner makes room for another.
func updateTogether(t *testing.T, w *world, holding, updates int) []updateResult {
	t.Helper()
	id := w.createSession().GetMetadata().GetId()
	inject(t, w.server, faults{CallDelay: held, Methods: []string{"UpdateSession"}})
	before := calls(t, w.server, "UpdateSession")
	began := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, updateTimeout)
	defer cancel()
	results := make([]updateResult, updates)
	var running sync.WaitGroup
	for i := range results {
		running.Go(func() {
			err := sessionKind.touch(ctx, w, id)
			results[i] = updateResult{err: err, took: time.Since(began)}
		})
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for calls(t, w.server, "UpdateSession") < before+holding && ctx.Err() == nil {
		<-poll.C
	}
	if ctx.Err() != nil {
		t.Errorf("fewer than %d calls hold a connection", holding)
	}
	release(t, w.server)
	running.Wait()
	return results
}
