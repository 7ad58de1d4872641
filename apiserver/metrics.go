package apiserver

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/backend"
)

// repairsTotal counts what was made good after racing saves.
var repairsTotal = metrics.NewCounterVec(&metrics.CounterOpts{
	Name:           "ambient_kube_repairs_total",
	Help:           "Number of rows that were repaired after a racing save at the upstream undid an acknowledged write (rewritten) or deletion (deleted), or were not, because they had changed or were too many (left).",
	StabilityLevel: metrics.ALPHA,
}, []string{"action"})

var registerMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(repairsTotal, releasesTotal) })

// reportRepair makes a repair visible: in a metric, the log, and an event on the
// object where there is one.
func reportRepair(events eventRecorder) backend.RepairReporter {
	return func(action string, object runtime.Object, message string) {
		repairsTotal.WithLabelValues(action).Inc()
		klog.InfoS("A racing save changed a row of the upstream", "action", action, "message", message)
		reason := "LostUpdateRepaired"
		if action == backend.RepairLeft {
			reason = "DeletedAndBack"
		}
		if object != nil {
			events.recorder.Event(object, corev1.EventTypeWarning, reason, message)
		}
	}
}
