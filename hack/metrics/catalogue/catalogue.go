// Package catalogue knows every metric of ours, from the code that registers them,
// and prints docs/metrics.md.
package catalogue

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics"

	"github.com/ambient-code/ambient-kube/apiserver"
	"github.com/ambient-code/ambient-kube/certs/serving"
	"github.com/ambient-code/ambient-kube/reconciler"
	"github.com/ambient-code/ambient-kube/release"
)

// Prefix begins the name of every metric of ours.
const Prefix = "ambient_kube_"

// The programs that have metrics.
const (
	APIServer  = "ambient-kube-apiserver"
	Reconciler = "ambient-kube-reconciler"
)

// Metric is one metric of ours.
type Metric struct {
	Name, Help string
	// Type is counter, gauge or histogram, as Prometheus names it.
	Type   string
	Labels []string
	// Programs are those of our programs that have the metric.
	Programs []string
}

// All returns all metrics of ours, ordered by name.
func All() ([]Metric, error) {
	server := &stableRegistry{KubeRegistry: metrics.NewKubeRegistry()}
	if err := apiserver.RegisterMetrics(server); err != nil {
		return nil, fmt.Errorf("registering the metrics of the API server: %w", err)
	}
	projection := &plainRegistry{Registry: prometheus.NewRegistry()}
	if err := reconciler.RegisterMetrics(projection); err != nil {
		return nil, fmt.Errorf("registering the metrics of the reconciler: %w", err)
	}
	found := map[string]Metric{}
	for _, program := range []struct {
		name       string
		collectors []prometheus.Collector
	}{{APIServer, server.collectors}, {Reconciler, projection.collectors}} {
		for _, collector := range append(program.collectors, release.NewCollector(), serving.NewCollector(nil)) {
			described, err := describe(collector)
			if err != nil {
				return nil, err
			}
			for _, metric := range described {
				metric.Programs = append(found[metric.Name].Programs, program.name)
				found[metric.Name] = metric
			}
		}
	}
	var all []Metric
	for _, metric := range found {
		all = append(all, metric)
	}
	slices.SortFunc(all, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// stableRegistry remembers what is registered in the way of component-base.
type stableRegistry struct {
	metrics.KubeRegistry
	collectors []prometheus.Collector
}

// Register implements metrics.KubeRegistry.
func (r *stableRegistry) Register(metric metrics.Registerable) error {
	if err := r.KubeRegistry.Register(metric); err != nil {
		return fmt.Errorf("registering %s: %w", metric.FQName(), err)
	}
	r.collectors = append(r.collectors, metric)
	return nil
}

// CustomRegister implements metrics.KubeRegistry.
func (r *stableRegistry) CustomRegister(collector metrics.StableCollector) error {
	if err := r.KubeRegistry.CustomRegister(collector); err != nil {
		return fmt.Errorf("registering a collector: %w", err)
	}
	r.collectors = append(r.collectors, collector)
	return nil
}

// plainRegistry remembers what is registered in the way of Prometheus' library.
type plainRegistry struct {
	*prometheus.Registry
	collectors []prometheus.Collector
}

// MustRegister implements prometheus.Registerer.
func (r *plainRegistry) MustRegister(collectors ...prometheus.Collector) {
	r.Registry.MustRegister(collectors...)
	r.collectors = append(r.collectors, collectors...)
}

// described is what the library tells of a metric that has no value yet; it has no
// other way to ask for it.
var described = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), .*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// constant matches the names of labels that never change.
var constant = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)

func describe(collector prometheus.Collector) ([]Metric, error) {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		collector.Describe(descriptions)
	}()
	var all []Metric
	var failure error
	for description := range descriptions {
		metric, err := parse(description.String())
		if err != nil {
			failure = err
			continue
		}
		metric.Type = typeOf(collector, metric.Name)
		all = append(all, metric)
	}
	return all, failure
}

func parse(description string) (Metric, error) {
	parts := described.FindStringSubmatch(description)
	if parts == nil {
		return Metric{}, fmt.Errorf("cannot read what the library tells of a metric: %s", description)
	}
	var metric Metric
	var err error
	if metric.Name, err = strconv.Unquote(parts[1]); err != nil {
		return Metric{}, fmt.Errorf("reading a name in %s: %w", description, err)
	}
	help, err := strconv.Unquote(parts[2])
	if err != nil {
		return Metric{}, fmt.Errorf("reading the help of %s: %w", metric.Name, err)
	}
	metric.Help = WithoutStability(help)
	for _, label := range constant.FindAllStringSubmatch(parts[3], -1) {
		metric.Labels = append(metric.Labels, label[1])
	}
	if parts[4] != "" {
		metric.Labels = append(metric.Labels, strings.Split(parts[4], ",")...)
	}
	return metric, nil
}

// WithoutStability takes off what component-base puts before a metric's help.
func WithoutStability(help string) string { return strings.TrimPrefix(help, "[ALPHA] ") }

// typeOf returns the type of the metric, which tells itself by its name, unless it is
// a histogram. A test holds this against what the programs serve.
func typeOf(collector prometheus.Collector, name string) string {
	switch collector.(type) {
	case *metrics.HistogramVec, *metrics.Histogram, *prometheus.HistogramVec:
		return "histogram"
	}
	if strings.HasSuffix(name, "_total") {
		return "counter"
	}
	return "gauge"
}
