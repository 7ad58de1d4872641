package stack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// AddExamples makes two projects and a few sessions, one of them on the
// upstream's side.
func (s *Stack) AddExamples(ctx context.Context) error {
	if _, err := s.Kubectl(ctx, "apply", "--server-side", "-f", filepath.Join(s.options.Repository, "hack", "stack", "examples")); err != nil {
		return fmt.Errorf("adding examples: %w", err)
	}
	command := exec.CommandContext(ctx, s.UpstreamProgram(), "sessions", "create", "Explain the on-call rota",
		"--project=handbook", "--prompt=Explain the on-call rota to a newcomer.",
		"--address="+s.UpstreamAddress(), "--token-file="+s.UpstreamTokenFile())
	command.Env = process.Environment()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("adding an example upstream: %w: %s", err, output)
	}
	return nil
}

// WriteEnvironment writes a file that a shell sources to reach the system:
// kubectl and our programs are found, and they find the system.
func (s *Stack) WriteEnvironment(path string) error {
	var text strings.Builder
	for _, line := range [][2]string{
		{"KUBECONFIG", s.Kubeconfig()},
		{"PATH", filepath.Dir(s.KubectlPath()) + ":" + filepath.Dir(s.UpstreamProgram()) + ":$PATH"},
		{"AMBIENT_KUBE_ADDRESS", s.UpstreamAddress()},
		{"AMBIENT_KUBE_TOKEN_FILE", s.UpstreamTokenFile()},
	} {
		fmt.Fprintf(&text, "export %s=\"%s\"\n", line[0], line[1])
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}
