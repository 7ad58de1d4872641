package apiserver

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/backend"
	feedmetrics "github.com/ambient-code/ambient-kube/apiserver/feed/metrics"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
)

// repairsTotal counts what was made good after racing saves and careless edits.
var repairsTotal = metrics.NewCounterVec(&metrics.CounterOpts{
	Name:           "ambient_kube_repairs_total",
	Help:           "Number of rows that were repaired after a racing save at the upstream undid an acknowledged write (rewritten) or deletion (deleted), or were not, because they had changed, were too many or in use (left), or because the upstream did not let us (failed); or after somebody replaced the annotations without our record (restored).",
	StabilityLevel: metrics.ALPHA,
}, []string{"action"})

// counters are the metrics of this package that need no server behind them.
var counters = []metrics.Registerable{repairsTotal, releasesTotal}

// RegisterMetrics registers every metric of the API server, without a server behind
// them: they show what there is, not how it is.
func RegisterMetrics(registry feedmetrics.Registry) error {
	for _, metric := range append(upstream.Metrics(), counters...) {
		if err := registry.Register(metric); err != nil {
			return fmt.Errorf("registering %s: %w", metric.FQName(), err)
		}
	}
	if err := feedmetrics.New().Register(registry); err != nil {
		return fmt.Errorf("registering the feeds' metrics: %w", err)
	}
	if err := registry.CustomRegister(&stateCollector{}); err != nil {
		return fmt.Errorf("registering what is asked at each scrape: %w", err)
	}
	return nil
}

// registerMetrics also shows the counters before there is anything to count: what
// appears with its first event has no rate, and would alarm nobody.
var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(counters...)
	for _, action := range backend.RepairActions() {
		repairsTotal.WithLabelValues(action)
	}
	for _, kind := range []string{"sessions", "projects", "projectsettings"} {
		releasesTotal.WithLabelValues(kind)
	}
})

var (
	leaderDesc = metrics.NewDesc("ambient_kube_apiserver_leader", "1 while this replica leads and serves resources, 0 while it stands by.",
		nil, nil, metrics.ALPHA, "")
	epochDesc = metrics.NewDesc("ambient_kube_journal_epoch", "Epoch of the resource versions, which is their upper half; absent while this replica stands by.",
		nil, nil, metrics.ALPHA, "")
	revisionDesc = metrics.NewDesc("ambient_kube_journal_revision", "Revision of the last change of the kind, without the epoch.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	compactDesc = metrics.NewDesc("ambient_kube_journal_compact_revision", "Oldest revision of the kind from which a watch can resume, without the epoch.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	logDesc = metrics.NewDesc("ambient_kube_journal_log_events", "Number of changes of the kind that watches can still be given.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	writesDesc = metrics.NewDesc("ambient_kube_upstream_writes", "Number of writes that are under way at the upstream (in_flight), or wait until there are fewer (waiting).",
		[]string{"state"}, nil, metrics.ALPHA, "")
)

// stateCollector asks the server at each scrape where it stands.
type stateCollector struct {
	metrics.BaseStableCollector

	backends *backend.Backends
	term     *termDetail
}

// DescribeWithStability implements metrics.StableCollector.
func (c *stateCollector) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, desc := range []*metrics.Desc{leaderDesc, epochDesc, revisionDesc, compactDesc, logDesc, writesDesc} {
		ch <- desc
	}
}

// CollectWithStability implements metrics.StableCollector.
func (c *stateCollector) CollectWithStability(ch chan<- metrics.Metric) {
	if c.backends == nil {
		return
	}
	gauge := func(desc *metrics.Desc, value float64, labels ...string) {
		ch <- metrics.NewLazyConstMetric(desc, metrics.GaugeValue, value, labels...)
	}
	leads := 0.0
	if epoch := c.term.leading(); epoch != 0 {
		leads = 1
		gauge(epochDesc, float64(epoch))
	}
	gauge(leaderDesc, leads)
	for kind, journal := range map[string]*backend.Journal{
		"sessions": c.backends.SessionJournal, "projects": c.backends.ProjectJournal, "projectsettings": c.backends.SettingsJournal,
	} {
		// A whole resource version is more than a metric's value holds exactly. The
		// oldest is asked for first, so that the log never looks shorter than nothing.
		compact := journal.CompactRevision()
		last := journal.Revision()
		gauge(revisionDesc, float64(uint32(last)), kind)
		gauge(compactDesc, float64(uint32(compact)), kind)
		gauge(logDesc, float64(last-compact), kind)
	}
	inFlight, waiting := c.backends.Writes()
	gauge(writesDesc, float64(inFlight), "in_flight")
	gauge(writesDesc, float64(waiting), "waiting")
}

// reportRepair makes a repair visible: in a metric, the log, and an event on the
// object where there is one.
func reportRepair(events eventRecorder) backend.RepairReporter {
	return func(action string, object runtime.Object, message string) {
		repairsTotal.WithLabelValues(action).Inc()
		klog.InfoS("A save at the upstream undid what was done through us", "action", action, "message", message)
		reason := "LostUpdateRepaired"
		switch action {
		case backend.RepairLeft:
			reason = "DeletedAndBack"
		case backend.RepairFailed:
			reason = "RepairFailed"
		case backend.RepairRestored:
			reason = "RecordRestored"
		}
		if object != nil {
			events.recorder.Event(object, corev1.EventTypeWarning, reason, message)
		}
	}
}
