package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func TestEachColumnHasItsField(t *testing.T) {
	row := session(func(s *ambientv1.Session) {
		s.RepoUrl = proto.String("https://git.example/one.git")
		s.Prompt = proto.String("Do it.")
		s.CreatedByUserId = proto.String("ann")
		s.AssignedUserId = proto.String("bob")
		s.WorkflowId = proto.String("wf-1")
		s.Repos = proto.String(`[{"url":"https://git.example/a.git","branch":"main","name":"a","auto_push":true},{"url":"b","autoPush":false},"c"]`)
		s.Timeout = proto.Int32(0)
		s.LlmModel = proto.String("large")
		s.LlmTemperature = proto.Float64(0)
		s.LlmMaxTokens = proto.Int32(0)
		s.ParentSessionId = proto.String("parent")
		s.BotAccountName = proto.String("bot")
		s.ResourceOverrides = proto.String(`{"cpu":2,"memory":"1Gi","storage_class":"fast","priority_class":"high","gpu":1}`)
		s.EnvironmentVariables = proto.String(`{"A":"1","B":"line\nbreak \"quoted\" ü"}`)
		s.Labels = proto.String(`{"team":"a","app.kubernetes.io/name":"x"}`)
		s.Annotations = proto.String(`{"note":"Any text, of any kind."}`)
		s.Phase = proto.String("Completed")
		s.StartTime = timestamppb.New(started)
		s.CompletionTime = timestamppb.New(completed)
		s.SdkSessionId = proto.String("sdk")
		s.SdkRestartCount = proto.Int32(0)
		s.Conditions = proto.String(`[{"type":"PodCreated","status":"True","reason":"PodCreated","message":"m","lastTransitionTime":"2026-03-04T06:00:00Z","observedGeneration":3},
			{"type":"ambient.io/Details","status":"True","stoppedReason":"user","lastActivityTime":"2026-03-04T06:30:00.25Z","observedGeneration":2}]`)
		s.ReconciledRepos = proto.String(`[{"url":"u","name":"n","branch":"b","branches":["b","c"],"currentActiveBranch":"c","defaultBranch":"b","status":"Ready","clonedAt":"2026-03-04T06:01:00Z"}]`)
		s.ReconciledWorkflow = proto.String(`{"gitUrl":"g","branch":"b","path":"p","status":"Active","appliedAt":"2026-03-04T06:02:00Z"}`)
		s.KubeCrUid = proto.String("uid-1")
		s.KubeNamespace = proto.String("team-a")
		s.AgentId = proto.String("agent")
	})
	at := func(text string) *metav1.Time {
		value, ok := decodeTime(`"` + text + `"`)
		if !ok {
			t.Fatalf("bad time %s", text)
		}
		return value
	}
	got := read(row)
	same(t, "spec", got.Spec, v1alpha1.SessionSpec{
		DisplayName:   "Fix the build",
		Prompt:        "Do it.",
		RepositoryURL: "https://git.example/one.git",
		Repositories: []v1alpha1.Repository{
			{URL: "https://git.example/a.git", Branch: "main", Name: "a", AutoPush: proto.Bool(true)},
			{URL: "b", AutoPush: proto.Bool(false)},
			{URL: "c"},
		},
		Workflow:          &v1alpha1.Workflow{ID: "wf-1"},
		LLM:               &v1alpha1.LLMSettings{Model: "large", Temperature: proto.Float64(0), MaxTokens: proto.Int32(0)},
		TimeoutSeconds:    proto.Int32(0),
		Environment:       map[string]string{"A": "1", "B": "line\nbreak \"quoted\" ü"},
		ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "2", Memory: "1Gi", StorageClassName: "fast", PriorityClassName: "high"},
		ParentSessionID:   "parent",
		AssignedUserID:    "bob",
		BotAccountName:    "bot",
		CreatedBy:         "ann",
		AgentID:           "agent",
	})
	conditions := got.Status.Conditions
	got.Status.Conditions = nil
	same(t, "status", got.Status, v1alpha1.SessionStatus{
		ObservedGeneration: 2,
		Phase:              v1alpha1.SessionCompleted,
		StartTime:          at("2026-03-04T06:00:00Z"),
		CompletionTime:     at("2026-03-04T07:00:00Z"),
		LastActivityTime:   at("2026-03-04T06:30:00Z"),
		StoppedReason:      "user",
		SessionID:          sessionID,
		ProjectID:          "team-a",
		AgenticSession:     &v1alpha1.AgenticSessionReference{Namespace: "team-a", Name: strings.ToLower(sessionID), UID: "uid-1"},
		SDKSessionID:       "sdk",
		SDKRestartCount:    proto.Int32(0),
		Repositories: []v1alpha1.ReconciledRepository{{
			URL: "u", Name: "n", Branch: "b", Branches: []string{"b", "c"}, CurrentActiveBranch: "c", DefaultBranch: "b",
			Status: "Ready", ClonedAt: at("2026-03-04T06:01:00Z"),
		}},
		Workflow: &v1alpha1.ReconciledWorkflow{GitURL: "g", Branch: "b", Path: "p", Status: "Active", AppliedAt: at("2026-03-04T06:02:00Z")},
	})
	same(t, "condition of the upstream", condition(conditions, "PodCreated"), metav1.Condition{
		Type: "PodCreated", Status: "True", Reason: "PodCreated", Message: "m", ObservedGeneration: 3, LastTransitionTime: *at("2026-03-04T06:00:00Z"),
	})
	if len(conditions) != 2 {
		t.Errorf("conditions: %v, want PodCreated and Ready only", conditions)
	}
	same(t, "metadata", got.ObjectMeta, metav1.ObjectMeta{
		Namespace: "team-a", Name: "2ab3cd4ef5gh6ij7kl8mn9op0qr", UID: UID("Session", sessionID, "team-a"),
		Generation: 3, CreationTimestamp: *at("2026-03-04T05:06:07Z"),
		Labels:      map[string]string{"team": "a", "app.kubernetes.io/name": "x", "ambient.io/session-id": sessionID},
		Annotations: map[string]string{"note": "Any text, of any kind."},
	})
}

func TestARowOfNothingIsAnObjectOfNothing(t *testing.T) {
	for name, row := range map[string]*ambientv1.Session{"nil": nil, "empty": {}} {
		got := translator.Session(row, Placement{Namespace: "n", Name: "x"})
		same(t, name+": spec", got.Spec, v1alpha1.SessionSpec{})
		if got.Labels != nil || got.Annotations != nil || got.Generation != 1 || len(got.Status.Conditions) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestJSONThatHoldsNothingIsNoProblem(t *testing.T) {
	for _, text := range []string{"", "null", " null\n", "  ", "{}", "[]"} {
		row := session(func(s *ambientv1.Session) {
			if text != "[]" {
				s.Labels, s.Annotations, s.EnvironmentVariables, s.ResourceOverrides, s.ReconciledWorkflow = &text, &text, &text, &text, &text
			}
			if text != "{}" {
				s.Repos, s.Conditions, s.ReconciledRepos = &text, &text, &text
			}
		})
		if got := read(row); len(got.Status.Conditions) != 1 {
			t.Errorf("%q: %v", text, got.Status.Conditions)
		}
	}
}

func TestWorkflowHasTwoShapes(t *testing.T) {
	for text, want := range map[string]*v1alpha1.Workflow{
		"":                               nil,
		"wf":                             {ID: "wf"},
		`"quoted"`:                       {ID: `"quoted"`},
		`{"git_url":"g","branch":"b"}`:   {GitURL: "g", Branch: "b"},
		` {"gitUrl":"g","path":"p"} `:    {GitURL: "g", Path: "p"},
		`{}`:                             nil,
		`{"git_url":null,"branch":null}`: nil,
	} {
		got := read(session(func(s *ambientv1.Session) { s.WorkflowId = &text }))
		same(t, text, got.Spec.Workflow, want)
		same(t, text+": Translated", condition(got.Status.Conditions, "Translated"), metav1.Condition{})
	}
}

func TestWhatCannotBeShownIsNamed(t *testing.T) {
	set := func(change func(s *ambientv1.Session, text *string)) func(string) *v1alpha1.Session {
		return func(text string) *v1alpha1.Session {
			return read(session(func(s *ambientv1.Session) { change(s, &text) }))
		}
	}
	labels := set(func(s *ambientv1.Session, x *string) { s.Labels = x })
	annotations := set(func(s *ambientv1.Session, x *string) { s.Annotations = x })
	environment := set(func(s *ambientv1.Session, x *string) { s.EnvironmentVariables = x })
	repos := set(func(s *ambientv1.Session, x *string) { s.Repos = x })
	workflow := set(func(s *ambientv1.Session, x *string) { s.WorkflowId = x })
	overrides := set(func(s *ambientv1.Session, x *string) { s.ResourceOverrides = x })
	conditions := set(func(s *ambientv1.Session, x *string) { s.Conditions = x })
	reconciledRepos := set(func(s *ambientv1.Session, x *string) { s.ReconciledRepos = x })
	reconciledWorkflow := set(func(s *ambientv1.Session, x *string) { s.ReconciledWorkflow = x })

	for _, test := range []struct {
		name   string
		read   func(string) *v1alpha1.Session
		text   string
		reason string
		named  string
	}{
		{"labels that are no JSON", labels, "not json", "MalformedJSON", "labels is not a JSON object"},
		{"labels that are an array", labels, "[]", "MalformedJSON", "labels is not a JSON object"},
		{"labels with more behind", labels, "{} x", "MalformedJSON", "labels is not a JSON object"},
		{"a label's key", labels, `{"bad key":"x","ok":"y"}`, "InvalidLabels", `labels["bad key"] is not a label that Kubernetes accepts`},
		{"a label's value", labels, `{"k":"bad value!"}`, "InvalidLabels", `labels["k"] is not a label that Kubernetes accepts`},
		{"a label that is a number", labels, `{"k":1}`, "InvalidValues", `labels["k"] is not a string`},
		{"annotations that are no JSON", annotations, "{", "MalformedJSON", "annotations is not a JSON object"},
		{"an annotation's key", annotations, `{"bad key":"x"}`, "InvalidAnnotations", `annotations["bad key"] is not a key that Kubernetes accepts`},
		{"a reserved annotation", annotations, `{"ambient.io/kubernetes":"x"}`, "MalformedJSON", `annotations["ambient.io/kubernetes"] is not what this server writes`},
		{"environment", environment, "7", "MalformedJSON", "environment_variables is not a JSON object"},
		{"a variable", environment, `{"PORT":8080}`, "InvalidValues", `environment_variables["PORT"] is not a string`},
		{"repos", repos, "{}", "MalformedJSON", "repos is not a JSON array"},
		{"a repository", repos, `[7,{"url":"u"}]`, "InvalidValues", "repos[0] has the wrong type"},
		{"a repository's branch", repos, `[{"url":"u","branch":7}]`, "InvalidValues", "repos[0].branch has the wrong type"},
		{"a repository's push", repos, `[{"url":"u","autoPush":"yes"}]`, "InvalidValues", "repos[0].autoPush has the wrong type"},
		{"workflow", workflow, `{"git_url":`, "MalformedJSON", "workflow_id is not a JSON object or an id"},
		{"a workflow's branch", workflow, `{"git_url":"g","branch":[]}`, "InvalidValues", "workflow_id.branch has the wrong type"},
		{"overrides", overrides, `"x"`, "MalformedJSON", "resource_overrides is not a JSON object"},
		{"an override", overrides, `{"cpu":true}`, "InvalidValues", "resource_overrides.cpu has the wrong type"},
		{"conditions", conditions, `{}`, "MalformedJSON", "conditions is not a JSON array"},
		{"a condition", conditions, `[{"status":"True"}]`, "InvalidValues", "conditions[0] has the wrong type"},
		{"a condition's time", conditions, `[{"type":"A","lastTransitionTime":"yesterday"}]`, "InvalidValues", "conditions[0].lastTransitionTime has the wrong type"},
		{"a detail", conditions, `[{"type":"ambient.io/Details","observedGeneration":"1"}]`, "InvalidValues", "conditions[0].observedGeneration has the wrong type"},
		{"a condition that is there twice", conditions, `[{"type":"A"},{"type":"A"}]`, "DuplicateConditions", `conditions["A"] is there more than once`},
		{"reconciled repos", reconciledRepos, "x", "MalformedJSON", "reconciled_repos is not a JSON array"},
		{"branches", reconciledRepos, `[{"url":"u","branches":["a",1]}]`, "InvalidValues", "reconciled_repos[0].branches has the wrong type"},
		{"reconciled workflow", reconciledWorkflow, "x", "MalformedJSON", "reconciled_workflow is not a JSON object"},
		{"two kinds of problems", labels, `{"bad key":"x","k":1}`, "Several", `labels["bad key"] is not a label that Kubernetes accepts; labels["k"] is not a string`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.read(test.text)
			same(t, "condition", condition(got.Status.Conditions, "Translated"), metav1.Condition{
				Type: "Translated", Status: "False", Reason: test.reason, ObservedGeneration: 1, LastTransitionTime: got.CreationTimestamp,
				Message: "Upstream data that cannot be shown is left out: " + test.named,
			})
		})
	}
}

func TestTheGoodPartsOfBadDataAreShown(t *testing.T) {
	got := read(session(func(s *ambientv1.Session) {
		s.Labels = proto.String(`{"bad key":"x","ok":"y","k":1}`)
		s.Annotations = proto.String(`{"bad key":"x","Example.COM/Note":"y"}`)
		s.EnvironmentVariables = proto.String(`{"PORT":8080,"HOST":"h"}`)
		s.Repos = proto.String(`[7,{"url":"u","branch":7}]`)
		s.Conditions = proto.String(`[{"type":"A","status":"True"},{"type":"A","status":"False","lastTransitionTime":"x"},{"type":"B"}]`)
	}))
	same(t, "labels", got.Labels, map[string]string{"ok": "y", "ambient.io/session-id": sessionID})
	same(t, "annotations", got.Annotations, map[string]string{"Example.COM/Note": "y"})
	same(t, "environment", got.Spec.Environment, map[string]string{"HOST": "h"})
	same(t, "repositories", got.Spec.Repositories, []v1alpha1.Repository{{URL: "u"}})
	same(t, "the last condition of a type", condition(got.Status.Conditions, "A"), metav1.Condition{Type: "A", Status: "False"})
	same(t, "a condition without a status", condition(got.Status.Conditions, "B"), metav1.Condition{Type: "B", Status: "Unknown"})
}

func TestAnnotationsStopAtTheSizeThatKubernetesAccepts(t *testing.T) {
	half := strings.Repeat("x", 130_000)
	got := read(session(func(s *ambientv1.Session) {
		s.Annotations = proto.String(`{"a":"` + half + `","b":"` + half + `","c":"` + half + `","d":"small"}`)
	}))
	if len(got.Annotations) != 3 || got.Annotations["c"] != "" || got.Annotations["d"] != "small" {
		t.Errorf("shown: %d annotations", len(got.Annotations))
	}
	if c := condition(got.Status.Conditions, "Translated"); c.Reason != ReasonInvalidAnnotations || len(c.Message) > 200 {
		t.Errorf("Translated: %.300v", c)
	}
}

func TestOnlyTheFirstProblemsAreNamed(t *testing.T) {
	got := read(session(func(s *ambientv1.Session) { s.Repos = proto.String("[" + strings.Repeat("7,", 99) + "7]") }))
	c := condition(got.Status.Conditions, "Translated")
	if !strings.HasSuffix(c.Message, "repos[19] has the wrong type; and 80 more") {
		t.Errorf("message: %s", c.Message)
	}
}
