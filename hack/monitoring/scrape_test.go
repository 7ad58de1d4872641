package monitoring

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/util/teststorage"
)

// scrapesVariable names a folder with a folder for each program, which holds what
// Prometheus would have read of it at two moments: first.prom and second.prom.
const scrapesVariable = "AMBIENT_MONITORING_SCRAPES"

// between is how far the two moments are taken to lie apart.
const between = time.Minute

// now is the moment of the second scrape.
func now(t *testing.T) time.Time {
	t.Helper()
	info, err := os.Stat(scraped(t, "ambient-kube-apiserver", "second.prom"))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

func scraped(t *testing.T, program, name string) string {
	t.Helper()
	folder := os.Getenv(scrapesVariable)
	if folder == "" {
		t.Fatalf("%s is not set: these tests are run by go test ./hack/e2e/flow", scrapesVariable)
	}
	return filepath.Join(folder, program, name)
}

// real returns a storage with what our programs serve, with the labels that
// Prometheus gives it.
func real(t *testing.T) *teststorage.TestStorage {
	t.Helper()
	held := promqltest.LoadedStorage(t, "")
	for _, program := range []string{"ambient-kube-apiserver", "ambient-kube-reconciler"} {
		for _, scrape := range []struct {
			name   string
			moment time.Time
		}{{"first.prom", now(t).Add(-between)}, {"second.prom", now(t)}} {
			file, err := os.Open(scraped(t, program, scrape.name))
			if err != nil {
				t.Fatal(err)
			}
			textParser := expfmt.NewTextParser(model.UTF8Validation)
			families, err := textParser.TextToMetricFamilies(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			store(t, held, program, scrape.moment, families)
		}
	}
	return held
}

func store(t *testing.T, held *teststorage.TestStorage, program string, moment time.Time, families map[string]*dto.MetricFamily) {
	t.Helper()
	stamp := model.TimeFromUnixNano(moment.UnixNano())
	samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{Timestamp: stamp}, slices.Collect(maps.Values(families))...)
	if err != nil {
		t.Fatal(err)
	}
	appender := held.Appender(t.Context())
	for _, sample := range samples {
		builder := labels.NewBuilder(labels.EmptyLabels())
		for name, value := range sample.Metric {
			builder.Set(string(name), string(value))
		}
		builder.Set("job", "ambient-system/"+program).Set("pod", program+"-0").Set("instance", program+"-0:1")
		if _, err := appender.Append(0, builder.Labels(), int64(stamp), float64(sample.Value)); err != nil {
			t.Fatalf("storing %s: %v", sample.Metric, err)
		}
	}
	if err := appender.Commit(); err != nil {
		t.Fatal(err)
	}
}

// query is a query of the dashboard.
type query struct{ panel, text string }

func queries(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile(manifests + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var all []query
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, query{panel.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")})
		}
	}
	return all
}

// ask requires that a query has a result now.
func ask(t *testing.T, held *teststorage.TestStorage, who, text string) {
	t.Helper()
	run, err := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery).NewInstantQuery(t.Context(), held, nil, text, now(t))
	if err != nil {
		t.Errorf("%s: %v", who, err)
		return
	}
	defer run.Close()
	if result, err := run.Exec(t.Context()).Vector(); err != nil || len(result) == 0 {
		t.Errorf("%s: %s has no result (%v)", who, text, err)
	}
}

func TestTheDashboardShowsSomething(t *testing.T) {
	held := real(t)
	all := queries(t)
	if len(all) < 20 {
		t.Errorf("there are only %d queries", len(all))
	}
	for _, query := range all {
		ask(t, held, query.panel, query.text)
	}
}

// TestNothingAlarmsWhileAllIsWell also finds rules that fail on real labels.
func TestNothingAlarmsWhileAllIsWell(t *testing.T) {
	e := newEvaluation(t, real(t))
	e.at(now(t))
	for name, rule := range e.alerts {
		for _, alert := range rule.ActiveAlerts() {
			t.Errorf("%s is active: %s", name, alert.Labels)
		}
	}
}

// TestWhatAlertsCountIsThereBeforeItHappens: a counter that appears with its first event
// has not increased by it.
func TestWhatAlertsCountIsThereBeforeItHappens(t *testing.T) {
	held := real(t)
	asked := 0
	for _, group := range groups(t).Groups {
		for _, rule := range group.Rules {
			for _, counter := range counted(t, rule.Expr) {
				asked++
				ask(t, held, rule.Alert, counter)
			}
		}
	}
	if asked == 0 {
		t.Error("no alert counts anything")
	}
}

// counted returns the selectors of the counters whose increase the expression asks for.
func counted(t *testing.T, text string) (selectors []string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok && call.Func.Name == "increase" {
			selectors = append(selectors, call.Args[0].(*parser.MatrixSelector).VectorSelector.String())
		}
		return nil
	})
	return selectors
}

// documented are the names of our metrics, as docs/metrics.md has them.
var documented = regexp.MustCompile("(?m)^\\| `(ambient_kube_[a-z0-9_]+)` \\| (\\w+) \\|")

// TestRulesAndDashboardAskForWhatThereIs holds every name in them against the
// documentation, which a test of the main module holds against the programs. What is
// not ours has to be in the scrapes.
func TestRulesAndDashboardAskForWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, match := range documented.FindAllStringSubmatch(string(text), -1) {
		if match[2] == "histogram" {
			known[match[1]+"_bucket"], known[match[1]+"_count"], known[match[1]+"_sum"] = true, true, true
		} else {
			known[match[1]] = true
		}
	}
	asked := map[string]string{}
	for _, group := range groups(t).Groups {
		for _, rule := range group.Rules {
			asked[rule.Alert+rule.Record] = rule.Expr
			known[rule.Record] = true
		}
	}
	for _, query := range queries(t) {
		asked[fmt.Sprintf("%s: %s", query.panel, query.text)] = query.text
	}
	for where, text := range asked {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, selectors := range parser.ExtractSelectors(expression) {
			for _, matcher := range selectors {
				if matcher.Name == model.MetricNameLabel && strings.HasPrefix(matcher.Value, "ambient_kube") && !known[matcher.Value] {
					t.Errorf("%s asks for %s, which nobody serves", where, matcher.Value)
				}
			}
		}
	}
}
