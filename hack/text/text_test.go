package text

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

const module = "github.com/ambient-code/ambient-kube"

// asTheyAre are generated, the work of others, or must hold what programs print.
var asTheyAre = []string{"LICENSE", ".pb.go", "cmd/kubectl-ambient/internal/plugin/plugin_test.go"}

func TestFilesOfTheRepository(t *testing.T) {
	root, err := stack.Repository()
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name == ".git" || name == ".build" || strings.HasPrefix(name, ".run") {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || slices.ContainsFunc(asTheyAre, func(suffix string) bool { return strings.HasSuffix(name, suffix) }) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		judged++
		for _, fault := range Judge(module, filepath.ToSlash(name), content) {
			t.Errorf("%s: %s", name, fault)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if judged < 300 {
		t.Errorf("only %d files were found", judged)
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		file, content string
		want          []string
	}{
		"right":                {"a.md", "a\nb\n", nil},
		"empty":                {"a.md", "", nil},
		"not a text":           {"a.bin", "a \x00", nil},
		"white space":          {"a.md", "a \nb\t\n", []string{"line 1 ends with white space", "line 2 ends with white space"}},
		"no end":               {"a.md", "a", []string{"it does not end with exactly one new line"}},
		"two ends":             {"a.md", "a\n\n", []string{"it does not end with exactly one new line"}},
		"our import":           {"a.go", "package a\n\nimport _ \"" + module + "/release\"\n", nil},
		"an import of another": {"a.go", "package a\n\nimport _ \"example.com/ambient-kube/release\"\n", []string{"it imports example.com/ambient-kube/release, which is not of module " + module}},
		"our module":           {"hack/x/go.mod", "module " + module + "/hack/x\n", nil},
		"a module of another":  {"hack/x/go.mod", "module " + module + "/hack/y\n", []string{"the module is " + module + "/hack/y, want " + module + "/hack/x"}},
		"no module":            {"go.mod", "go 1.26\n", []string{"it declares no module"}},
	} {
		if got := Judge(module, test.file, []byte(test.content)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
