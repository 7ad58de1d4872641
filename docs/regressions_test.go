// Package docs proves what the documents beside it say of the code.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRegressionsNameTests requires that each row of the table names a test that
// exists in the package that it says.
func TestRegressionsNameTests(t *testing.T) {
	text, err := os.ReadFile("regressions.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("\\| `([a-z0-9/]+)` (Test\\w+) \\|$")
	rows := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| What") {
			continue
		}
		rows++
		row := named.FindStringSubmatch(line)
		if row == nil {
			t.Errorf("no test is named in: %s", line)
			continue
		}
		files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(row[1]), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(code), "\nfunc "+row[2]+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s has no test %s", row[1], row[2])
		}
	}
	if rows == 0 {
		t.Error("the table has no rows")
	}
}
