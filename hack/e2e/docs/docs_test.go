package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var (
	stand      *harness.Stand
	repository string
)

func TestMain(m *testing.M) {
	found, err := stack.Repository()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	repository = found
	os.Exit(harness.Main(m, harness.Options{}, func(s *harness.Stand) { stand = s }))
}

// documents returns the Markdown files that a reader may type from.
func documents(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(repository, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{filepath.Join(repository, "README.md")}, paths...)
}

func read(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return blocks(string(text))
}

// TestShellBlocksRun types every shell block of every document, in order, in a
// shell of its own for each document, as after make up.
func TestShellBlocksRun(t *testing.T) {
	if err := stand.Stack.AddExamples(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForRunning(t, "payments", "flaky-test")
	ran := 0
	for _, path := range documents(t) {
		script := "set -eo pipefail\n"
		for _, b := range inLanguage(read(t, path), "sh") {
			script += fmt.Sprintf("echo '--- line %d'\n%s", b.line, strict(b.text))
			ran++
		}
		t.Run(filepath.Base(path), func(t *testing.T) { runInShell(t, script) })
	}
	if ran < 5 {
		t.Errorf("only %d shell blocks were found", ran)
	}
}

// strict makes the shell end where a command succeeds that a document shows as
// refused, with an exclamation mark before it. The shell itself would go on.
func strict(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if refused, marked := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "! "); marked {
			line = fmt.Sprintf("if %s; then echo 'this was to be refused'; exit 1; fi\n", refused)
		}
		lines.WriteString(line)
	}
	return lines.String()
}

// runInShell runs the script where .run/env leads to the test's own system.
func runInShell(t *testing.T, script string) {
	t.Helper()
	directory := t.TempDir()
	if err := os.Mkdir(filepath.Join(directory, ".run"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := stand.Stack.WriteEnvironment(filepath.Join(directory, ".run", "env")); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "bash", "-c", script)
	command.Dir, command.Env = directory, process.Environment("HOME="+directory)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestMakeTargetsInDocumentsExist(t *testing.T) {
	named := 0
	for _, path := range documents(t) {
		for _, b := range inLanguage(read(t, path), "make") {
			for line := range strings.SplitSeq(strings.TrimSpace(b.text), "\n") {
				line, _, _ = strings.Cut(line, "#")
				words := strings.Fields(line)
				if len(words) < 2 || words[0] != "make" {
					t.Errorf("%s: %q is no make command", filepath.Base(path), line)
					continue
				}
				named++
				command := exec.CommandContext(t.Context(), "make", append([]string{"--dry-run", "--question"}, words[1:]...)...)
				command.Dir = repository
				if output, err := command.CombinedOutput(); strings.Contains(string(output), "No rule to make target") {
					t.Errorf("%s: %q: %v: %s", filepath.Base(path), line, err, output)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no document names a make target")
	}
}

func TestTheWatchExampleShowsChanges(t *testing.T) {
	program := filepath.Join(t.TempDir(), "watch")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./docs/examples/watch")
	// With the flags of all our programs, or the whole client library is compiled
	// once more.
	build.Dir, build.Env = repository, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the example: %v\n%s", err, output)
	}
	log := filepath.Join(t.TempDir(), "output")
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	watch := exec.CommandContext(t.Context(), program)
	watch.Env, watch.Stdout, watch.Stderr = process.Environment("KUBECONFIG="+stand.Stack.Kubeconfig()), output, output
	watch.Cancel = func() error { return watch.Process.Signal(os.Interrupt) }
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	project := stand.Name(t)
	stand.KubectlWithInput(t, fmt.Sprintf("apiVersion: ambient.io/v1alpha1\nkind: Project\nmetadata: {name: %s}\n---\n"+
		"apiVersion: ambient.io/v1alpha1\nkind: Session\nmetadata: {name: seen, namespace: %s}\nspec: {prompt: hello}\n", project, project), "apply", "-f", "-")
	harness.Eventually(t, "the example shows the session run", func() error {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), project+`/seen "Running"`) {
			return fmt.Errorf("it printed %q", text)
		}
		return nil
	})
	if err := watch.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := watch.Wait(); err != nil {
		t.Errorf("the example ended with %v", err)
	}
	if err := output.Close(); err != nil {
		t.Fatal(err)
	}
}

func waitForRunning(t *testing.T, namespace, name string) {
	t.Helper()
	harness.Within(t, time.Minute, name+" runs", func() error {
		session, err := stand.Ambient.AmbientV1alpha1().Sessions(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if session.Status.Phase != v1alpha1.SessionRunning {
			return fmt.Errorf("its phase is %q", session.Status.Phase)
		}
		return nil
	})
}
