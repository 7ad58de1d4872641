package upstream

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func TestGuardLetsOneCallTryAfterAPause(t *testing.T) {
	now := time.Unix(0, 0)
	guard := newGuard("upstream", time.Second, nil)
	guard.now = func() time.Time { return now }
	timeout := status.Error(codes.DeadlineExceeded, "")
	fail := func() {
		probe, err := guard.admit(true)
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		guard.record(timeout, probe, true)
	}
	refused := func() bool {
		probe, err := guard.admit(true)
		if err == nil {
			guard.record(status.Error(codes.Canceled, ""), probe, false)
		}
		return err != nil
	}
	for range failureLimit {
		if refused() {
			t.Fatal("refused before the limit")
		}
		fail()
	}
	if !refused() {
		t.Fatal("admitted right after the limit")
	}
	now = now.Add(probePause)
	if _, err := guard.admit(false); err == nil {
		t.Error("a call whose caller may give up before the upstream answers tries")
	}
	probe, err := guard.admit(true)
	if err != nil || !probe {
		t.Fatalf("no call may try after the pause: %v", err)
	}
	if !refused() {
		t.Error("a second call may try at the same time")
	}
	guard.record(timeout, probe, true)
	if !refused() {
		t.Error("admitted right after the try failed")
	}
	now = now.Add(probePause)
	if probe, err = guard.admit(true); err != nil {
		t.Fatalf("no second try: %v", err)
	}
	guard.record(status.Error(codes.NotFound, "an answer"), probe, true)
	if refused() {
		t.Error("refused although the upstream answered")
	}
}

func TestGuardBlamesNobodyForCallersThatGiveUp(t *testing.T) {
	guard := newGuard("upstream", time.Second, nil)
	for range 2 * failureLimit {
		probe, err := guard.admit(true)
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		guard.record(status.Error(codes.DeadlineExceeded, ""), probe, false)
	}
}

// Some callers wait for less than the upstream has. The upstream may be the first to
// notice that their time is over.
func TestGuardBlamesNobodyForCallsThatAreGivenLessTime(t *testing.T) {
	upstream := &fakeUpstream{}
	upstream.respond(func(context.Context, *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
		return nil, status.Error(codes.DeadlineExceeded, "your time is over")
	})
	address, _ := upstream.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, Timeout: time.Hour})
	hurried, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 * failureLimit {
		if err := get(hurried, client); NeverSent(err) {
			t.Fatalf("refused: %v", err)
		}
	}
	for range failureLimit {
		if err := get(t.Context(), client); NeverSent(err) {
			t.Fatalf("refused before the limit: %v", err)
		}
	}
	if err := get(hurried, client); !NeverSent(err) {
		t.Errorf("after calls that had all the time: %v, want a refusal", err)
	}
}
