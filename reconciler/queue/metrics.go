package queue

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
)

// Metrics are the metrics of all queues of a process, told apart by label queue.
type Metrics struct {
	registry   prometheus.Registerer
	depth      *prometheus.GaugeVec
	adds       *prometheus.CounterVec
	wait       *prometheus.HistogramVec
	work       *prometheus.HistogramVec
	unfinished *prometheus.GaugeVec
	longest    *prometheus.GaugeVec
	retries    *prometheus.CounterVec
}

var _ workqueue.MetricsProvider = (*Metrics)(nil)

// NewMetrics registers the metrics of queues.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	label := []string{"queue"}
	buckets := prometheus.ExponentialBuckets(0.001, 4, 9)
	name := func(suffix string) string { return "ambient_kube_reconciler_queue_" + suffix }
	m := &Metrics{
		registry:   registry,
		depth:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("depth"), Help: "Keys that wait for a worker."}, label),
		adds:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("adds_total"), Help: "Keys added."}, label),
		wait:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name("wait_seconds"), Help: "Time that a key waited for a worker.", Buckets: buckets}, label),
		work:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name("work_seconds"), Help: "Time that a pass took.", Buckets: buckets}, label),
		unfinished: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("unfinished_seconds"), Help: "Sum of the times that passes under way have taken so far."}, label),
		longest:    prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("longest_running_seconds"), Help: "Time that the longest pass under way has taken so far."}, label),
		retries:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: name("retries_total"), Help: "Passes repeated, or asked for after a pause."}, label),
	}
	registry.MustRegister(m.depth, m.adds, m.wait, m.work, m.unfinished, m.longest, m.retries)
	return m
}

// WatchAge registers the age of the oldest key that isn't settled.
func (m *Metrics) WatchAge(queue string, age func() time.Duration) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "ambient_kube_reconciler_queue_oldest_unsettled_seconds",
		Help:        "Time since the key that has been unsettled longest was added.",
		ConstLabels: prometheus.Labels{"queue": queue},
	}, func() float64 { return age().Seconds() }))
}

// NewDepthMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewDepthMetric(name string) workqueue.GaugeMetric {
	return m.depth.WithLabelValues(name)
}

// NewAddsMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewAddsMetric(name string) workqueue.CounterMetric {
	return m.adds.WithLabelValues(name)
}

// NewLatencyMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewLatencyMetric(name string) workqueue.HistogramMetric {
	return m.wait.WithLabelValues(name)
}

// NewWorkDurationMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewWorkDurationMetric(name string) workqueue.HistogramMetric {
	return m.work.WithLabelValues(name)
}

// NewUnfinishedWorkSecondsMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewUnfinishedWorkSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.unfinished.WithLabelValues(name)
}

// NewLongestRunningProcessorSecondsMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewLongestRunningProcessorSecondsMetric(name string) workqueue.SettableGaugeMetric {
	return m.longest.WithLabelValues(name)
}

// NewRetriesMetric implements workqueue.MetricsProvider.
func (m *Metrics) NewRetriesMetric(name string) workqueue.CounterMetric {
	return m.retries.WithLabelValues(name)
}
