package harness

import (
	"context"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// Kill ends a process without warning.
func Kill(t testing.TB, p *process.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Restart starts a process again and waits until it is ready.
func Restart(t testing.TB, p *process.Process) {
	t.Helper()
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// RestartWith kills a process and starts it as the specification says, also while the
// test ends.
func RestartWith(t testing.TB, p *process.Process, spec process.Spec) {
	t.Helper()
	Kill(t, p)
	if err := p.RestartWith(context.WithoutCancel(t.Context()), spec); err != nil {
		t.Fatal(err)
	}
}
