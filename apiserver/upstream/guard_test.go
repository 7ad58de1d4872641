package upstream

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestGuardLetsOneCallTryAfterAPause(t *testing.T) {
	now := time.Unix(0, 0)
	guard := newGuard("upstream", time.Second, nil)
	guard.now = func() time.Time { return now }
	timeout := status.Error(codes.DeadlineExceeded, "")
	fail := func() {
		probe, err := guard.admit()
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		guard.record(timeout, probe, true)
	}
	refused := func() bool {
		probe, err := guard.admit()
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
	probe, err := guard.admit()
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
	if probe, err = guard.admit(); err != nil {
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
		probe, err := guard.admit()
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		guard.record(status.Error(codes.DeadlineExceeded, ""), probe, false)
	}
}
