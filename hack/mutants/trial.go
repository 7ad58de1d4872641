package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// unitTimeout and endToEndTimeout bound one run of a test: a breakage may make
	// it wait for ever, which counts as noticed.
	unitTimeout     = time.Minute
	endToEndTimeout = 10 * time.Minute
)

// trial tries mutants.
type trial struct {
	repository string
	out        io.Writer
}

// errStayedGreen says that a test did not notice.
var errStayedGreen = errors.New("the test stayed green")

// run tries each mutant and returns an error that names those that nobody noticed.
func (t trial) run(ctx context.Context, chosen []mutant) (err error) {
	directory, err := os.MkdirTemp("", "ambient-kube-mutants-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := t.healthy(ctx, directory, chosen); err != nil {
		return err
	}
	var failures []error
	for _, m := range chosen {
		began := time.Now()
		verdict, err := t.try(ctx, directory, m)
		if ctx.Err() != nil {
			return fmt.Errorf("ended early: %w", ctx.Err())
		}
		if err != nil {
			verdict = "FAILED"
			failures = append(failures, fmt.Errorf("%s (%s, %s): %w", m.name, m.file, m.test, err))
		}
		fmt.Fprintf(t.out, "%-8s %5.1f s  %-62s %s\n", verdict, time.Since(began).Seconds(), m.name, m.test)
	}
	fmt.Fprintf(t.out, "%d of %d mutants were noticed.\n", len(chosen)-len(failures), len(chosen))
	return errors.Join(failures...)
}

// healthy proves that the tests are green as long as nothing is broken.
func (t trial) healthy(ctx context.Context, directory string, chosen []mutant) error {
	tests := map[string][]string{}
	for _, m := range chosen {
		if pkg := m.testPackage(); !slices.Contains(tests[pkg], m.test) {
			tests[pkg] = append(tests[pkg], m.test)
		}
	}
	var packages []string
	for pkg := range tests {
		packages = append(packages, pkg)
	}
	slices.Sort(packages)
	for _, pkg := range packages {
		fmt.Fprintf(t.out, "unbroken           %s\n", pkg)
		whole := mutant{tests: pkg, test: strings.Join(tests[pkg], "|")}
		output, err := t.test(ctx, directory, "", whole)
		if err != nil {
			return fmt.Errorf("the tests of %s fail without any breakage: %w\n%s", pkg, err, output)
		}
		for _, test := range tests[pkg] {
			if !strings.Contains(output, "--- PASS: "+test+" (") {
				return fmt.Errorf("there is no test %s in %s, or it is skipped", test, pkg)
			}
		}
	}
	return nil
}

// try breaks the code and runs the test. The verdict says how the test noticed.
func (t trial) try(ctx context.Context, directory string, m mutant) (verdict string, err error) {
	overlay, err := t.overlay(directory, m)
	if err != nil {
		return "", err
	}
	output, err := t.test(ctx, directory, overlay, m)
	switch {
	case err == nil:
		return "", errStayedGreen
	case !errors.Is(err, errRed):
		return "", fmt.Errorf("%w\n%s", err, output)
	case failed(output, m.test):
		return "red", nil
	case strings.Contains(output, "panic: test timed out"):
		return "hangs", nil
	case strings.Contains(output, "panic: ") || strings.Contains(output, "fatal error: ") || strings.Contains(output, "DATA RACE"):
		return "crashes", nil
	case m.endToEnd() && strings.Contains(output, "logged what is on no allow list"):
		return "logs", nil
	default:
		return "", fmt.Errorf("something else failed:\n%s", output)
	}
}

// failed tells whether the output says that the test failed.
func failed(output, test string) bool {
	return regexp.MustCompile(`(?m)^--- FAIL: ` + test + ` `).MatchString(output)
}

// overlay writes the broken file and what makes the build read it in the place of
// the one in the source tree.
func (t trial) overlay(directory string, m mutant) (string, error) {
	source, err := m.source(t.repository)
	if err != nil {
		return "", err
	}
	broken := filepath.Join(directory, filepath.Base(m.file))
	if err := os.WriteFile(broken, []byte(source), 0o600); err != nil {
		return "", fmt.Errorf("writing the broken file: %w", err)
	}
	replace := map[string]map[string]string{"Replace": {filepath.Join(t.repository, m.file): broken}}
	content, err := json.Marshal(replace)
	if err != nil {
		return "", fmt.Errorf("encoding the overlay: %w", err)
	}
	overlay := filepath.Join(directory, "overlay.json")
	if err := os.WriteFile(overlay, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the overlay: %w", err)
	}
	return overlay, nil
}

// errRed says that a test ran and failed.
var errRed = errors.New("the test failed")

// test builds and runs the mutant's test. What does not compile is another error
// than errRed.
func (t trial) test(ctx context.Context, directory, overlay string, m mutant) (output string, err error) {
	program := filepath.Join(directory, "mutant.test")
	timeout, environment := unitTimeout, []string(nil)
	if m.endToEnd() {
		timeout = endToEndTimeout
		binaries := filepath.Join(directory, "bin")
		if err := os.MkdirAll(binaries, 0o700); err != nil {
			return "", fmt.Errorf("making a directory: %w", err)
		}
		if output, err := t.command(ctx, t.repository, nil, t.compiler(), "build", "-overlay="+overlay, "-o", binaries+"/", "./cmd/...", "./hack/operator"); err != nil {
			return output, fmt.Errorf("building the broken programs: %w", err)
		}
		// A stand that failed keeps its logs in the directory for temporary files.
		environment = append(environment, "AMBIENT_KUBE_BINARIES="+binaries, "TMPDIR="+directory)
	}
	if output, err := t.command(ctx, t.repository, nil, t.compiler(), "test", "-c", "-vet=off", "-overlay="+overlay, "-o", program, "./"+m.testPackage()); err != nil {
		return output, fmt.Errorf("building the test of the broken code: %w", err)
	}
	output, err = t.command(ctx, filepath.Join(t.repository, m.testPackage()), environment, program,
		"-test.run=^("+m.test+")$", "-test.v", "-test.timeout="+timeout.String())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return output, errRed
	}
	return output, err
}

// compiler is the go command that make uses.
func (trial) compiler() string { return cmp.Or(os.Getenv("GO"), "go") }

// command runs a program and returns all that it printed.
func (t trial) command(ctx context.Context, directory string, environment []string, name string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, name, arguments...)
	var output bytes.Buffer
	command.Dir, command.Stdout, command.Stderr = directory, &output, &output
	command.Env = append(os.Environ(), environment...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 30 * time.Second
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return output.String(), nil
}
