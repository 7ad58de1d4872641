package flow

import (
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// allowed is what the tests of this package provoke.
var allowed = []harness.Allowed{}
