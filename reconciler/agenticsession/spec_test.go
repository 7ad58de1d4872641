package agenticsession

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func pointer[T any](value T) *T { return &value }

// session returns a Session with the spec, as the API shows it.
func session(spec v1alpha1.SessionSpec) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly", Namespace: "payments"},
		Spec:       spec,
		Status:     v1alpha1.SessionStatus{SessionID: "2abC"},
	}
}

func TestEachFieldOfASession(t *testing.T) {
	for _, test := range []struct {
		name    string
		spec    v1alpha1.SessionSpec
		want    string
		omitted []string
	}{
		{name: "the display name is always there", want: `{"displayName":""}`},
		{name: "prompt", spec: v1alpha1.SessionSpec{DisplayName: "d", Prompt: "p"}, want: `{"displayName":"d","initialPrompt":"p"}`},
		{name: "timeout", spec: v1alpha1.SessionSpec{TimeoutSeconds: pointer[int32](60)}, want: `{"displayName":"","timeout":60}`},
		{name: "timeout 0 leaves the default to the operator", spec: v1alpha1.SessionSpec{TimeoutSeconds: pointer[int32](0)}, want: `{"displayName":""}`},
		{name: "the only repository, on a branch named after the session", spec: v1alpha1.SessionSpec{RepositoryURL: "u"},
			want: `{"displayName":"","repos":[{"branch":"ambient/2abc","url":"u"}]}`},
		{name: "the list of repositories beats the only one", spec: v1alpha1.SessionSpec{RepositoryURL: "u", Repositories: []v1alpha1.Repository{{URL: "a", Branch: "b", AutoPush: pointer(true)}, {URL: "c"}}},
			want: `{"displayName":"","repos":[{"autoPush":true,"branch":"b","url":"a"},{"branch":"ambient/2abc","url":"c"}]}`},
		{name: "a repository's directory has no place", spec: v1alpha1.SessionSpec{Repositories: []v1alpha1.Repository{{URL: "a", Branch: "b", Name: "n"}}},
			want: `{"displayName":"","repos":[{"branch":"b","url":"a"}]}`, omitted: []string{"spec.repositories[0].name"}},
		{name: "temperature 0 is a value", spec: v1alpha1.SessionSpec{LLM: &v1alpha1.LLMSettings{Temperature: pointer(0.0)}}, want: `{"displayName":"","llmSettings":{"temperature":0}}`},
		{name: "a whole temperature keeps a fraction", spec: v1alpha1.SessionSpec{LLM: &v1alpha1.LLMSettings{Temperature: pointer(1.0)}}, want: `{"displayName":"","llmSettings":{"temperature":0.9999999999999999}}`},
		{name: "model and tokens", spec: v1alpha1.SessionSpec{LLM: &v1alpha1.LLMSettings{Model: "m", Temperature: pointer(0.7), MaxTokens: pointer[int32](5)}},
			want: `{"displayName":"","llmSettings":{"maxTokens":5,"model":"m","temperature":0.7}}`},
		{name: "no settings of the model, no object: its defaults would apply", spec: v1alpha1.SessionSpec{LLM: &v1alpha1.LLMSettings{}}, want: `{"displayName":""}`},
		{name: "environment without what the operator sets itself", spec: v1alpha1.SessionSpec{Environment: map[string]string{"A": "1", "NAMESPACE": "2", "S3_BUCKET": "3", "9x": "4"}},
			want: `{"displayName":"","environmentVariables":{"A":"1"}}`, omitted: []string{"spec.environment[9x]", "spec.environment[NAMESPACE]", "spec.environment[S3_BUCKET]"}},
		{name: "creator", spec: v1alpha1.SessionSpec{CreatedBy: "alice"}, want: `{"displayName":"","userContext":{"userId":"alice"}}`},
		{name: "workflow in Git", spec: v1alpha1.SessionSpec{Workflow: &v1alpha1.Workflow{GitURL: "g", Branch: "b", Path: "p"}}, want: `{"activeWorkflow":{"branch":"b","gitUrl":"g","path":"p"},"displayName":""}`},
		{name: "workflow by id has no place", spec: v1alpha1.SessionSpec{Workflow: &v1alpha1.Workflow{ID: "w"}}, want: `{"displayName":""}`, omitted: []string{"spec.workflow.id"}},
		{name: "bot account and overrides have no place", spec: v1alpha1.SessionSpec{BotAccountName: "b", ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "1"}},
			want: `{"displayName":""}`, omitted: []string{"spec.botAccountName", "spec.resourceOverrides"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			desired := Build(session(test.spec), Name("2abC"))
			got, err := json.Marshal(desired.Object.Object["spec"])
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("spec %s\nwant %s", got, test.want)
			}
			if diff := cmp.Diff(test.omitted, desired.Omitted); diff != "" {
				t.Errorf("omitted (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecision21NoKeysThatDriveOthersAreCopied(t *testing.T) {
	from := session(v1alpha1.SessionSpec{ParentSessionID: "1pAr"})
	from.Labels = map[string]string{
		"team": "a", "app.kubernetes.io/name": "n",
		"ambient.io/x": "1", "ambient-code.io/x": "1", "vteam.ambient-code/x": "1", "app.kubernetes.io/instance": "1",
		"argocd.argoproj.io/instance": "1", "kustomize.toolkit.fluxcd.io/name": "1", "pod-security.k8s.io/x": "1", "k8s.io/x": "1",
		"bad": "not a label value", v1alpha1.SessionIDLabel: "forged",
	}
	from.Annotations = map[string]string{
		"note": "any text", "kubectl.kubernetes.io/last-applied-configuration": "{}", "meta.helm.sh/release-name": "r",
		"ambient-code.io/desired-phase": "Running", HandledAnnotation: "forged",
	}
	desired := Build(from, Name("2abC"))
	wantLabels := map[string]string{
		"team": "a", "app.kubernetes.io/name": "n",
		v1alpha1.SessionIDLabel: "2abC", v1alpha1.ProjectIDLabel: "payments", ManagedByLabel: FieldManager,
	}
	if diff := cmp.Diff(wantLabels, desired.Object.GetLabels()); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	wantAnnotations := map[string]string{"note": "any text", SessionNameAnnotation: "nightly", ParentAnnotation: "1pAr"}
	if diff := cmp.Diff(wantAnnotations, desired.Object.GetAnnotations()); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"metadata.labels[bad]"}, desired.Omitted); diff != "" {
		t.Errorf("omitted (-want +got):\n%s", diff)
	}
}

func TestNames(t *testing.T) {
	for id, want := range map[string]string{
		"2XyZ0aBcDeFgHiJkLmNoPqRsTuV": "2xyz0abcdefghijklmnopqrstuv",
		"already-lower":               "already-lower",
	} {
		if got := Name(id); got != want {
			t.Errorf("name of %s: %s, want %s", id, got, want)
		}
	}
	seen := map[string]string{}
	for _, id := range []string{"AbC", "aBc", "abc", strings.Repeat("x", 60), strings.Repeat("x", 61), "under_score", "under.score", "Ünder", ""} {
		for _, name := range []string{Name(id), AlternativeName(id)} {
			if len(name) > MaxNameLength || name == "" || strings.ToLower(name) != name {
				t.Errorf("name of %q: %q", id, name)
			}
		}
		alternative := AlternativeName(id)
		if other, taken := seen[alternative]; taken {
			t.Errorf("%q and %q share the alternative name %s", id, other, alternative)
		}
		seen[alternative] = id
	}
}

// applied returns an object as it stands after desired was applied and the
// definition's defaults were filled in.
func applied(t *testing.T, desired *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	live := &unstructured.Unstructured{}
	data, err := desired.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := live.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	fields, err := json.Marshal(fieldSet(desired.Object, "apiVersion", "kind", "name", "namespace"))
	if err != nil {
		t.Fatal(err)
	}
	live.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: fields},
	}})
	return live
}

// fieldSet returns the FieldsV1 of what an object holds, without the named fields.
func fieldSet(object map[string]any, without ...string) map[string]any {
	set := map[string]any{}
	for name, value := range object {
		skip := false
		for _, excluded := range without {
			skip = skip || name == excluded
		}
		if skip {
			continue
		}
		if nested, isObject := value.(map[string]any); isObject {
			set["f:"+name] = fieldSet(nested, without...)
		} else {
			set["f:"+name] = map[string]any{}
		}
	}
	return set
}

// changeRepository sets a field of the first repository.
func changeRepository(t *testing.T, object *unstructured.Unstructured, field string, value any) {
	t.Helper()
	repositories, _, err := unstructured.NestedSlice(object.Object, "spec", "repos")
	if err != nil {
		t.Fatal(err)
	}
	first, isObject := repositories[0].(map[string]any)
	if !isObject {
		t.Fatalf("the first repository is %v", repositories[0])
	}
	first[field] = value
	set(t, object, repositories, "spec", "repos")
}

// disown takes a field from us, as an update by somebody else does, whatever value it
// leaves.
func disown(t *testing.T, object *unstructured.Unstructured, path ...string) {
	t.Helper()
	entries := object.GetManagedFields()
	var owned map[string]any
	if err := json.Unmarshal(entries[0].FieldsV1.Raw, &owned); err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(owned, path...)
	fields, err := json.Marshal(owned)
	if err != nil {
		t.Fatal(err)
	}
	entries[0].FieldsV1 = &metav1.FieldsV1{Raw: fields}
	object.SetManagedFields(entries)
}

func TestWhenAnApplyIsNeeded(t *testing.T) {
	spec := v1alpha1.SessionSpec{
		DisplayName: "d", TimeoutSeconds: pointer[int32](60), Environment: map[string]string{"A": "1", "C": "3"},
		LLM:          &v1alpha1.LLMSettings{Temperature: pointer(0.0)},
		Repositories: []v1alpha1.Repository{{URL: "u", Branch: "b"}},
	}
	for _, test := range []struct {
		name   string
		change func(live *unstructured.Unstructured, desired *v1alpha1.Session)
		want   bool
	}{
		{"nothing changed", func(*unstructured.Unstructured, *v1alpha1.Session) {}, false},
		{"defaults were filled in", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			set(t, live, int64(0), "spec", "inactivityTimeout")
			changeRepository(t, live, "autoPush", false)
		}, false},
		{"a repository is pushed to, which nobody asked for", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			changeRepository(t, live, "autoPush", true)
		}, true},
		{"a repository has a field that nothing fills in", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			changeRepository(t, live, "depth", int64(1))
		}, true},
		{"a field was changed and changed back", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			disown(t, live, "f:spec", "f:displayName")
		}, true},
		{"a list was changed and changed back", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			disown(t, live, "f:spec", "f:repos")
		}, true},
		{"a key was changed and changed back", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			disown(t, live, "f:spec", "f:environmentVariables", "f:A")
		}, true},
		{"all keys of ours were changed and changed back", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			disown(t, live, "f:spec", "f:environmentVariables")
		}, true},
		{"a label was changed and changed back", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			disown(t, live, "f:metadata", "f:labels", "f:team")
		}, true},
		{"others own a field of their own", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			set(t, live, "x", "spec", "environmentVariables", "B")
			set(t, live, "x", "metadata", "labels", "theirs")
		}, false},
		{"a value was changed", func(live *unstructured.Unstructured, _ *v1alpha1.Session) { set(t, live, "x", "spec", "displayName") }, true},
		{"a field was removed", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			unstructured.RemoveNestedField(live.Object, "spec", "timeout")
		}, true},
		{"a repository was added", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			set(t, live, []any{map[string]any{"url": "u", "branch": "b"}, map[string]any{"url": "v"}}, "spec", "repos")
		}, true},
		{"our label was removed", func(live *unstructured.Unstructured, _ *v1alpha1.Session) {
			unstructured.RemoveNestedField(live.Object, "metadata", "labels", v1alpha1.SessionIDLabel)
		}, true},
		{"the session no longer has a field that we own", func(_ *unstructured.Unstructured, desired *v1alpha1.Session) { desired.Spec.Environment = nil }, true},
		{"the session no longer has a key that we own", func(_ *unstructured.Unstructured, desired *v1alpha1.Session) { delete(desired.Labels, "team") }, true},
		{"nothing is ours yet", func(live *unstructured.Unstructured, _ *v1alpha1.Session) { live.SetManagedFields(nil) }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := session(*spec.DeepCopy())
			from.Labels = map[string]string{"team": "a"}
			live := applied(t, Build(from, "2abc").Object)
			test.change(live, from)
			got, err := NeedsApply(live, Build(from, "2abc").Object)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("apply needed: %t, want %t", got, test.want)
			}
		})
	}
}

func set(t *testing.T, object *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(object.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

func TestAnnotationPatchNamesTheObjectThatWasRead(t *testing.T) {
	object := &unstructured.Unstructured{}
	object.SetUID("u")
	object.SetResourceVersion("7")
	patch, err := AnnotationPatch(object, map[string]*string{"set": pointer("x"), "gone": nil})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"metadata":{"annotations":{"gone":null,"set":"x"},"resourceVersion":"7","uid":"u"}}`; string(patch) != want {
		t.Errorf("patch %s, want %s", patch, want)
	}
}
