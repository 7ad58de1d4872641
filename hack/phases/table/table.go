// Package table holds what is to become of every pair of phases: the one file of
// expected values that people read in docs/phases.md and that the end-to-end test
// compares real objects with.
//
// It owns the file, its meaning and its form in Markdown. It must not know the
// reconciler, whose decisions the file is to judge.
package table

import (
	_ "embed"
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"
)

//go:embed phases.yaml
var file []byte

// Words for an AgenticSession that has no phase.
const (
	// New is one that the operator has not seen yet.
	New = "new"
	// Gone is one that was made, and is no more.
	Gone = "gone"
	// Never is one that was not made.
	Never = "never"
	// None is what there is in the end of one that is gone or was never made.
	None = "none"
)

// What may be so beside the pair of phases; the file says what each means.
const (
	RunKnown          = "runKnown"
	EndKnown          = "endKnown"
	EndReported       = "endReported"
	EndReportedBefore = "endReportedBefore"
	StartSent         = "startSent"
	StartSentBefore   = "startSentBefore"
	StopSent          = "stopSent"
	RequestTaken      = "requestTaken"
	AnotherRun        = "anotherRun"
	LossKnown         = "lossKnown"
)

// Upstream are the phases of a session upstream, and Resources those of an
// AgenticSession: all pairs are in the table.
var (
	Upstream  = []string{"", "Pending", "Creating", "Running", "Stopping", "Stopped", "Completed", "Failed"}
	Resources = []string{Never, Gone, New, "Pending", "Creating", "Running", "Stopping", "Stopped", "Completed", "Failed"}
)

// Table is the file.
type Table struct {
	// Facts say what each word of Row.Given means, and Reasons what each of
	// Row.Because does.
	Facts   map[string]string `json:"facts"`
	Reasons map[string]string `json:"reasons"`
	Rows    []Row             `json:"rows"`
}

// Row is one state, and what becomes of it.
type Row struct {
	// Upstream is the phase in the system of record, Resource that of the
	// AgenticSession or one of New, Gone and Never.
	Upstream string `json:"upstream"`
	Resource string `json:"resource"`
	// Given are the facts beside the phases.
	Given []string `json:"given,omitempty"`
	// Then is what becomes of it while the operator does nothing.
	Then Outcome `json:"then"`
	// Because is the key of the reason.
	Because string `json:"because"`
}

// Outcome is a state at rest, and what it took to get there.
type Outcome struct {
	// Upstream and Resource are phases; Resource may be New or None.
	Upstream string `json:"upstream"`
	Resource string `json:"resource"`
	// Desired, Handled and Reported are the phases that the annotations of the
	// same names bear, "" without the annotation.
	Desired  string `json:"desired,omitempty"`
	Handled  string `json:"handled,omitempty"`
	Reported string `json:"reported,omitempty"`
	// ResourceWrites is how often the AgenticSession is written, its creation
	// included, and StatusWrites how often the session's status is.
	ResourceWrites int `json:"resourceWrites"`
	StatusWrites   int `json:"statusWrites"`
}

// Read returns the table. It returns an error if the file uses a word that it
// does not explain, or explains one that it does not use.
func Read() (*Table, error) {
	table := &Table{}
	if err := yaml.UnmarshalStrict(file, table); err != nil {
		return nil, fmt.Errorf("reading the table of phases: %w", err)
	}
	facts, reasons := map[string]bool{}, map[string]bool{}
	for i, row := range table.Rows {
		reasons[row.Because] = true
		if table.Reasons[row.Because] == "" {
			return nil, fmt.Errorf("row %d of the table of phases: no reason is called %q", i, row.Because)
		}
		for _, fact := range row.Given {
			facts[fact] = true
			if table.Facts[fact] == "" {
				return nil, fmt.Errorf("row %d of the table of phases: no fact is called %q", i, fact)
			}
		}
	}
	if len(facts) != len(table.Facts) || len(reasons) != len(table.Reasons) {
		return nil, fmt.Errorf("the table of phases explains %d facts and %d reasons, and uses %d and %d",
			len(table.Facts), len(table.Reasons), len(facts), len(reasons))
	}
	return table, nil
}

// Has tells whether the fact is given.
func (r *Row) Has(fact string) bool { return slices.Contains(r.Given, fact) }

// Exists tells whether there is an AgenticSession to begin with.
func (r *Row) Exists() bool { return r.Resource != Never && r.Resource != Gone }
