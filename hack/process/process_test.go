package process

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// obedient prints one line and ends with code 3 on SIGTERM.
const obedient = `trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.02; done`

// stubborn ends on SIGKILL alone.
const stubborn = `trap '' TERM; echo hello; while :; do sleep 0.02; done`

func shell(t *testing.T, script string) Spec {
	t.Helper()
	return Spec{
		Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, Env: Environment(),
		LogFile: filepath.Join(t.TempDir(), "shell.log"),
	}
}

// saysHello is ready once the log holds the word hello n times.
func saysHello(path string, n int) func(context.Context) error {
	return func(context.Context) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Count(string(data), "hello") < n {
			return errors.New("no hello yet")
		}
		return nil
	}
}

func newGroup(t *testing.T, options GroupOptions) *Group {
	t.Helper()
	group := NewGroup(options)
	t.Cleanup(func() {
		if err := group.Close(); err != nil {
			t.Error(err)
		}
	})
	return group
}

func start(t *testing.T, group *Group, spec Spec) *Process {
	t.Helper()
	spec.Ready = saysHello(spec.LogFile, 1)
	p, err := group.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shortContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestTerminateReturnsTheExitCode(t *testing.T) {
	p := start(t, newGroup(t, GroupOptions{}), shell(t, obedient))
	code, err := p.Terminate(t.Context())
	if err != nil || code != 3 {
		t.Fatalf("got code %d, error %v; want 3, nil", code, err)
	}
	if code, err = p.Terminate(t.Context()); err != nil || code != 3 {
		t.Errorf("the second time: code %d, error %v; want 3, nil", code, err)
	}
}

func TestTerminateKillsTheStubborn(t *testing.T) {
	p := start(t, newGroup(t, GroupOptions{}), shell(t, stubborn))
	if _, err := p.Terminate(shortContext(t)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want one that names the deadline", err)
	}
	assertGone(t, p.PID())
}

func TestRestartAfterKillKeepsTheLog(t *testing.T) {
	p := start(t, newGroup(t, GroupOptions{}), shell(t, obedient))
	first := p.PID()
	if err := p.Restart(t.Context()); err == nil {
		t.Error("a running process was started a second time")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, first)
	spec := p.Spec()
	spec.Ready = saysHello(p.LogPath(), 2)
	if err := p.RestartWith(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	if p.PID() == first {
		t.Errorf("the second life has the pid of the first, %d", first)
	}
	select {
	case <-p.Exited():
		t.Error("Exited tells of the first life")
	default:
	}
}

func TestAProcessThatEndsEarlyFailsWithItsCodeAndLog(t *testing.T) {
	spec := shell(t, "echo the port is taken; exit 7")
	spec.Ready = func(context.Context) error { return errors.New("no answer") }
	_, err := newGroup(t, GroupOptions{}).Start(t.Context(), spec)
	var failure *FailedError
	if !errors.As(err, &failure) || failure.LogPath != spec.LogFile || !strings.Contains(err.Error(), "exit status 7") {
		t.Fatalf("got %v, want a FailedError with exit status 7 and the log", err)
	}
	lines, err := Tail(failure.LogPath, 20)
	if err != nil || len(lines) != 1 || lines[0] != "the port is taken" {
		t.Errorf("the log's tail is %q, error %v", lines, err)
	}
}

func TestAProcessThatNeverGetsReadyIsKilled(t *testing.T) {
	spec := shell(t, stubborn)
	pidFile := filepath.Join(t.TempDir(), "pid")
	spec.Args[1] = "echo $$ > " + pidFile + "; " + stubborn
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	spec.Ready = func(context.Context) error {
		written, err := os.ReadFile(pidFile)
		if err == nil && strings.HasSuffix(string(written), "\n") {
			cancel(context.DeadlineExceeded)
		}
		return errors.New("too busy")
	}
	_, err := newGroup(t, GroupOptions{}).Start(ctx, spec)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "too busy") {
		t.Fatalf("got %v, want the deadline and the last answer", err)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	assertGone(t, pid)
}

func TestAMissingProgramIsNamed(t *testing.T) {
	spec := shell(t, "")
	spec.Path = "/nowhere/kube-apiserver"
	if _, err := newGroup(t, GroupOptions{}).Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), spec.Path) {
		t.Errorf("got %v, want an error with the path", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	group := NewGroup(GroupOptions{})
	first, second := start(t, group, shell(t, obedient)), start(t, group, shell(t, stubborn))
	if err := group.Close(); err != nil {
		t.Fatal(err)
	}
	assertGone(t, first.PID())
	assertGone(t, second.PID())
	if _, err := group.Start(t.Context(), shell(t, obedient)); err == nil {
		t.Error("a closed group starts processes")
	}
}

// The programs of a test that was killed must not stay: the test binary runs
// itself, is killed, and what it had started is looked for.
func TestProcessesWhenTheirStarterIsKilled(t *testing.T) {
	const variable = "PROCESS_TEST_STARTER"
	if mode := os.Getenv(variable); mode != "" {
		group := NewGroup(GroupOptions{Detach: mode == "detached"})
		p := start(t, group, shell(t, obedient))
		if _, err := os.Stdout.WriteString("pid=" + strconv.Itoa(p.PID()) + "\n"); err != nil {
			t.Error(err)
		}
		<-t.Context().Done()
		return
	}
	for mode, survives := range map[string]bool{"attached": false, "detached": true} {
		t.Run(mode, func(t *testing.T) {
			starter := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcessesWhenTheirStarterIsKilled$")
			starter.Env = append(os.Environ(), variable+"="+mode)
			output, err := starter.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := starter.Start(); err != nil {
				t.Fatal(err)
			}
			pid := 0
			for scanner := bufio.NewScanner(output); pid == 0 && scanner.Scan(); {
				if text, found := strings.CutPrefix(scanner.Text(), "pid="); found {
					if pid, err = strconv.Atoi(text); err != nil {
						t.Fatal(err)
					}
				}
			}
			if pid == 0 {
				t.Fatal("the starter named no process")
			}
			identity, err := identify(pid)
			if err != nil {
				t.Fatal(err)
			}
			if err := starter.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := starter.Wait(); err == nil {
				t.Error("the starter ended in peace")
			}
			if !survives {
				assertGone(t, pid)
				return
			}
			if !identity.Alive() {
				t.Fatal("a detached process died with its starter")
			}
			if err := (Record{Name: "shell", Identity: identity}).Stop(t.Context(), t.TempDir()); err != nil {
				t.Fatal(err)
			}
			assertGone(t, pid)
		})
	}
}

// assertGone waits a moment, for a killed process is gone only when the kernel
// says so.
func assertGone(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	identity, err := identify(pid)
	if err != nil {
		return
	}
	if (Record{Identity: identity}).waitGone(ctx) != nil {
		// Nothing must stay behind the failed test.
		t.Errorf("process %d still runs; killing it: %v", pid, syscall.Kill(pid, syscall.SIGKILL))
	}
}
