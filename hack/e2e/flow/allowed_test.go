package flow

import (
	"regexp"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// allowed is what the programs around ours say while a part is away. Our own
// code says nothing of that kind: that a part is away is no error of ours.
var allowed = []harness.Allowed{
	{Process: controlplane.ControllerManagerName, Pattern: regexp.MustCompile(`.`), Why: "nothing that it does is ours, and it complains of every part that is away"},
	{Process: controlplane.APIServerName, Pattern: regexp.MustCompile(`ambient\.io`), Why: "our server is away"},
	{Process: stack.APIServerName, Pattern: harness.Abandoned, Why: "a client was killed while it waited"},
	{Process: stack.APIServerName, Pattern: regexp.MustCompile(`(reflector\.go.*Failed to watch.*forbidden|typeconverter\.go.*failed to fetch openapi paths)`), Why: "libraries in it complain while kube-apiserver is away or has not read its roles yet"},
	{Process: stack.ReconcilerName, Pattern: regexp.MustCompile(`Unable to write event \(may retry after sleeping\).*(EOF|connection refused|connection reset)`), Why: "the library that sends events says so when kube-apiserver is away, and sends again"},
	{Process: stack.OperatorName, Pattern: regexp.MustCompile(`reflector\.go.*Failed to watch.*forbidden`), Why: "kube-apiserver answers before it has read its roles"},
	{Process: stack.OperatorName, Pattern: regexp.MustCompile(`request\.go.*Unexpected error when reading response body.*context canceled`), Why: "it is told to end"},
}
