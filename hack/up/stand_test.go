package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// newStand returns a stand in a directory of its own, stopped at the end of the
// test, and what it says.
func newStand(t *testing.T) (*stand, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	s := &stand{out: &out, directory: filepath.Join(t.TempDir(), "run"), logLines: 20}
	t.Cleanup(func() {
		if _, err := os.Stat(s.directory); err != nil {
			return
		}
		if _, err := s.stopAll(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s, &out
}

func expect(t *testing.T, out *bytes.Buffer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out.String(), text) {
			t.Errorf("the output lacks %q:\n%s", text, out)
		}
	}
	out.Reset()
}

func TestCommandsOnNothing(t *testing.T) {
	s, out := newStand(t)
	if err := s.status(t.Context()); !errors.Is(err, errTold) {
		t.Errorf("status: got error %v, want the exit code 1", err)
	}
	expect(t, out, "not started", "It is down. make up starts it.")
	if err := s.logs(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, out, "There are no logs yet")
	s.logName = "etcdd"
	if err := s.logs(t.Context()); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("logs of an unknown process: got %v, want an error that names the known ones", err)
	}
	if err := s.down(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, out, "It was not up.")
	if err := s.clean(t.Context()); err != nil {
		t.Error(err)
	}
	expect(t, out, "nothing to clean")
	if _, err := os.Stat(s.directory); !os.IsNotExist(err) {
		t.Errorf("looking made a directory: %v", err)
	}
}

// After a reboot, the records name pids that nobody or somebody else has.
func TestRecordsOfBeforeARebootAreStale(t *testing.T) {
	s, out := newStand(t)
	records := stack.RecordsDirectory(s.directory)
	if err := os.MkdirAll(records, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range stack.Names() {
		// Our own pid, as it was in another boot.
		record := process.Record{Name: name, Identity: process.Identity{PID: os.Getpid(), Started: "another-boot/1"}, LogPath: "log"}
		data, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(records, name+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.status(t.Context()); !errors.Is(err, errTold) {
		t.Errorf("status: got error %v, want the exit code 1", err)
	}
	expect(t, out, "ended by itself", "It is down.")
	if err := s.down(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, out, "It was not up.")
	if left, err := process.ReadRecords(records); err != nil || len(left) != 0 {
		t.Errorf("records %v, error %v stay; want none", left, err)
	}
}

func TestTwoMakersDoNotMeet(t *testing.T) {
	s, _ := newStand(t)
	leave, err := s.enter()
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if err := s.up(t.Context()); err == nil || !strings.Contains(err.Error(), "another make up") {
		t.Errorf("the second one: got %v, want an error that names the first", err)
	}
}

// A part that fails is named with the end of its log, and takes the rest along.
func TestAFailureIsToldAndLeavesNothing(t *testing.T) {
	s, out := newStand(t)
	real, err := filepath.Abs(filepath.Join("..", "..", ".build", "kube"))
	if err != nil {
		t.Fatal(err)
	}
	if directory := os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"); directory != "" {
		real = directory
	}
	broken := t.TempDir()
	if err := os.Symlink(filepath.Join(real, "etcd"), filepath.Join(broken, "etcd")); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nfor i in $(seq 1 30); do echo \"line $i.\"; done\nexit 5\n"
	if err := os.WriteFile(filepath.Join(broken, "kube-apiserver"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AMBIENT_KUBE_CONTROL_PLANE", broken)

	if err := s.up(t.Context()); !errors.Is(err, errTold) {
		t.Errorf("up: got error %v, want the exit code 1", err)
	}
	text := out.String()
	expect(t, out, "starting etcd", "s  failed", "FAILED: kube-apiserver", "exit status 5", "last 20 lines", "  line 11.\n", "  line 30.\n",
		"Log: "+filepath.Join(s.directory, "logs", "kube-apiserver.log"), "Nothing was left running.")
	if strings.Contains(text, "line 10.") {
		t.Errorf("more than 20 lines were shown:\n%s", text)
	}
	running, ended, err := s.survey()
	if err != nil || len(running)+len(ended) != 0 {
		t.Errorf("processes %v run, %v were forgotten, error %v", running, ended, err)
	}
}

// The whole life of a stand, as a person leads it.
func TestTheLifeOfAStand(t *testing.T) {
	s, out := newStand(t)
	up := func() {
		t.Helper()
		if err := s.up(t.Context()); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	kubectl := func(arguments ...string) string {
		t.Helper()
		return s.kubectlForTest(t, arguments...)
	}
	up()
	expect(t, out, "starting kube-apiserver", "adding two projects and four sessions", "Up after",
		"export KUBECONFIG="+filepath.Join(s.directory, "kubeconfig"), "kubectl get sessions.ambient.io -A --watch")
	// One of them is made upstream, and shows a moment later.
	var first string
	for deadline := time.Now().Add(time.Minute); strings.Count(first, "session.ambient.io/") != 4; {
		if time.Now().After(deadline) {
			t.Fatalf("there are not four sessions:\n%s", first)
		}
		first = kubectl("get", "sessions.ambient.io", "-A", "-o", "name")
	}

	up()
	expect(t, out, "It is up already.", "export KUBECONFIG=")
	if err := s.status(t.Context()); err != nil {
		t.Errorf("status: %v", err)
	}
	if got := strings.Count(out.String(), "running"); got != len(stack.Names()) {
		t.Errorf("%d processes run, want %d:\n%s", got, len(stack.Names()), out)
	}
	expect(t, out, "It is up")

	running, _, err := s.survey()
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := outdated(running); err != nil || len(changed) > 0 {
		t.Errorf("nothing was built anew, but %q count as outdated (%v)", changed, err)
	}
	operator := running[len(running)-2]
	if err := kill(t, operator); err != nil {
		t.Fatal(err)
	}
	if err := s.status(t.Context()); !errors.Is(err, errTold) {
		t.Errorf("status without %s: got error %v, want the exit code 1", operator.Name, err)
	}
	expect(t, out, "ended by itself", "up in part only")

	kubectl("delete", "session", "upgrade-go", "-n", "payments")
	up()
	expect(t, out, fmt.Sprintf("%d processes run, of %d", len(stack.Names())-1, len(stack.Names())), operator.Name+" of an earlier run has ended", "Up after")
	if again := kubectl("get", "sessions.ambient.io", "-A", "-o", "name"); strings.Count(again, "session.ambient.io/") != 3 || strings.Contains(again, "upgrade-go") {
		t.Errorf("after a restart, without the deleted one, there are:\n%s", again)
	}

	if err := s.down(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, out, fmt.Sprintf("Stopped %d processes", len(stack.Names())), "make clean removes")
	if running, _, err := s.survey(); err != nil || len(running) != 0 {
		t.Errorf("processes %v run after down, error %v", running, err)
	}
	if err := s.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.directory); !os.IsNotExist(err) {
		t.Errorf("the data stay: %v", err)
	}
}
