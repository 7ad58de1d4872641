package harness

import (
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
