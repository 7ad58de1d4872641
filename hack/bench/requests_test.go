package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// requests counts what one of our programs has asked kube-apiserver so far, by verb
// and resource. Leases, which are renewed by the clock, don't count.
func requests(b *testing.B, stand *harness.Stand, program string) map[string]int64 {
	b.Helper()
	counts := map[string]int64{}
	for _, event := range harness.Requests(b, stand.Stack.AuditLog(), stack.UserName(program)) {
		if event.ObjectRef.Resource == "leases" {
			continue
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		counts[event.Verb+" "+resource]++
	}
	return counts
}

// eachOf tells how often each thing was done for one of n objects; what was done
// for fewer than a hundredth of them belongs to none.
func eachOf(counts map[string]int64, n int) string {
	var found []string
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		if share := float64(counts[what]) / float64(n); share >= .01 {
			found = append(found, fmt.Sprintf("%.2f %s", share, what))
		}
	}
	return strings.Join(found, ", ")
}
