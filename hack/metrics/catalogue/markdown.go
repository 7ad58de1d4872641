package catalogue

import (
	"fmt"
	"strings"
)

const introduction = `# Metrics

<!-- Made by make generate from the code that registers the metrics. -->

Both programs serve ` + "`/metrics`" + `: ambient-kube-apiserver on its secure port, to those who
may ` + "`get`" + ` the path, ambient-kube-reconciler on the port of its probes. Those of the
libraries (Go, gRPC requests of API servers, the watch cache) come with them; these are
our own. Their names are stable: one that changes stands in the CHANGELOG.
`

// Markdown prints the metrics for people.
func Markdown(all []Metric) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, program := range []string{APIServer, Reconciler} {
		fmt.Fprintf(&b, "\n## %s\n\n| Metric | Type | Labels | What it tells |\n|---|---|---|---|\n", program)
		for _, metric := range all {
			for _, has := range metric.Programs {
				if has == program {
					fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", metric.Name, metric.Type, strings.Join(metric.Labels, ", "), strings.ReplaceAll(metric.Help, "|", `\|`))
				}
			}
		}
	}
	return b.String()
}
