// Package statuspage tells a person in one screen how a program of ours is: who leads,
// what is known of the upstream and how old that is, what waits, and when certificates
// expire. It reads the metrics that the program serves anyway, and knows nothing of
// what is behind them.
package statuspage

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ambient-code/ambient-kube/release"
)

// Path is where the page is served.
const Path = "/status"

// Handler serves the page of a program as plain text. A family of metrics that the
// program does not have leaves out what it would tell.
func Handler(program string, gatherer prometheus.Gatherer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		gathered, err := gatherer.Gather()
		if err != nil {
			http.Error(w, fmt.Sprintf("gathering metrics: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, render(program, gathered, time.Now()))
	})
}

// page is what is being written, from the samples by the name of their family, which
// come in order.
type page struct {
	strings.Builder
	samples map[string][]*dto.Metric
}

func render(program string, gathered []*dto.MetricFamily, now time.Time) string {
	p := &page{samples: map[string][]*dto.Metric{}}
	for _, family := range gathered {
		p.samples[family.GetName()] = family.GetMetric()
	}
	fmt.Fprintf(p, "%s %s, %s\n", program, release.Version(), now.UTC().Format(time.RFC3339))
	p.section(nil, func(row func(...string)) {
		for _, name := range []string{"ambient_kube_apiserver_leader", "ambient_kube_reconciler_leader"} {
			for _, sample := range p.samples[name] {
				row("leads", yes(value(sample)))
			}
		}
		for _, sample := range p.samples["ambient_kube_journal_epoch"] {
			row("epoch of resource versions", number(value(sample)))
		}
		for _, sample := range p.samples["ambient_kube_certificate_expiration_timestamp_seconds"] {
			expires := time.Unix(int64(value(sample)), 0)
			row("certificate ("+label(sample, "certificate")+") expires", fmt.Sprintf("in %s, %s", age(expires.Sub(now).Seconds()), expires.UTC().Format(time.RFC3339)))
		}
		for _, sample := range p.samples["ambient_kube_certificate_authority_published"] {
			row("authority published", yes(value(sample)))
		}
		for _, sample := range p.samples["ambient_kube_upstream_writes"] {
			row("writes upstream, "+strings.ReplaceAll(label(sample, "state"), "_", " "), number(value(sample)))
		}
		for _, sample := range p.samples["ambient_kube_repairs_total"] {
			row("rows repaired, "+label(sample, "action"), number(value(sample)))
		}
		for _, sample := range p.samples["ambient_kube_reconciler_removals_held"] {
			row("removals that wait for a person, "+label(sample, "kind"), number(value(sample)))
		}
		for _, sample := range p.samples["ambient_kube_reconciler_foreign_projects"] {
			row("projects of other clusters", number(value(sample)))
		}
	})
	p.section([]string{"feed", "state", "rows", "last answer", "complete listing", "last event", "told by listings", "reconnects"}, func(row func(...string)) {
		const feed = "ambient_kube_feed_"
		for _, sample := range p.samples[feed+"rows"] {
			kind := label(sample, "kind")
			row(kind, p.state(kind), p.cell(feed+"rows", kind, number), p.cell(feed+"answer_age_seconds", kind, ago), p.cell(feed+"complete_listing_age_seconds", kind, ago),
				p.cell(feed+"event_age_seconds", kind, ago), p.cell(feed+"repairs_total", kind, number), p.cell(feed+"reconnects_total", kind, number))
		}
	})
	p.section([]string{"queue", "waiting", "oldest unsettled", "longest pass under way", "repeated"}, func(row func(...string)) {
		const queue = "ambient_kube_reconciler_queue_"
		for _, sample := range p.samples[queue+"depth"] {
			name := label(sample, "queue")
			row(name, p.cell(queue+"depth", name, number), p.cell(queue+"oldest_unsettled_seconds", name, age),
				p.cell(queue+"longest_running_seconds", name, age), p.cell(queue+"retries_total", name, number))
		}
	})
	return p.String()
}

// section writes a table, below its head if it has one, if it has any rows.
func (p *page) section(head []string, fill func(row func(...string))) {
	var body strings.Builder
	table := tabwriter.NewWriter(&body, 0, 0, 3, ' ', 0)
	line := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) }
	if head != nil {
		line(head...)
	}
	rows := 0
	fill(func(cells ...string) {
		rows++
		line(cells...)
	})
	if rows == 0 {
		return
	}
	// A strings.Builder takes everything.
	_ = table.Flush()
	fmt.Fprintf(p, "\n%s", body.String())
}

// cell shows the sample of a family whose first label has the value; - if there is
// none.
func (p *page) cell(family, first string, show func(float64) string) string {
	for _, sample := range p.samples[family] {
		if len(sample.GetLabel()) > 0 && sample.GetLabel()[0].GetValue() == first {
			return show(value(sample))
		}
	}
	return "-"
}

// state is the state in which the feed of the kind is.
func (p *page) state(kind string) string {
	for _, sample := range p.samples["ambient_kube_feed_state"] {
		if label(sample, "kind") == kind && value(sample) == 1 {
			return label(sample, "state")
		}
	}
	return "-"
}

func label(sample *dto.Metric, name string) string {
	for _, pair := range sample.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// value is that of a gauge or a counter.
func value(sample *dto.Metric) float64 {
	if sample.GetCounter() != nil {
		return sample.GetCounter().GetValue()
	}
	return sample.GetGauge().GetValue()
}

func yes(value float64) string {
	if value == 1 {
		return "yes"
	}
	return "no"
}

func number(value float64) string { return fmt.Sprintf("%.0f", value) }

// age shows a number of seconds: days of what is long, tenths of what is short.
func age(seconds float64) string {
	duration := time.Duration(seconds * float64(time.Second))
	switch {
	case duration >= 48*time.Hour:
		return fmt.Sprintf("%d days", duration/(24*time.Hour))
	case duration >= time.Minute:
		return duration.Round(time.Second).String()
	default:
		return duration.Round(100 * time.Millisecond).String()
	}
}

func ago(seconds float64) string { return age(seconds) + " ago" }
