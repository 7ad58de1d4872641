package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// object is what all kinds have in common on the wire.
type object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        metav1.ObjectMeta          `json:"metadata"`
	Spec            map[string]json.RawMessage `json:"spec"`
	Status          struct {
		Conditions []metav1.Condition `json:"conditions"`
		Phase      string             `json:"phase"`
	} `json:"status"`
}

// target is an object that is applied to.
type target struct {
	kind, path string
	// field is a spec field with a list of values that can be written as JSON.
	field  string
	values [3]string
}

// targets are one object of each kind in a fresh project.
func targets(t *testing.T) []target {
	t.Helper()
	project := newProject(t)
	path := "/apis/ambient.io/v1alpha1/namespaces/" + project
	repository := func(url string) string { return `[{"url":"https://example.com/` + url + `"}]` }
	return []target{
		{"Session", path + "/sessions/applied", "prompt", [3]string{`"a"`, `"b"`, `"c"`}},
		{"Project", "/apis/ambient.io/v1alpha1/projects/" + project, "description", [3]string{`"a"`, `"b"`, `"c"`}},
		{"ProjectSettings", path + "/projectsettings/settings", "repositories", [3]string{repository("a"), repository("b"), repository("c")}},
	}
}

func (o target) manifest(spec string) string {
	name := o.path[strings.LastIndexByte(o.path, '/')+1:]
	return fmt.Sprintf(`{"apiVersion":"ambient.io/v1alpha1","kind":%q,"metadata":{"name":%q,"labels":{"applied":"yes"},"annotations":{"note":"kept"}},"spec":{%s}}`, o.kind, name, spec)
}

// apply applies by server-side apply.
func (o target) apply(t *testing.T, manager, spec, query string) harness.Answer {
	t.Helper()
	return stand.Do(t, harness.Request{
		Method: "PATCH", Path: o.path + "?fieldManager=" + manager + query, ContentType: "application/apply-patch+yaml", Body: o.manifest(spec),
	})
}

func (o target) applyStatus(t *testing.T, manager, status, query string) harness.Answer {
	t.Helper()
	name := o.path[strings.LastIndexByte(o.path, '/')+1:]
	return stand.Do(t, harness.Request{
		Method: "PATCH", Path: o.path + "/status?fieldManager=" + manager + query, ContentType: "application/apply-patch+yaml",
		Body: fmt.Sprintf(`{"apiVersion":"ambient.io/v1alpha1","kind":%q,"metadata":{"name":%q},"status":{%s}}`, o.kind, name, status),
	})
}

func (o target) get(t *testing.T) object {
	t.Helper()
	return decode(t, stand.Do(t, harness.Request{Method: "GET", Path: o.path}))
}

func decode(t *testing.T, answer harness.Answer) object {
	t.Helper()
	var decoded object
	if answer.Code/100 != 2 {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	if err := json.Unmarshal([]byte(answer.Body), &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// owners returns the managers of a spec field.
func (o object) owners(field string) []string {
	var managers []string
	for _, entry := range o.Metadata.ManagedFields {
		if entry.FieldsV1 != nil && strings.Contains(string(entry.FieldsV1.Raw), `"f:`+field+`"`) {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

func condition(kind, reason string) string {
	return fmt.Sprintf(`"conditions":[{"type":%q,"status":"True","reason":%q,"message":"seen","lastTransitionTime":"2026-01-02T03:04:05Z"}]`, kind, reason)
}

func TestServerSideApply(t *testing.T) {
	t.Parallel()
	for _, o := range targets(t) {
		t.Run(o.kind, func(t *testing.T) {
			t.Parallel()
			value := func(i int) string { return fmt.Sprintf("%q:%s", o.field, o.values[i]) }
			if answer := o.apply(t, "first", value(0), ""); answer.Code/100 != 2 {
				t.Fatalf("first apply: %d %s", answer.Code, answer.Body)
			}
			if owners := o.get(t).owners(o.field); fmt.Sprint(owners) != "[first]" {
				t.Errorf("%s is owned by %v", o.field, owners)
			}

			conflict := o.apply(t, "second", value(1), "")
			if conflict.Code != 409 || conflict.Status.Reason != metav1.StatusReasonConflict || !strings.Contains(conflict.Status.Message, `"first"`) {
				t.Errorf("another manager's apply: %d %s", conflict.Code, conflict.Body)
			}
			if causes := conflict.Causes(); len(causes) != 1 || causes[0] != ".spec."+o.field {
				t.Errorf("the conflict names the fields %q", causes)
			}
			if got := string(o.get(t).Spec[o.field]); got != o.values[0] {
				t.Errorf("after the conflict %s is %s", o.field, got)
			}

			// Who applies the same value becomes an owner beside the first one.
			if answer := o.apply(t, "second", value(0), ""); answer.Code != 200 {
				t.Errorf("the same value: %d %s", answer.Code, answer.Body)
			}
			if owners := o.get(t).owners(o.field); len(owners) != 2 {
				t.Errorf("%s is owned by %v", o.field, owners)
			}

			if answer := o.apply(t, "third", value(2), "&force=true"); answer.Code != 200 {
				t.Fatalf("apply by force: %d %s", answer.Code, answer.Body)
			}
			taken := o.get(t)
			if owners := taken.owners(o.field); fmt.Sprint(owners) != "[third]" || string(taken.Spec[o.field]) != o.values[2] {
				t.Errorf("after the take-over %s is %s, owned by %v", o.field, taken.Spec[o.field], owners)
			}

			// An update takes over, as everywhere in Kubernetes.
			patched := stand.Do(t, harness.Request{
				Method: "PATCH", Path: o.path + "?fieldManager=editor", ContentType: "application/merge-patch+json", Body: fmt.Sprintf(`{"spec":{%s}}`, value(0)),
			})
			if owners := decode(t, patched).owners(o.field); fmt.Sprint(owners) != "[editor]" {
				t.Errorf("after an update %s is owned by %v", o.field, owners)
			}
		})
	}
}

func TestKubectlApplyServerSideNamesTheOtherManager(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	apply := func(manager, model string, further ...string) []string {
		return append([]string{"apply", "--server-side", "--field-manager=" + manager, "-f", "-"}, further...)
	}
	manifest := func(model string) string { return sessionManifest(project, "shared", "llm: {model: "+model+"}") }
	stand.KubectlWithInput(t, manifest("opus"), apply("pipeline", "opus")...)
	harness.Contains(t, stand.KubectlFails(t, manifest("haiku"), apply("person", "haiku")...).Stderr, `conflict with "pipeline"`, ".spec.llm.model", "--force-conflicts")
	stand.KubectlWithInput(t, manifest("haiku"), apply("person", "haiku", "--force-conflicts")...)
	if row := rowOf(t, project, "shared"); row.GetLlmModel() != "haiku" {
		t.Errorf("the row's model is %q", row.GetLlmModel())
	}
}

// What the upstream fills in belongs to nobody: whoever names it later is in
// nobody's way.
func TestDecision9ApplyWithoutModelThenWith(t *testing.T) {
	t.Parallel()
	o := targets(t)[0]
	first := decode(t, o.apply(t, "pipeline", `"prompt":"a"`, ""))
	if !strings.Contains(string(first.Spec["llm"]), `"model"`) {
		t.Fatalf("the upstream gave no default: %s", first.Spec["llm"])
	}
	if owners := first.owners("llm"); len(owners) != 0 {
		t.Errorf("the default is owned by %v", owners)
	}
	for _, manager := range []string{"pipeline", "person"} {
		if answer := o.apply(t, manager, `"prompt":"a","llm":{"model":"opus"}`, ""); answer.Code != 200 {
			t.Errorf("%s names the model: %d %s", manager, answer.Code, answer.Body)
		}
	}
}

func TestDecision9NobodyOwnsWhatNobodyAppliedTo(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "foreign", ProjectId: &project})
	o := target{kind: "Session", path: "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions/" + strings.ToLower(row.GetMetadata().GetId())}
	harness.Eventually(t, "the session is shown", func() error {
		if answer := stand.Do(t, harness.Request{Method: "GET", Path: o.path}); answer.Code != 200 {
			return errNotYet
		}
		return nil
	})
	if managed := o.get(t).Metadata.ManagedFields; len(managed) != 0 {
		t.Errorf("managedFields %v", managed)
	}
	// Yet what came from the upstream is not taken over silently.
	conflict := o.apply(t, "pipeline", `"displayName":"mine"`, "")
	if conflict.Code != 409 || !strings.Contains(conflict.Status.Message, `"ambient-api-server"`) || fmt.Sprint(conflict.Causes()) != "[.spec.displayName]" {
		t.Errorf("apply of another value: %d %s", conflict.Code, conflict.Body)
	}
	if got := decode(t, o.apply(t, "pipeline", `"displayName":"mine"`, "&force=true")); string(got.Spec["displayName"]) != `"mine"` || fmt.Sprint(got.owners("displayName")) != "[pipeline]" {
		t.Errorf("after the apply by force: %v, owned by %v", got.Spec, got.Metadata.ManagedFields)
	}
}

// When the upstream changes what somebody applied, that is an update by the
// upstream: its owner hears of it at the next apply.
func TestOwnershipMovesToTheUpstreamThatChangesAField(t *testing.T) {
	t.Parallel()
	o := targets(t)[0]
	applied := decode(t, o.apply(t, "pipeline", `"prompt":"a"`, ""))
	theirs := "theirs"
	id := applied.Metadata.Labels["ambient.io/session-id"]
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: id, Prompt: &theirs}); err != nil {
		t.Fatal(err)
	}
	conflict := o.apply(t, "pipeline", `"prompt":"a"`, "")
	if conflict.Code != 409 || !strings.Contains(conflict.Status.Message, "ambient-api-server") {
		t.Errorf("apply after the upstream's change: %d %s", conflict.Code, conflict.Body)
	}
	if got := decode(t, o.apply(t, "pipeline", `"prompt":"a"`, "&force=true")); string(got.Spec["prompt"]) != `"a"` {
		t.Errorf("after the apply by force the prompt is %s", got.Spec["prompt"])
	}
}
