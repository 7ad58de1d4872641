// Command metrics prints docs/metrics.md, which names every metric of ours. The
// metrics are asked of the code that registers them, by package catalogue.
package main

import (
	"fmt"
	"os"

	"github.com/ambient-code/ambient-kube/hack/metrics/catalogue"
)

func main() {
	all, err := catalogue.All()
	if err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(1)
	}
	fmt.Print(catalogue.Markdown(all))
}
