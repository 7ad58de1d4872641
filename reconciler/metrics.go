package reconciler

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/reconciler/queue"
	"github.com/ambient-code/ambient-kube/reconciler/tally"
	"github.com/ambient-code/ambient-kube/reconciler/webhook"
)

// newLeading returns the metric that tells whether this process leads.
func newLeading(registry prometheus.Registerer) prometheus.Gauge {
	leading := prometheus.NewGauge(prometheus.GaugeOpts{Name: "ambient_kube_reconciler_leader", Help: "1 while this process leads."})
	registry.MustRegister(leading)
	return leading
}

// showForeign registers the metric that tells how many projects are another
// cluster's.
func showForeign(registry prometheus.Registerer, count func() int) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ambient_kube_reconciler_foreign_projects", Help: "Projects for which nothing is done, because another cluster projects them.",
	}, func() float64 { return float64(count()) }))
}

// showBaseline registers the metric that tells whether the record of old sessions is
// lost.
func showBaseline(registry prometheus.Registerer, missing func() bool) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ambient_kube_reconciler_baseline_missing", Help: "1 while the leader lacks the record that tells old sessions from new ones, and starts none.",
	}, func() float64 {
		if missing() {
			return 1
		}
		return 0
	}))
}

// RegisterMetrics registers every metric of the reconciler, without a reconciler
// behind them: they show what there is, not how it is.
func RegisterMetrics(registry prometheus.Registerer) error {
	newLeading(registry)
	if _, err := newClients(&rest.Config{}, registry); err != nil {
		return fmt.Errorf("registering the clients' metrics: %w", err)
	}
	newGuard(nil, "", "", registry)
	showForeign(registry, func() int { return 0 })
	showBaseline(registry, func() bool { return false })
	webhook.RegisterMetrics(registry)
	tally.New(registry, time.Now)
	queue.NewMetrics(registry).WatchAge("", func() time.Duration { return 0 })
	return nil
}
