// Package release tells which release of ours this is.
//
// The version stands here and not where the Kubernetes libraries keep theirs
// (k8s.io/component-base/version): they would take v0.1.0 for the version of
// Kubernetes that they are to imitate, and switch off whatever is younger.
package release

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the linker.
var version = "v0.0.0-unknown"

// Version is that of this build, such as v1.2.3, or v0.0.0-COMMIT.
func Version() string { return version }

// NewCollector returns the metric that tells the version.
func NewCollector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ambient_kube_build_info", Help: "1, with the version of this build and the Go that it was built by.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	}, func() float64 { return 1 })
}
