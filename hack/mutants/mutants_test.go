package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

func repository(t *testing.T) string {
	t.Helper()
	repository, err := stack.Repository()
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

// Code moves on: a mutant whose text is gone would break nothing, unnoticed until
// somebody tries them all.
func TestEveryMutantStillApplies(t *testing.T) {
	root := repository(t)
	names := map[string]bool{}
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			if names[m.name] {
				t.Error("two mutants bear this name")
			}
			names[m.name] = true
			source, err := m.source(root)
			if err != nil {
				t.Fatal(err)
			}
			if m.old == m.new {
				t.Error("it changes nothing")
			}
			if _, err := parser.ParseFile(token.NewFileSet(), m.file, source, parser.SkipObjectResolution); err != nil {
				t.Errorf("the broken file is no Go: %v", err)
			}
			if !hasTest(t, filepath.Join(root, m.testPackage()), m.test) {
				t.Errorf("there is no test %s in %s", m.test, m.testPackage())
			}
		})
	}
}

func hasTest(t *testing.T, directory, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "\nfunc "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}

func TestThereAreEnoughMutants(t *testing.T) {
	if count := len(apiserverMutants()); count < 15 {
		t.Errorf("%d mutants of the API server", count)
	}
	if count := len(reconcilerMutants()); count < 10 {
		t.Errorf("%d mutants of the reconciler", count)
	}
}

func TestTheTableInTheDocumentationIsCurrent(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(repository(t), "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(data), tableBegin)
	shown, _, ended := strings.Cut(rest, tableEnd)
	if !begun || !ended {
		t.Fatalf("docs/testing.md has no table between %q and %q", tableBegin, tableEnd)
	}
	if shown != table(mutants()) {
		t.Error("docs/testing.md holds another table than the one that go run ./hack/mutants -markdown prints")
	}
}

// A replacement that fits nowhere, or in two places, is refused.
func TestAReplacementFitsExactlyOnce(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "a.go"), []byte("package a\n\nvar x, y = 1, 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, fits := range map[string]bool{"x, y": true, "1": false, "z": false} {
		if _, err := (mutant{file: "a.go", old: old, new: "b"}).source(directory); (err == nil) != fits {
			t.Errorf("replacing %q: %v", old, err)
		}
	}
}

// The tool on a module of its own: a test that notices, one that does not, one
// that hangs on nothing, and a breakage that does not compile.
func TestOnlyARedTestIsASuccess(t *testing.T) {
	directory := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":        "module example.com/a\n\ngo 1.26\n",
		"one/a.go":      "package one\n\nfunc Add(a, b int) int { return a + b }\n",
		"one/a_test.go": "package one\n\nimport \"testing\"\n\nfunc TestAdd(t *testing.T) {\n\tif Add(2, 3) != 5 {\n\t\tt.Error(\"no\")\n\t}\n}\n\nfunc TestNothing(t *testing.T) { Add(0, 0) }\n\nfunc TestRed(t *testing.T) { t.Error(\"always\") }\n",
	} {
		path := filepath.Join(directory, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, replacement, test, want string
	}{
		{"noticed", "a - b", "TestAdd", `^$`},
		{"crashes", "a + b/(a-a)", "TestAdd", `^$`},
		{"unnoticed", "a - b", "TestNothing", errStayedGreen.Error()},
		{"does not compile", "a + c", "TestAdd", "building the test of the broken code"},
		{"no such test", "a - b", "TestAbsent", "there is no test TestAbsent"},
		{"red anyway", "a - b", "TestRed", "fail without any breakage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := mutant{name: test.name, file: "one/a.go", old: "a + b", new: test.replacement, test: test.test}
			var out strings.Builder
			text := ""
			if err := (trial{repository: directory, out: &out}).run(t.Context(), []mutant{m}); err != nil {
				text = err.Error()
			}
			if !regexp.MustCompile(test.want).MatchString(text) {
				t.Errorf("error %q, want %q; printed:\n%s", text, test.want, out.String())
			}
		})
	}
}
