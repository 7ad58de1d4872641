package table

import (
	"fmt"
	"os"
	"testing"
)

func read(t *testing.T) *Table {
	t.Helper()
	table, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestEveryPairIsThereOnce(t *testing.T) {
	table := read(t)
	seen := map[string]int{}
	for _, row := range table.Rows {
		seen[fmt.Sprintf("%q %q %v", row.Upstream, row.Resource, row.Given)]++
	}
	for state, times := range seen {
		if times != 1 {
			t.Errorf("%s is there %d times", state, times)
		}
	}
	for _, upstream := range Upstream {
		for _, resource := range Resources {
			if pair := fmt.Sprintf("%q %q %v", upstream, resource, []string(nil)); seen[pair] == 0 {
				t.Errorf("%s is missing", pair)
			}
		}
	}
}

func TestTheDocumentShowsTheTable(t *testing.T) {
	document, err := os.ReadFile("../../../docs/phases.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(document) != read(t).Markdown() {
		t.Error("docs/phases.md is not what the table says; make generate writes it")
	}
}
