package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one way to break the code, and the test that has to notice.
type mutant struct {
	// name says in a few words what the broken code does.
	name string
	// file is what is changed, relative to the root of the repository.
	file string
	// old is the text that is replaced by new; it is in the file exactly once.
	old, new string
	// tests is the package of the test, relative to the root of the repository;
	// empty is that of the file. Below hack/e2e, the test runs the real processes,
	// and our programs are built anew.
	tests string
	// test is the name of the test that turns red.
	test string
}

func mutants() []mutant {
	all := append(apiserverMutants(), reconcilerMutants()...)
	return slices.Concat(all, translateMutants(), guardMutants(), leadershipMutants(), certificateMutants(), deployMutants(), gitopsMutants(), clusterMutants(), accessMutants(), burstMutants())
}

// testPackage returns the directory of the package whose test has to notice.
func (m mutant) testPackage() string {
	if m.tests != "" {
		return m.tests
	}
	return filepath.Dir(m.file)
}

// endToEnd tells whether the test runs the real processes.
func (m mutant) endToEnd() bool { return strings.HasPrefix(m.testPackage(), "hack/e2e/") }

// source returns the broken file.
func (m mutant) source(repository string) (string, error) {
	data, err := os.ReadFile(filepath.Join(repository, m.file))
	if err != nil {
		return "", fmt.Errorf("reading what to break: %w", err)
	}
	if found := strings.Count(string(data), m.old); found != 1 {
		return "", fmt.Errorf("the text to replace is in %s %d times instead of once:\n%s", m.file, found, m.old)
	}
	return strings.Replace(string(data), m.old, m.new, 1), nil
}

// The table stands in docs/testing.md between these two lines.
const (
	tableBegin = "<!-- begin: go run ./hack/mutants -markdown -->\n"
	tableEnd   = "<!-- end -->\n"
)

// table describes the mutants for people.
func table(all []mutant) string {
	var text strings.Builder
	text.WriteString("| What the broken code does | Broken in | Test that turns red |\n|---|---|---|\n")
	for _, m := range all {
		test := "`" + m.test + "`"
		if m.tests != "" {
			test += " in `" + m.tests + "`"
		}
		fmt.Fprintf(&text, "| %s | `%s` | %s |\n", m.name, m.file, test)
	}
	return text.String()
}
