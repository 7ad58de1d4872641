// Command phases prints docs/phases.md, which shows the table of phases to
// people. The table itself is in package table.
package main

import (
	"fmt"
	"os"

	"github.com/ambient-code/ambient-kube/hack/phases/table"
)

func main() {
	phases, err := table.Read()
	if err != nil {
		fmt.Fprintln(os.Stderr, "phases:", err)
		os.Exit(1)
	}
	fmt.Print(phases.Markdown())
}
