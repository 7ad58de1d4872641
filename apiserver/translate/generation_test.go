package translate

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func TestDecision12GenerationOfARow(t *testing.T) {
	hash := specHash((*sessionHash)(&read(session()).Spec), "")
	for _, test := range []struct {
		name       string
		reserved   *Reserved
		conditions string
		want       int64
	}{
		{"born upstream", nil, "", 1},
		{"born upstream, observed", nil, `[{"type":"ambient.io/Details","observedGeneration":5}]`, 5},
		{"born upstream, a condition observed more", nil, `[{"type":"A","observedGeneration":6},{"type":"ambient.io/Details","observedGeneration":5}]`, 6},
		{"stored", &Reserved{Generation: 3, SpecHash: hash}, "", 3},
		{"stored, the spec changed since", &Reserved{Generation: 3, SpecHash: ".other"}, "", 4},
		{"stored, observed more", &Reserved{Generation: 3, SpecHash: hash}, `[{"type":"A","observedGeneration":6}]`, 6},
		{"stored, observed more, the spec changed since", &Reserved{Generation: 3, SpecHash: ".other"}, `[{"type":"A","observedGeneration":6}]`, 7},
		{"stored without a hash", &Reserved{Generation: 3}, "", 3},
		{"reserved without a generation", &Reserved{Name: "n"}, "", 1},
		{"unbelievable numbers", &Reserved{Generation: -1, SpecHash: hash}, `[{"type":"A","observedGeneration":9223372036854775807}]`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			row := session(func(s *ambientv1.Session) { s.Conditions = &test.conditions })
			if test.reserved != nil {
				row.Annotations = proto.String(annotationsWith(t, "", *test.reserved))
			}
			if got := read(row).Generation; got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
			placement := place(row)
			placement.Generation = 40
			if got := translator.Session(row, placement).Generation; got != 40 {
				t.Errorf("the placement's generation became %d", got)
			}
		})
	}
}

func TestDecision12GenerationRidesOnOurWrites(t *testing.T) {
	row := session()
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Spec.Prompt = "one" }, "prompt", "annotations")
	if got := read(row).Generation; got != 2 {
		t.Errorf("after a change of the spec: %d", got)
	}
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Labels["x"] = "y" }, "labels")
	if got := read(row).Generation; got != 2 {
		t.Errorf("after a change of labels: %d", got)
	}
	row.Prompt = proto.String("changed by the upstream")
	if got := read(row).Generation; got != 3 {
		t.Errorf("after a change upstream: %d", got)
	}
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Annotations = map[string]string{"x": "y"} }, "annotations")
	if got := read(row).Generation; got != 3 {
		t.Errorf("after a change upstream and one of metadata: %d", got)
	}
	row = mustSpec(t, row, func(s *v1alpha1.Session) { s.Generation = 9; s.Spec.Prompt = "two" }, "prompt", "annotations")
	if got := read(row).Generation; got != 9 {
		t.Errorf("the object's own generation was higher: %d", got)
	}
	spec, status := update(t, row, func(s *v1alpha1.Session) { s.Status.Phase = v1alpha1.SessionRunning })
	if spec != nil || status == nil {
		t.Errorf("a change of the status sent %v and %v", spec, status)
	}
}

// TestDecision12DefaultsOfTheUpstreamAreNoChange: the upstream fills in settings
// of the model that a new session does not name.
func TestDecision12DefaultsOfTheUpstreamAreNoChange(t *testing.T) {
	for _, llm := range []*v1alpha1.LLMSettings{
		nil, {}, {Model: "m"}, {Temperature: proto.Float64(0)}, {MaxTokens: proto.Int32(7)},
		{Model: "m", Temperature: proto.Float64(0.5), MaxTokens: proto.Int32(7)},
	} {
		desired := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "n", Namespace: "team-a"}, Spec: v1alpha1.SessionSpec{LLM: llm}}
		request, err := translator.SessionCreate(desired, Reserved{Name: "n"})
		if err != nil {
			t.Fatal(err)
		}
		row := apply(session(), request)
		row.CreatedByUserId, row.AgentId = proto.String("ann"), proto.String("agent")
		if row.LlmModel == nil {
			row.LlmModel = proto.String("default")
		}
		if row.LlmTemperature == nil {
			row.LlmTemperature = proto.Float64(0.7)
		}
		if row.LlmMaxTokens == nil {
			row.LlmMaxTokens = proto.Int32(4000)
		}
		if got := read(row).Generation; got != 1 {
			t.Errorf("%+v: generation %d after the create", llm, got)
		}
		row.Prompt = proto.String("changed")
		if got := read(row).Generation; got != 2 {
			t.Errorf("%+v: generation %d after a change upstream", llm, got)
		}
		if llm == nil || llm.Model == "" {
			continue
		}
		row.Prompt = nil
		row.LlmModel = proto.String("changed")
		if got := read(row).Generation; got != 2 {
			t.Errorf("%+v: generation %d after a change of a model that was asked for", llm, got)
		}
	}
}

func TestTheHashKnowsEachField(t *testing.T) {
	base := v1alpha1.SessionSpec{}
	seen := map[string]string{specHash((*sessionHash)(&base), ""): "nothing"}
	for name, spec := range map[string]v1alpha1.SessionSpec{
		"displayName":       {DisplayName: "x"},
		"prompt":            {Prompt: "x"},
		"repositoryURL":     {RepositoryURL: "x"},
		"repositories":      {Repositories: []v1alpha1.Repository{{URL: "x"}}},
		"autoPush":          {Repositories: []v1alpha1.Repository{{URL: "x", AutoPush: proto.Bool(false)}}},
		"workflow":          {Workflow: &v1alpha1.Workflow{ID: "x"}},
		"model":             {LLM: &v1alpha1.LLMSettings{Model: "x"}},
		"temperature":       {LLM: &v1alpha1.LLMSettings{Temperature: proto.Float64(0)}},
		"maxTokens":         {LLM: &v1alpha1.LLMSettings{MaxTokens: proto.Int32(0)}},
		"timeoutSeconds":    {TimeoutSeconds: proto.Int32(0)},
		"environment":       {Environment: map[string]string{"A": ""}},
		"resourceOverrides": {ResourceOverrides: &v1alpha1.ResourceOverrides{CPU: "1"}},
		"parentSessionID":   {ParentSessionID: "x"},
		"assignedUserID":    {AssignedUserID: "x"},
		"botAccountName":    {BotAccountName: "x"},
	} {
		hash := specHash((*sessionHash)(&spec), "")
		if other, found := seen[hash]; found {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[hash] = name
	}
	for name, spec := range map[string]v1alpha1.SessionSpec{
		"createdBy": {CreatedBy: "x"}, "agentID": {AgentID: "x"}, "an empty llm": {LLM: &v1alpha1.LLMSettings{}},
		"an empty workflow": {Workflow: &v1alpha1.Workflow{}}, "empty overrides": {ResourceOverrides: &v1alpha1.ResourceOverrides{}},
		"empty lists": {Repositories: []v1alpha1.Repository{}, Environment: map[string]string{}},
	} {
		if hash := specHash((*sessionHash)(&spec), ""); seen[hash] != "nothing" {
			t.Errorf("%s counts", name)
		}
	}
	if hash := specHash((*sessionHash)(&base), "mk"); !strings.HasPrefix(hash, "mk.") {
		t.Errorf("the hidden fields are not told: %s", hash)
	}
}
