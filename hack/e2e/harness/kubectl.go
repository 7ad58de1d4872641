package harness

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// Output is what a run of kubectl left.
type Output struct {
	Stdout, Stderr string
	ExitCode       int
}

// Kubectl runs kubectl as the administrator and fails the test unless it
// succeeds.
func (s *Stand) Kubectl(t testing.TB, arguments ...string) Output {
	t.Helper()
	return s.KubectlWithInput(t, "", arguments...)
}

// KubectlWithInput is Kubectl with text on standard input.
func (s *Stand) KubectlWithInput(t testing.TB, input string, arguments ...string) Output {
	t.Helper()
	output := s.TryKubectl(t, input, arguments...)
	if output.ExitCode != 0 {
		t.Fatalf("kubectl %s: exit code %d: %s%s", strings.Join(arguments, " "), output.ExitCode, output.Stderr, output.Stdout)
	}
	return output
}

// KubectlFails runs kubectl and fails the test if it succeeds.
func (s *Stand) KubectlFails(t testing.TB, input string, arguments ...string) Output {
	t.Helper()
	output := s.TryKubectl(t, input, arguments...)
	if output.ExitCode == 0 {
		t.Fatalf("kubectl %s succeeded: %s%s", strings.Join(arguments, " "), output.Stdout, output.Stderr)
	}
	return output
}

// TryKubectl runs kubectl, whatever comes of it.
func (s *Stand) TryKubectl(t testing.TB, input string, arguments ...string) Output {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*Patience)
	defer cancel()
	var output, complaints strings.Builder
	command := s.kubectl(ctx, arguments)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &output, &complaints
	err := command.Run()
	result := Output{Stdout: output.String(), Stderr: complaints.String()}
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed) && ctx.Err() == nil:
		result.ExitCode = failed.ExitCode()
	case err != nil:
		t.Fatalf("kubectl %s: %v: %s", strings.Join(arguments, " "), err, result.Stderr)
	}
	return result
}

func (s *Stand) kubectl(ctx context.Context, arguments []string) *exec.Cmd {
	command := exec.CommandContext(ctx, s.Stack.KubectlPath(), arguments...)
	directory := filepath.Dir(s.Stack.Kubeconfig())
	command.Env = process.Environment("KUBECONFIG="+s.Stack.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(directory, "kubectl-cache"), "PATH="+s.Stack.ProgramPath())
	return command
}

// Running is a kubectl that goes on, such as one with --watch. It ends with the
// test.
type Running struct {
	command string

	mutex   sync.Mutex
	lines   []string
	seen    int
	changed chan struct{}
	ended   bool
}

// StartKubectl starts kubectl and gathers the lines that it prints.
func (s *Stand) StartKubectl(t testing.TB, arguments ...string) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := s.kubectl(ctx, arguments)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	command.Stderr = &complaints
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	running := &Running{command: strings.Join(arguments, " "), changed: make(chan struct{})}
	var reader sync.WaitGroup
	reader.Go(func() {
		scanner := bufio.NewScanner(output)
		scanner.Buffer(nil, 16<<20)
		for scanner.Scan() {
			running.add(scanner.Text(), false)
		}
		running.add("", true)
	})
	t.Cleanup(func() {
		cancel()
		reader.Wait()
		if err := command.Wait(); err != nil && t.Failed() {
			t.Logf("kubectl %s ended: %v: %s", running.command, err, complaints.String())
		}
	})
	return running
}

func (r *Running) add(line string, last bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if last {
		r.ended = true
	} else {
		r.lines = append(r.lines, line)
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// next looks through the lines that were not looked at yet.
func (r *Running) next(matches func(line string) bool) (line string, found, ended bool, changed <-chan struct{}) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for ; r.seen < len(r.lines); r.seen++ {
		if line := r.lines[r.seen]; matches(line) {
			r.seen++
			return line, true, false, nil
		}
	}
	return "", false, r.ended, r.changed
}

// AwaitLine waits for a line that holds all the texts, behind the line that was
// awaited before, and returns it.
func (r *Running) AwaitLine(t testing.TB, texts ...string) string {
	t.Helper()
	return r.Await(t, strings.Join(texts, " … "), func(line string) bool {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				return false
			}
		}
		return true
	})
}

// Await waits for a line that matches, behind the line that was awaited before.
func (r *Running) Await(t testing.TB, what string, matches func(line string) bool) string {
	t.Helper()
	deadline := time.After(Patience)
	for {
		line, found, ended, changed := r.next(matches)
		switch {
		case found:
			return line
		case ended:
			t.Fatalf("kubectl %s ended without a line %q; it printed:\n%s", r.command, what, r.text())
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("kubectl %s printed no line %q within %s, but:\n%s", r.command, what, Patience, r.text())
		}
	}
}

func (r *Running) text() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return strings.Join(r.lines, "\n")
}
