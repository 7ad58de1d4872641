package monitoring

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/util/teststorage"
	"sigs.k8s.io/yaml"
)

const (
	manifests  = "../../manifests/components/monitoring/"
	operations = "../../docs/operations.md"
	// every is the time between two evaluations in a test.
	every = 30 * time.Second
)

// groups reads the rules as Prometheus does.
func groups(t *testing.T) *rulefmt.RuleGroups {
	t.Helper()
	text, err := os.ReadFile(manifests + "rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	parsed, errs := rulefmt.Parse(spec, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return parsed
}

// evaluation evaluates all rules against a storage.
type evaluation struct {
	t      *testing.T
	groups []*rules.Group
	alerts map[string]*rules.AlertingRule
}

func newEvaluation(t *testing.T, held *teststorage.TestStorage) *evaluation {
	t.Helper()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	options := &rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, held), AppendableV2: held, Queryable: held, Context: t.Context(),
		NotifyFunc: func(_ context.Context, _ string, _ ...*rules.Alert) {}, Logger: slog.New(slog.DiscardHandler),
	}
	e := &evaluation{t: t, alerts: map[string]*rules.AlertingRule{}}
	for _, group := range groups(t).Groups {
		var all []rules.Rule
		for _, rule := range group.Rules {
			expression, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
			if err != nil {
				t.Fatal(err)
			}
			if rule.Record != "" {
				all = append(all, rules.NewRecordingRule(rule.Record, expression, labels.FromMap(rule.Labels)))
				continue
			}
			alert := rules.NewAlertingRule(rule.Alert, expression, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
				labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, options.Logger)
			e.alerts[rule.Alert] = alert
			all = append(all, alert)
		}
		e.groups = append(e.groups, rules.NewGroup(rules.GroupOptions{Name: group.Name, Interval: every, Rules: all, Opts: options}))
	}
	return e
}

// at evaluates everything for one moment.
func (e *evaluation) at(moment time.Time) {
	e.t.Helper()
	for _, group := range e.groups {
		group.Eval(e.t.Context(), moment)
		for _, rule := range group.Rules() {
			if err := rule.LastError(); err != nil {
				e.t.Fatalf("rule %s: %v", rule.Name(), err)
			}
		}
	}
}

// firing returns the alerts of a rule that fire.
func (e *evaluation) firing(name string) []*rules.Alert {
	e.t.Helper()
	rule, found := e.alerts[name]
	if !found {
		e.t.Fatalf("there is no alert %s", name)
	}
	return slices.DeleteFunc(rule.ActiveAlerts(), func(alert *rules.Alert) bool { return alert.State != rules.StateFiring })
}

// scenario is a course of events and what alerts make of it.
type scenario struct {
	// Alert is the name of the alert that is to fire; other alerts may.
	Alert string `json:"alert"`
	// Series are values of series, one for every 30 s, in the notation of promtool.
	Series map[string]string `json:"series"`
	// Silent is until when the alert does not fire. If Fires is empty, it never does.
	Silent string `json:"silent"`
	// Fires is when it fires, with Summary as its annotation.
	Fires   string `json:"fires"`
	Summary string `json:"summary"`
}

func scenarios(t *testing.T) []scenario {
	t.Helper()
	text, err := os.ReadFile("scenarios.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	if err := yaml.UnmarshalStrict(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	parsed, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestAlertsFireInTime(t *testing.T) {
	for i, s := range scenarios(t) {
		t.Run(fmt.Sprintf("%d_%s", i, s.Alert), func(t *testing.T) {
			load := "load 30s\n"
			for series, values := range s.Series {
				load += "  " + series + " " + values + "\n"
			}
			e := newEvaluation(t, promqltest.LoadedStorage(t, load))
			silent := duration(t, s.Silent)
			end := silent
			if s.Fires != "" {
				end = duration(t, s.Fires)
			}
			for now := time.Duration(0); now <= end; now += every {
				e.at(time.Unix(0, 0).Add(now))
				if alerts := e.firing(s.Alert); now <= silent && len(alerts) > 0 {
					t.Fatalf("fires after %s: %v", now, alerts[0].Labels)
				}
			}
			if s.Fires == "" {
				return
			}
			alerts := e.firing(s.Alert)
			if len(alerts) != 1 {
				t.Fatalf("%d fire after %s, want one", len(alerts), end)
			}
			if summary := alerts[0].Annotations.Get("summary"); summary != s.Summary {
				t.Errorf("the summary is %q, want %q", summary, s.Summary)
			}
			alerts[0].Annotations.Range(func(annotation labels.Label) {
				if strings.Contains(annotation.Value, "error expanding") || strings.Contains(annotation.Value, "<no value>") {
					t.Errorf("%s is %q", annotation.Name, annotation.Value)
				}
			})
		})
	}
}

func TestEveryAlertIsTriedAndExplained(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, s := range scenarios(t) {
		fires[s.Alert] = fires[s.Alert] || s.Fires != ""
		silent[s.Alert] = silent[s.Alert] || s.Fires == ""
	}
	text, err := os.ReadFile(operations)
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, group := range groups(t).Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			alerts++
			if !fires[rule.Alert] || !silent[rule.Alert] {
				t.Errorf("%s: it has a scenario in which it fires: %t, one in which it does not: %t", rule.Alert, fires[rule.Alert], silent[rule.Alert])
			}
			if !strings.Contains(string(text), "\n### "+rule.Alert+"\n") || !strings.HasSuffix(rule.Annotations["runbook_url"], "/docs/operations.md#"+strings.ToLower(rule.Alert)) {
				t.Errorf("%s has no part of its own in %s, or does not point there: %s", rule.Alert, operations, rule.Annotations["runbook_url"])
			}
		}
	}
	if alerts == 0 {
		t.Error("there are no alerts")
	}
}
