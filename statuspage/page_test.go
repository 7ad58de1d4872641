package statuspage

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gauges registers a family with a value for each value of its labels, which stand
// behind each other.
func gauges(registry *prometheus.Registry, name string, labels []string, values map[string]float64) {
	vector := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: name}, labels)
	registry.MustRegister(vector)
	for key, value := range values {
		var of []string
		if len(labels) > 0 {
			of = strings.Split(key, " ")
		}
		vector.WithLabelValues(of...).Set(value)
	}
}

func rendered(t *testing.T, registry *prometheus.Registry, now time.Time) string {
	t.Helper()
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(render("program", gathered, now), "\n")
	return text
}

func TestTheAPIServersPage(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	registry := prometheus.NewRegistry()
	gauges(registry, "ambient_kube_apiserver_leader", nil, map[string]float64{"": 1})
	gauges(registry, "ambient_kube_certificate_expiration_timestamp_seconds", []string{"certificate"}, map[string]float64{"leaf": float64(now.Add(100 * time.Hour).Unix())})
	gauges(registry, "ambient_kube_certificate_authority_published", nil, map[string]float64{"": 0})
	gauges(registry, "ambient_kube_upstream_writes", []string{"state"}, map[string]float64{"in_flight": 3})
	gauges(registry, "ambient_kube_feed_rows", []string{"kind"}, map[string]float64{"sessions": 1234567, "projects": 2})
	gauges(registry, "ambient_kube_feed_state", []string{"kind", "state"}, map[string]float64{"sessions live": 0, "sessions degraded": 1, "projects live": 1})
	gauges(registry, "ambient_kube_feed_answer_age_seconds", []string{"kind"}, map[string]float64{"sessions": 0.26, "projects": 4000})
	repairs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ambient_kube_repairs_total", Help: "x"}, []string{"action"})
	registry.MustRegister(repairs)
	repairs.WithLabelValues("left").Add(7)

	const want = `
leads                        yes
certificate (leaf) expires   in 4 days, 2026-11-27T16:00:00Z
authority published          no
writes upstream, in flight   3
rows repaired, left          7

feed       state      rows      last answer   complete listing   last event   told by listings   reconnects
projects   live       2         1h6m40s ago   -                  -            -                  -
sessions   degraded   1234567   300ms ago     -                  -            -                  -
`
	if got := rendered(t, registry, now); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTheReconcilersPage(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauges(registry, "ambient_kube_reconciler_leader", nil, map[string]float64{"": 0})
	gauges(registry, "ambient_kube_reconciler_removals_held", []string{"kind"}, map[string]float64{"namespaces": 2})
	gauges(registry, "ambient_kube_reconciler_queue_depth", []string{"queue"}, map[string]float64{"sessions": 5})
	gauges(registry, "ambient_kube_reconciler_queue_oldest_unsettled_seconds", []string{"queue"}, map[string]float64{"sessions": 61})

	const want = `
leads                                         no
removals that wait for a person, namespaces   2

queue      waiting   oldest unsettled   longest pass under way   repeated
sessions   5         1m1s               -                        -
`
	if got := rendered(t, registry, time.Now()); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestWhatCannotBeGatheredIsSaid(t *testing.T) {
	failing := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return nil, errors.New("broken") })
	answer := httptest.NewRecorder()
	Handler("program", failing).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, Path, nil))
	if answer.Code != http.StatusInternalServerError || !strings.Contains(answer.Body.String(), "broken") {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
