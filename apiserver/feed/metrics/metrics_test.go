package metrics_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/component-base/metrics"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
	feedmetrics "github.com/ambient-code/ambient-kube/apiserver/feed/metrics"
)

// reporter is a feed that stands where it is told to.
type reporter struct {
	state  feed.State
	silent bool
}

func (r reporter) State() (feed.State, string) { return r.state, "" }
func (r reporter) Len() int                    { return 7 }
func (r reporter) Age() time.Duration {
	if r.silent {
		return math.MaxInt64
	}
	return 3 * time.Second
}
func (r reporter) CompleteSince() time.Time { return r.since() }
func (r reporter) LastEvent() time.Time     { return r.since() }
func (r reporter) since() time.Time {
	if r.silent {
		return time.Time{}
	}
	return time.Now().Add(-time.Minute)
}

func gather(t *testing.T, registry metrics.KubeRegistry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "ambient_kube_feed_")
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			switch {
			case metric.GetGauge() != nil:
				values[name] = metric.GetGauge().GetValue()
			case metric.GetCounter() != nil:
				values[name] = metric.GetCounter().GetValue()
			case metric.GetHistogram() != nil:
				values[name] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}

func TestEveryFeedReportsItsStateAndAges(t *testing.T) {
	recorder, registry := feedmetrics.New(), metrics.NewKubeRegistry()
	if err := recorder.Register(registry); err != nil {
		t.Fatal(err)
	}
	recorder.Track("sessions", reporter{state: feed.Degraded})
	recorder.Track("projects", reporter{state: feed.Connecting, silent: true})

	values := gather(t, registry)
	for _, counter := range []string{"events_total sessions", "echoes_total sessions", "reconnects_total sessions", "repairs_total sessions", "listings_total true sessions", "listings_total false projects"} {
		if value, found := values[counter]; !found || value != 0 {
			t.Errorf("%s is %v, there: %t", counter, value, found)
		}
	}
	for _, state := range feed.States {
		for kind, present := range map[string]feed.State{"sessions": feed.Degraded, "projects": feed.Connecting} {
			name := "state " + kind + " " + string(state)
			value, found := values[name]
			if !found || (value == 1) != (state == present) {
				t.Errorf("%s is %v", name, value)
			}
		}
	}
	for name, want := range map[string]float64{"rows sessions": 7, "answer_age_seconds sessions": 3, "complete_listing_age_seconds sessions": 60, "event_age_seconds sessions": 60} {
		if got := values[name]; math.Abs(got-want) > 1 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"answer_age_seconds", "complete_listing_age_seconds", "event_age_seconds"} {
		if _, found := values[name+" projects"]; found {
			t.Errorf("%s is shown of a feed that never had an answer", name)
		}
	}
}

func TestWhatAFeedDoesIsCounted(t *testing.T) {
	recorder, registry := feedmetrics.New(), metrics.NewKubeRegistry()
	if err := recorder.Register(registry); err != nil {
		t.Fatal(err)
	}
	recorder.Event("sessions")
	recorder.Event("sessions")
	recorder.Echo("sessions")
	recorder.Reconnect("sessions")
	recorder.Listing("sessions", 20*time.Millisecond, true, 3)
	recorder.Listing("sessions", 20*time.Millisecond, false, 0)
	recorder.Listing("projects", time.Second, true, 0)

	values := gather(t, registry)
	for name, want := range map[string]float64{
		"events_total sessions":             2,
		"echoes_total sessions":             1,
		"reconnects_total sessions":         1,
		"repairs_total sessions":            3,
		"listings_total true sessions":      1,
		"listings_total false sessions":     1,
		"listings_total true projects":      1,
		"listing_duration_seconds sessions": 2,
		"listing_duration_seconds projects": 1,
	} {
		if got, found := values[name]; !found || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestTheMetricsAreWellFormed(t *testing.T) {
	recorder, registry := feedmetrics.New(), metrics.NewKubeRegistry()
	if err := recorder.Register(registry); err != nil {
		t.Fatal(err)
	}
	recorder.Track("sessions", reporter{state: feed.Live})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}
