package catalogue_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/metrics/catalogue"
)

func TestTheDocumentationIsCurrent(t *testing.T) {
	all, err := catalogue.All()
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != catalogue.Markdown(all) {
		t.Error("docs/metrics.md is not what make generate writes")
	}
}

func TestEveryMetricOfOursIsKnown(t *testing.T) {
	all, err := catalogue.All()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]catalogue.Metric{}
	for _, metric := range all {
		byName[metric.Name] = metric
		if !strings.HasPrefix(metric.Name, catalogue.Prefix) || metric.Help == "" {
			t.Errorf("%+v has another prefix, or no help", metric)
		}
	}
	// One of each way in which metrics are registered.
	for name, want := range map[string]catalogue.Metric{
		"feed_echoes_total":                         {Type: "counter", Labels: []string{"kind"}, Programs: []string{catalogue.APIServer}},
		"feed_state":                                {Type: "gauge", Labels: []string{"kind", "state"}, Programs: []string{catalogue.APIServer}},
		"journal_revision":                          {Type: "gauge", Labels: []string{"kind"}, Programs: []string{catalogue.APIServer}},
		"upstream_request_duration_seconds":         {Type: "histogram", Labels: []string{"method", "code"}, Programs: []string{catalogue.APIServer}},
		"reconciler_queue_work_seconds":             {Type: "histogram", Labels: []string{"queue"}, Programs: []string{catalogue.Reconciler}},
		"reconciler_queue_oldest_unsettled_seconds": {Type: "gauge", Labels: []string{"queue"}, Programs: []string{catalogue.Reconciler}},
		"build_info":                                {Type: "gauge", Labels: []string{"go_version", "version"}, Programs: []string{catalogue.APIServer, catalogue.Reconciler}},
		"reconciler_admission_reviews_total":        {Type: "counter", Labels: []string{"webhook", "answer"}, Programs: []string{catalogue.Reconciler}},
	} {
		got := byName[catalogue.Prefix+name]
		if got.Type != want.Type || strings.Join(got.Labels, " ") != strings.Join(want.Labels, " ") || strings.Join(got.Programs, " ") != strings.Join(want.Programs, " ") {
			t.Errorf("%s is %+v, want %+v", name, got, want)
		}
	}
}
