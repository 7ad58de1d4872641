package flow

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/metrics/catalogue"
	"github.com/ambient-code/ambient-kube/statuspage"
)

// exposed returns the text that Prometheus would read of each program.
func exposed(t *testing.T) map[string]string {
	t.Helper()
	server := stand.DoDirectly(t, stand.Administrator(t), harness.Request{Method: http.MethodGet, Path: "/metrics", Header: map[string]string{"Accept": "text/plain"}})
	if server.Code != http.StatusOK {
		t.Fatalf("the API server's metrics: %d %s", server.Code, server.Body)
	}
	reconciler, err := stand.ReconcilerMetrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{catalogue.APIServer: server.Body, catalogue.Reconciler: reconciler}
}

// scrape returns the metrics of each program.
func scrape(t *testing.T) map[string]map[string]*dto.MetricFamily {
	t.Helper()
	found := map[string]map[string]*dto.MetricFamily{}
	for program, text := range exposed(t) {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatalf("the metrics of %s: %v", program, err)
		}
		found[program] = families
	}
	return found
}

// TestRulesAndDashboardMeetRealMetrics gives module hack/monitoring, which has
// Prometheus's engine, what it would read before and after a session has run.
func TestRulesAndDashboardMeetRealMetrics(t *testing.T) {
	folder := t.TempDir()
	keep := func(name string) {
		t.Helper()
		for program, text := range exposed(t) {
			if err := os.MkdirAll(filepath.Join(folder, program), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(folder, program, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	keep("first.prom")
	running(t, stand.NewSession(t, stand.NewProject(t), "worker").Status.SessionID)
	keep("second.prom")
	harness.TestModule(t, "monitoring", []string{"AMBIENT_MONITORING_SCRAPES=" + folder},
		"TestAlertsFireInTime", "TestTheDashboardShowsSomething", "TestNothingAlarmsWhileAllIsWell", "TestWhatAlertsCountIsThereBeforeItHappens")
}

// TestMetricsAreThoseOfTheDocumentation holds what the programs serve against
// docs/metrics.md, which a unit test holds against the catalogue.
func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	all, err := catalogue.All()
	if err != nil {
		t.Fatal(err)
	}
	for program, families := range scrape(t) {
		documented := map[string]catalogue.Metric{}
		for _, metric := range all {
			if slices.Contains(metric.Programs, program) {
				documented[metric.Name] = metric
			}
		}
		shown := 0
		for name, family := range families {
			if !strings.HasPrefix(name, catalogue.Prefix) {
				continue
			}
			shown++
			metric, known := documented[name]
			if kind := strings.ToLower(family.GetType().String()); !known || metric.Type != kind || metric.Help != catalogue.WithoutStability(family.GetHelp()) {
				t.Errorf("%s serves %s, a %s (%s), documented is %+v", program, name, kind, family.GetHelp(), metric)
			}
			for _, sample := range family.GetMetric() {
				var labels []string
				for _, label := range sample.GetLabel() {
					labels = append(labels, label.GetName())
				}
				slices.Sort(labels)
				if want := slices.Sorted(slices.Values(metric.Labels)); !slices.Equal(labels, want) {
					t.Errorf("%s has the labels %v, documented are %v", name, labels, want)
				}
			}
		}
		if shown < 10 {
			t.Errorf("%s serves %d metrics of ours only", program, shown)
		}
	}
}

// TestMetricsTellOfTheJournal reads what moves with each change.
func TestMetricsTellOfTheJournal(t *testing.T) {
	projects := func() (revision, compact, events float64) {
		families := scrape(t)[catalogue.APIServer]
		value := func(name string) float64 {
			for _, sample := range families[catalogue.Prefix+name].GetMetric() {
				if labels := sample.GetLabel(); len(labels) == 0 || labels[0].GetValue() == "projects" {
					return sample.GetGauge().GetValue()
				}
			}
			t.Fatalf("%s is not served", name)
			return 0
		}
		if leads := value("apiserver_leader"); leads != 1 {
			t.Errorf("the only replica leads: %v", leads)
		}
		if epoch := value("journal_epoch"); epoch < 1e8 {
			t.Errorf("the epoch is %v", epoch)
		}
		return value("journal_revision"), value("journal_compact_revision"), value("journal_log_events")
	}
	before, _, _ := projects()
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: stand.Name(t)}); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the change shows", func() error {
		if revision, _, _ := projects(); revision <= before {
			return fmt.Errorf("the revision is %v", revision)
		}
		return nil
	})
	revision, compact, events := projects()
	if events < 1 {
		t.Errorf("after a change of revision %v, revision %v, compact revision %v, %v events", before, revision, compact, events)
	}
}

// TestOneScreenTellsHowItIs reads the status pages, which strangers may not.
func TestOneScreenTellsHowItIs(t *testing.T) {
	ask := harness.Request{Method: http.MethodGet, Path: statuspage.Path}
	server := stand.DoDirectly(t, stand.Administrator(t), ask)
	lines := strings.Join(strings.Fields(server.Body), " ")
	harness.Contains(t, lines, "ambient-kube-apiserver v0", "leads yes", "certificate (leaf) expires in", "authority published yes",
		"writes upstream, waiting 0", "projects live", "projectsettings live", "sessions live")
	if server.Code != http.StatusOK {
		t.Errorf("the API server's page: %d", server.Code)
	}
	if stranger := stand.DoDirectly(t, nil, ask); stranger.Code != http.StatusForbidden && stranger.Code != http.StatusUnauthorized || strings.Contains(stranger.Body, "leads") {
		t.Errorf("a stranger reads %d %s", stranger.Code, stranger.Body)
	}
	text, err := stand.AskReconciler(t.Context(), statuspage.Path)
	if err != nil {
		t.Fatal(err)
	}
	harness.Contains(t, strings.Join(strings.Fields(text), " "), "ambient-kube-reconciler v0", "leads yes", "removals that wait for a person, agenticsessions 0", "queue waiting oldest unsettled")
}
