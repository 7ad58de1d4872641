// Package metrics shows what feeds do and where they stand as Prometheus
// metrics. It owns their names and labels, and knows nothing of rows.
package metrics

import (
	"math"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
)

const prefix = "ambient_kube_feed_"

// Reporter tells where one feed stands; *feed.Feed is one.
type Reporter interface {
	// State names where the feed stands.
	State() (feed.State, string)
	// Age is the time since the upstream last answered.
	Age() time.Duration
	// CompleteSince is when the last complete listing began; zero before.
	CompleteSince() time.Time
	// LastEvent is when the watch last told something; zero before.
	LastEvent() time.Time
	// Len is the number of rows.
	Len() int
}

// Recorder counts what feeds do, and reports on the feeds that it was told of.
type Recorder struct {
	metrics.BaseStableCollector

	events, echoes, reconnects, listings, repairs *metrics.CounterVec
	listingDuration                               *metrics.HistogramVec

	mu    sync.Mutex
	feeds map[string]Reporter
}

var _ feed.Metrics = &Recorder{}

var (
	stateDesc = metrics.NewDesc(prefix+"state", "1 for the state in which the feed of the kind is, 0 for the others.",
		[]string{"kind", "state"}, nil, metrics.ALPHA, "")
	rowsDesc = metrics.NewDesc(prefix+"rows", "Number of rows of the upstream that are held.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	answerAgeDesc = metrics.NewDesc(prefix+"answer_age_seconds", "Time since the upstream last answered a call of the kind, in seconds; absent before the first answer.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	listingAgeDesc = metrics.NewDesc(prefix+"complete_listing_age_seconds", "Time since the last complete listing of the kind began, in seconds; absent before the first.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
	eventAgeDesc = metrics.NewDesc(prefix+"event_age_seconds", "Time since the last event of the kind's watch, in seconds; absent before the first.",
		[]string{"kind"}, nil, metrics.ALPHA, "")
)

// New makes a recorder that no registry knows yet.
func New() *Recorder {
	counter := func(name, help string, labels ...string) *metrics.CounterVec {
		return metrics.NewCounterVec(&metrics.CounterOpts{Name: prefix + name, Help: help, StabilityLevel: metrics.ALPHA}, labels)
	}
	return &Recorder{
		events:     counter("events_total", "Number of events of the upstream's watch.", "kind"),
		echoes:     counter("echoes_total", "Number of events of the upstream's watch that told nothing new.", "kind"),
		reconnects: counter("reconnects_total", "Number of watch streams that ended or could not be opened.", "kind"),
		listings:   counter("listings_total", "Number of listings of all rows, by whether they were complete.", "kind", "complete"),
		repairs:    counter("repairs_total", "Number of changes that a listing told before the watch did.", "kind"),
		listingDuration: metrics.NewHistogramVec(&metrics.HistogramOpts{
			Name: prefix + "listing_duration_seconds", Help: "Duration of one listing of all rows in seconds.",
			Buckets:        []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			StabilityLevel: metrics.ALPHA,
		}, []string{"kind"}),
		feeds: map[string]Reporter{},
	}
}

// Registry is where metrics are registered; legacyregistry has its functions.
type Registry interface {
	Register(metrics.Registerable) error
	CustomRegister(metrics.StableCollector) error
}

// Register adds the metrics to a registry, or to the one that /metrics shows if
// it is nil.
func (r *Recorder) Register(registry Registry) error {
	register, custom := legacyregistry.Register, legacyregistry.CustomRegister
	if registry != nil {
		register, custom = registry.Register, registry.CustomRegister
	}
	for _, metric := range []metrics.Registerable{r.events, r.echoes, r.reconnects, r.listings, r.repairs, r.listingDuration} {
		if err := register(metric); err != nil {
			return err
		}
	}
	return custom(r)
}

// Track reports on the feed of the kind from now on. If the metrics are registered, its
// counters are there before there is anything to count: what appears with its first
// event has no rate.
func (r *Recorder) Track(kind string, reporter Reporter) {
	for _, counter := range []*metrics.CounterVec{r.events, r.echoes, r.reconnects, r.repairs} {
		counter.WithLabelValues(kind)
	}
	for _, complete := range []string{"true", "false"} {
		r.listings.WithLabelValues(kind, complete)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.feeds[kind] = reporter
}

// Event counts an event of the upstream's watch.
func (r *Recorder) Event(kind string) { r.events.WithLabelValues(kind).Inc() }

// Echo counts an event that told nothing new.
func (r *Recorder) Echo(kind string) { r.echoes.WithLabelValues(kind).Inc() }

// Reconnect counts the end of a stream.
func (r *Recorder) Reconnect(kind string) { r.reconnects.WithLabelValues(kind).Inc() }

// Listing reports one listing of all pages.
func (r *Recorder) Listing(kind string, took time.Duration, complete bool, repairs int) {
	label := "false"
	if complete {
		label = "true"
	}
	r.listings.WithLabelValues(kind, label).Inc()
	r.repairs.WithLabelValues(kind).Add(float64(repairs))
	r.listingDuration.WithLabelValues(kind).Observe(took.Seconds())
}

// DescribeWithStability names the metrics that are asked for at each scrape.
func (r *Recorder) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, desc := range []*metrics.Desc{stateDesc, rowsDesc, answerAgeDesc, listingAgeDesc, eventAgeDesc} {
		ch <- desc
	}
}

// CollectWithStability asks each feed where it stands.
func (r *Recorder) CollectWithStability(ch chan<- metrics.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kind, reporter := range r.feeds {
		gauge := func(desc *metrics.Desc, value float64, labels ...string) {
			ch <- metrics.NewLazyConstMetric(desc, metrics.GaugeValue, value, append([]string{kind}, labels...)...)
		}
		present, _ := reporter.State()
		for _, state := range feed.States {
			value := 0.0
			if state == present {
				value = 1
			}
			gauge(stateDesc, value, string(state))
		}
		gauge(rowsDesc, float64(reporter.Len()))
		if age := reporter.Age(); age != math.MaxInt64 {
			gauge(answerAgeDesc, age.Seconds())
		}
		if began := reporter.CompleteSince(); !began.IsZero() {
			gauge(listingAgeDesc, time.Since(began).Seconds())
		}
		if last := reporter.LastEvent(); !last.IsZero() {
			gauge(eventAgeDesc, time.Since(last).Seconds())
		}
	}
}
