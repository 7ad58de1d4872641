package harness

import (
	"regexp"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// Outages is what the programs around ours say when ours, or the upstream, is
// away, and what ours says when kube-apiserver is.
func Outages() []Allowed {
	return []Allowed{
		{Process: controlplane.ControllerManagerName, Pattern: regexp.MustCompile(`(reflector|garbagecollector|graph_builder|resource_quota_controller|namespace_controller|namespaced_resources_deleter|event)\.go`), Why: "it complains of every part that is away"},
		{Process: controlplane.APIServerName, Pattern: regexp.MustCompile(`ambient\.io`), Why: "our server is away"},
		{Process: stack.APIServerName, Pattern: regexp.MustCompile(`reflector\.go.*Failed to watch.*(is forbidden|connection refused|connection reset)`), Why: "kube-apiserver is away, or back and without its roles yet"},
		{Process: stack.APIServerName, Pattern: Abandoned, Why: "a request whose client went away, or whose time ran out, while a part was away"},
		{Process: controlplane.APIServerName, Pattern: regexp.MustCompile(`secure_serving\.go.*Failed to shutdown server: context deadline exceeded`), Why: "it was told to end while watches were open"},
		{Process: stack.APIServerName, Pattern: regexp.MustCompile(`typeconverter\.go.*failed to fetch openapi paths`), Why: "kube-apiserver is away"},
	}
}
