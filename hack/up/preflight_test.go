package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

// fakeGo makes a program go that answers as an installed Go of a version, with
// the toolchain that it would choose for our module.
func fakeGo(t *testing.T, installed, chosen string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	script := fmt.Sprintf(`#!/bin/sh
case "$*" in
"env GOVERSION") if [ "$GOTOOLCHAIN" = local ]; then echo %q; else echo %q; fi ;;
"env CC") echo no-such-compiler ;;
*) echo "$*" >>%q; exit 1 ;;
esac
`, installed, chosen, path+".calls")
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is missing is named, with what to do, and nothing is built.
func TestMakeNamesWhatIsMissing(t *testing.T) {
	repository, err := stack.Repository()
	if err != nil {
		t.Fatal(err)
	}
	old := fakeGo(t, "go1.22.1", "")
	tests := map[string]struct {
		target, goProgram string
		want              []string
	}{
		"no Go":                     {"up", "/nowhere/go", []string{"/nowhere/go is missing", "1.26.0 or newer", "https://go.dev/dl/"}},
		"a Go that is too old":      {"up", old, []string{"go1.22.1", old, "too old", "1.26.0 or newer"}},
		"a Go without a version":    {"build", fakeGo(t, "", ""), []string{"too old"}},
		"no C compiler for tests":   {"test", fakeGo(t, "go1.26.0", "go1.26.0"), []string{"no-such-compiler is missing", "race detector"}},
		"the toolchain is too old":  {"up", fakeGo(t, "go1.25.9", "go1.25.9"), []string{"go1.25.9", "too old"}},
		"a release before the last": {"up", fakeGo(t, "go1.3", ""), []string{"go1.3 at", "too old"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", repository, test.target, "GO="+test.goProgram)
			command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
			output, err := command.CombinedOutput()
			if err == nil {
				t.Errorf("make %s succeeded", test.target)
			}
			for _, text := range test.want {
				if !strings.Contains(string(output), text) {
					t.Errorf("the output lacks %q:\n%s", text, output)
				}
			}
			if calls, err := os.ReadFile(test.goProgram + ".calls"); err == nil {
				t.Errorf("Go was called before: %s", calls)
			}
		})
	}
}

func TestAGoThatFetchesTheRightOneIsNew(t *testing.T) {
	for name, goProgram := range map[string]string{
		"the required one":             fakeGo(t, "go1.26.0", "go1.26.0"),
		"a newer one":                  fakeGo(t, "go1.30.1", "go1.30.1"),
		"one that fetches the new one": fakeGo(t, "go1.24.2", "go1.26.0"),
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), filepath.Join("..", "preflight.sh"))
			command.Env = append(os.Environ(), "GO="+goProgram, "GOTOOLCHAIN=auto")
			if output, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}
