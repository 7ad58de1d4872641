package main

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// kubectlForTest runs kubectl against the stand and returns its output.
func (s *stand) kubectlForTest(t *testing.T, arguments ...string) string {
	t.Helper()
	path := filepath.Join(cmp.Or(os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"), filepath.Join("..", "..", ".build", "kube")), "kubectl")
	command := exec.CommandContext(t.Context(), path, arguments...)
	command.Env = process.Environment("KUBECONFIG=" + filepath.Join(s.directory, "kubeconfig"))
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %v: %v: %s", arguments, err, output)
	}
	return string(output)
}

// kill ends a process as a crash would, and waits until it is gone.
func kill(t *testing.T, record process.Record) error {
	t.Helper()
	if err := syscall.Kill(record.PID, syscall.SIGKILL); err != nil {
		return err
	}
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for record.Alive() {
		select {
		case <-t.Context().Done():
			return t.Context().Err()
		case <-ticker.C:
		}
	}
	return nil
}
