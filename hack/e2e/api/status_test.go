package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const reporter = "ambient-kube-reconciler"

// report is a full status as the reconciler applies it.
func (o target) report(reason string) string {
	status := condition("Projected", reason) + `,"observedGeneration":1`
	if o.kind == "Session" {
		status += `,"phase":"Running","startTime":"2026-01-02T03:04:05Z","agenticSession":{"namespace":"somewhere","uid":"1234"}`
	}
	return status
}

// written returns when the rows behind the object were last written.
func (o target) written(t *testing.T) string {
	t.Helper()
	current := o.get(t)
	if o.kind == "Session" {
		return stand.Upstream.Session(t, current.Metadata.Labels["ambient.io/session-id"]).GetMetadata().GetUpdatedAt().AsTime().String()
	}
	project := current.Metadata.Namespace
	if o.kind == "Project" {
		project = current.Metadata.Name
		return stand.Upstream.Project(t, project).GetMetadata().GetUpdatedAt().AsTime().String()
	}
	return stand.Upstream.Project(t, project).GetMetadata().GetUpdatedAt().AsTime().String() +
		stand.Upstream.SettingsOf(t, project).GetMetadata().GetUpdatedAt().AsTime().String()
}

func TestDecision9ASecondIdenticalStatusIsNoWrite(t *testing.T) {
	t.Parallel()
	all := targets(t)
	for _, o := range all {
		if answer := o.apply(t, "pipeline", fmt.Sprintf("%q:%s", o.field, o.values[0]), ""); answer.Code != 201 && answer.Code != 200 {
			t.Fatalf("%s: %d %s", o.kind, answer.Code, answer.Body)
		}
	}
	// One after the other: the settings' status is written to the project's row.
	for _, o := range all {
		t.Run(o.kind, func(t *testing.T) {
			first := decode(t, o.applyStatus(t, reporter, o.report("AsAsked"), "&force=true"))
			if !hasCondition(first, "Projected", "AsAsked") {
				t.Fatalf("the conditions are %+v", first.Status.Conditions)
			}
			before := o.written(t)
			second := decode(t, o.applyStatus(t, reporter, o.report("AsAsked"), "&force=true"))
			if second.Metadata.ResourceVersion != first.Metadata.ResourceVersion {
				t.Errorf("the resourceVersion was %s and is %s", first.Metadata.ResourceVersion, second.Metadata.ResourceVersion)
			}
			if after := o.written(t); after != before {
				t.Errorf("the rows were written at %s; before, the last time was %s", after, before)
			}
			third := decode(t, o.applyStatus(t, reporter, o.report("Otherwise"), "&force=true"))
			if !hasCondition(third, "Projected", "Otherwise") || third.Metadata.ResourceVersion == first.Metadata.ResourceVersion {
				t.Errorf("another status: %+v", third)
			}
			if string(third.Spec[o.field]) != o.values[0] || third.Metadata.Generation != first.Metadata.Generation {
				t.Errorf("a status changed the spec: %s, generation %d", third.Spec[o.field], third.Metadata.Generation)
			}
		})
	}
}

func hasCondition(o object, kind, reason string) bool {
	for _, condition := range o.Status.Conditions {
		if condition.Type == kind && condition.Reason == reason {
			return true
		}
	}
	return false
}

// A condition that is no longer applied goes; the ones of our server stay.
func TestAStatusIsAppliedAsAWhole(t *testing.T) {
	t.Parallel()
	o := targets(t)[0]
	o.apply(t, "pipeline", `"prompt":"a"`, "")
	two := `"conditions":[{"type":"Projected","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-02T03:04:05Z"},` +
		`{"type":"Synced","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-02T03:04:05Z"}],"phase":"Running"`
	decode(t, o.applyStatus(t, reporter, two, "&force=true"))
	left := decode(t, o.applyStatus(t, reporter, condition("Synced", "R")+`,"phase":"Running"`, "&force=true"))
	if hasCondition(left, "Projected", "R") || !hasCondition(left, "Synced", "R") || left.Status.Phase != "Running" {
		t.Errorf("the status is %+v", left.Status)
	}
	if ready := left.Status.Conditions; !strings.Contains(fmt.Sprint(ready), "Ready") {
		t.Errorf("our server's own condition is gone: %+v", ready)
	}
}

// Neither path changes what belongs to the other.
func TestSpecAndStatusAreApart(t *testing.T) {
	t.Parallel()
	for _, o := range targets(t) {
		t.Run(o.kind, func(t *testing.T) {
			t.Parallel()
			o.apply(t, "pipeline", fmt.Sprintf("%q:%s", o.field, o.values[0]), "")
			decode(t, o.applyStatus(t, reporter, o.report("AsAsked"), "&force=true"))
			patch := func(suffix, body string) object {
				return decode(t, stand.Do(t, harness.Request{Method: "PATCH", Path: o.path + suffix, ContentType: "application/merge-patch+json", Body: body}))
			}
			if got := patch("", `{"status":{"conditions":null,"observedGeneration":7}}`); !hasCondition(got, "Projected", "AsAsked") {
				t.Errorf("a patch of the object changed the status: %+v", got.Status)
			}
			body := fmt.Sprintf(`{"metadata":{"labels":{"sneaked":"in"}},"spec":{%q:%s}}`, o.field, o.values[1])
			if got := patch("/status", body); string(got.Spec[o.field]) != o.values[0] || got.Metadata.Labels["sneaked"] != "" {
				t.Errorf("a patch of the status changed the rest: %s %v", got.Spec[o.field], got.Metadata.Labels)
			}
		})
	}
}

// Server-side apply, labels, annotations, names and conditions survive a restart
// of our server, which keeps nothing: all of it has its place upstream.
func TestMetadataSurvivesARestartOfOurServer(t *testing.T) {
	all := targets(t)
	for _, o := range all {
		value := func(i int) string { return fmt.Sprintf("%q:%s", o.field, o.values[i]) }
		for _, answer := range []harness.Answer{
			o.apply(t, "first", value(0), ""),
			o.apply(t, "second", value(1), "&force=true"),
			o.applyStatus(t, reporter, o.report("AsAsked"), "&force=true"),
			stand.Do(t, harness.Request{Method: "PATCH", Path: o.path, ContentType: "application/merge-patch+json", Body: `{"metadata":{"finalizers":["example.com/hold"]}}`}),
		} {
			if answer.Code/100 != 2 {
				t.Fatalf("%s: %d %s", o.kind, answer.Code, answer.Body)
			}
		}
	}
	snapshot := func(o target) string {
		seen := o.get(t)
		seen.Metadata.ResourceVersion = ""
		text, err := json.MarshalIndent(seen, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := map[string]string{}
	for _, o := range all {
		before[o.kind] = snapshot(o)
		harness.Contains(t, before[o.kind], `"second"`, `"applied": "yes"`, `"note": "kept"`, "AsAsked", "example.com/hold")
	}
	restartExtension(t)
	for _, o := range all {
		if after := snapshot(o); after != before[o.kind] {
			t.Errorf("%s before:\n%s\nafter:\n%s", o.kind, before[o.kind], after)
		}
		conflict := o.apply(t, "third", fmt.Sprintf("%q:%s", o.field, o.values[2]), "")
		if conflict.Code != 409 || conflict.Status.Reason != metav1.StatusReasonConflict || !strings.Contains(conflict.Status.Message, `"second"`) {
			t.Errorf("%s: another manager's apply after the restart: %d %s", o.kind, conflict.Code, conflict.Body)
		}
		version := o.get(t).Metadata.ResourceVersion
		again := decode(t, o.applyStatus(t, reporter, o.report("AsAsked"), "&force=true"))
		if again.Metadata.ResourceVersion != version {
			t.Errorf("%s: the same status after the restart is a write", o.kind)
		}
	}
}

// restartExtension kills our server and starts it again.
func restartExtension(t *testing.T) {
	t.Helper()
	if err := stand.Stack.Extension.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := stand.Stack.Extension.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
