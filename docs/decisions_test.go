package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// decisions is the number of the settled sharp edges; each has a test named after it.
const decisions = 32

func TestEachDecisionHasATest(t *testing.T) {
	numbered := regexp.MustCompile(`\nfunc TestDecision(\d+)`)
	var found [decisions + 1]int
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range numbered.FindAllSubmatch(code, -1) {
			number, err := strconv.Atoi(string(match[1]))
			if err != nil || number < 1 || number > decisions {
				t.Errorf("%s: there is no decision %s", path, match[1])
				continue
			}
			found[number]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for number := 1; number <= decisions; number++ {
		if found[number] == 0 {
			t.Errorf("no test is named after decision %d", number)
		}
	}
}

// Each figure is measured and judged, and one that is missed has its cause told.
func TestDecision32EachFigureIsShown(t *testing.T) {
	text, err := os.ReadFile("performance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, told, found := strings.Cut(string(text), "How to read them")
	if !found {
		t.Fatal("nothing says how to read the figures")
	}
	verdicts := map[string][]string{}
	row := regexp.MustCompile(`(?m)^\| (\([a-f]\)|\(12\)) .* \| (?:\*\*)?(met|missed|–)(?:\*\*)? \|$`)
	for _, match := range row.FindAllStringSubmatch(string(text), -1) {
		verdicts[match[1]] = append(verdicts[match[1]], match[2])
	}
	for _, figure := range []string{"(a)", "(b)", "(c)", "(d)", "(e)", "(f)", "(12)"} {
		if !slices.ContainsFunc(verdicts[figure], func(verdict string) bool { return verdict != "–" }) {
			t.Errorf("figure %s is not judged: %v", figure, verdicts[figure])
		}
		if slices.Contains(verdicts[figure], "missed") && !strings.Contains(told, "- "+figure+" is missed because") {
			t.Errorf("figure %s is missed, and nothing says why", figure)
		}
	}
}
