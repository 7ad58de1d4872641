package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

// TestModule runs the tests of a module below hack, which has dependencies that the
// main module's must not meet, with further environment variables, and requires that
// the named ones have passed. They run without the race detector: what runs there is
// others', and it is compiled with the flags of our programs, which have most of it.
func TestModule(t *testing.T, module string, environment []string, passed ...string) {
	t.Helper()
	repository, err := stack.Repository()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "test", "-v", "-vet=off", "-count=1", ".")
	command.Dir = filepath.Join(repository, "hack", module)
	command.Env = append(append(os.Environ(), "CGO_ENABLED=0"), environment...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("the tests of %s: %v\n%s", command.Dir, err, output)
	}
	for _, name := range passed {
		Contains(t, string(output), "--- PASS: "+name)
	}
}
