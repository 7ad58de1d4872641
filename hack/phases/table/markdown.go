package table

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const head = `# What becomes of every pair of phases

<!-- Made by go run ./hack/phases from hack/phases/table/phases.yaml. -->

The upstream holds a session's phase, and the platform's operator gives one to its
AgenticSession. *Pending* and *Stopping* upstream are requests and go down, each
once; otherwise what the operator says goes up. This page says what becomes of
each pair while the operator does nothing, and how often the AgenticSession and the
upstream are written for that. It is written by hand, and a test brings a real
session into each of these states, starts the reconciler, and compares.

An AgenticSession is *new* until the operator has seen it, *gone* if it was made and
is no more, and *never* if none was made. · stands for "as it was".

## At a glance

Each cell is the upstream's phase in the end; ▼ means that the operator is asked for
something, + that an AgenticSession is made.

`

// Markdown returns docs/phases.md.
func (t *Table) Markdown() string {
	var text strings.Builder
	text.WriteString(head)
	t.glance(&text)
	text.WriteString("\n## Every pair\n")
	for _, upstream := range Upstream {
		fmt.Fprintf(&text, "\n### Upstream: %s\n\n", spell(upstream))
		t.rows(&text, "AgenticSession", func(row Row) (string, bool) {
			return row.Resource, row.Upstream == upstream && len(row.Given) == 0
		})
	}
	text.WriteString("\n## What else matters\n\nThe same pairs, when more is known than the phases.\n")
	for _, given := range t.givens() {
		fmt.Fprintf(&text, "\n### %s\n\n", t.explain(given))
		t.rows(&text, "Upstream, AgenticSession", func(row Row) (string, bool) {
			return spell(row.Upstream) + ", " + row.Resource, len(row.Given) > 0 && slices.Equal(row.Given, given)
		})
	}
	return text.String()
}

func (t *Table) glance(text *strings.Builder) {
	fmt.Fprintf(text, "| upstream | %s |\n|%s\n", strings.Join(Resources, " | "), strings.Repeat("---|", len(Resources)+1))
	for _, upstream := range Upstream {
		fmt.Fprintf(text, "| **%s** |", spell(upstream))
		for _, resource := range Resources {
			for _, row := range t.Rows {
				if row.Upstream == upstream && row.Resource == resource && len(row.Given) == 0 {
					fmt.Fprintf(text, " %s |", brief(row))
				}
			}
		}
		text.WriteString("\n")
	}
}

func brief(row Row) string {
	switch text := changed(row.Upstream, row.Then.Upstream); {
	case row.Then.Desired != "":
		return text + " ▼"
	case !row.Exists() && row.Then.Resource != None:
		return text + " +"
	default:
		return text
	}
}

// line is one line of a table, for one or more rows that come to the same.
type line struct {
	names   []string
	outcome string
}

func (t *Table) rows(text *strings.Builder, title string, pick func(Row) (string, bool)) {
	fmt.Fprintf(text, "| %s | upstream then | annotations then | writes to it / upstream | because |\n|---|---|---|---|---|\n", title)
	var lines []line
	for _, row := range t.Rows {
		name, picked := pick(row)
		if !picked {
			continue
		}
		outcome := fmt.Sprintf("%s | %s | %d / %d | %s", changed(row.Upstream, row.Then.Upstream), annotations(row), row.Then.ResourceWrites, row.Then.StatusWrites, t.Reasons[row.Because])
		if last := len(lines) - 1; last >= 0 && lines[last].outcome == outcome {
			lines[last].names = append(lines[last].names, name)
		} else {
			lines = append(lines, line{[]string{name}, outcome})
		}
	}
	for _, line := range lines {
		fmt.Fprintf(text, "| %s | %s |\n", strings.Join(line.names, "; "), line.outcome)
	}
}

func annotations(row Row) string {
	var words []string
	for _, one := range [][2]string{{"desired-phase", row.Then.Desired}, {"handled-request", row.Then.Handled}, {"reported", row.Then.Reported}} {
		if one[1] != "" {
			words = append(words, one[0]+"="+one[1])
		}
	}
	return cmp.Or(strings.Join(words, "<br>"), "none")
}

// givens returns the sets of facts in the order of their first use.
func (t *Table) givens() [][]string {
	var found [][]string
	for _, row := range t.Rows {
		known := slices.ContainsFunc(found, func(given []string) bool { return slices.Equal(given, row.Given) })
		if len(row.Given) > 0 && !known {
			found = append(found, row.Given)
		}
	}
	return found
}

func (t *Table) explain(given []string) string {
	var words []string
	for _, fact := range given {
		words = append(words, t.Facts[fact])
	}
	text := strings.Join(words, "; ")
	return strings.ToUpper(text[:1]) + text[1:]
}

func changed(before, after string) string {
	if before == after {
		return "·"
	}
	return spell(after)
}

func spell(phase string) string { return cmp.Or(phase, "none") }
