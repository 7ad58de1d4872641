package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// load reads a definition as the API server does: strictly, defaulted and
// validated.
func load(t *testing.T, file string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	text, err := Files.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, definition); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(definition)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
	internal := &apiextensions.CustomResourceDefinition{}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(definition, internal, nil); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	// The API server fills in the status before it validates.
	internal.Status.StoredVersions = []string{"v1alpha1"}
	if problems := apiextensionsvalidation.ValidateCustomResourceDefinition(t.Context(), internal); len(problems) > 0 {
		t.Fatalf("%s: %v", file, problems.ToAggregate())
	}
	return definition
}

// resource does with an object what the API server does with one of the
// definition.
type resource struct {
	structural *structuralschema.Structural
	validator  schemavalidation.SchemaValidator
	rules      *cel.Validator
}

func newResource(t *testing.T, file string) resource {
	t.Helper()
	definition := load(t, file)
	schema := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(definition.Spec.Versions[0].Schema.OpenAPIV3Schema, schema, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := structuralschema.NewStructural(schema)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := schemavalidation.NewSchemaValidator(schema)
	if err != nil {
		t.Fatal(err)
	}
	return resource{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
}

// accept prunes, defaults and validates the object in text. It returns what is
// stored, the paths that were pruned, and what is wrong with it.
func (r resource) accept(t *testing.T, text string) (stored map[string]any, pruned []string, problems field.ErrorList) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		t.Fatal(err)
	}
	pruned = pruning.PruneWithOptions(stored, r.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	defaulting.Default(stored, r.structural)
	problems = schemavalidation.ValidateCustomResource(nil, stored, r.validator)
	if r.rules != nil {
		broken, _ := r.rules.Validate(context.Background(), nil, r.structural, stored, nil, celconfig.RuntimeCELCostBudget)
		problems = append(problems, broken...)
	}
	return stored, pruned, problems
}

// describe lists schema and each field below it, in no order: path, type,
// default, enum and what else limits it.
func describe(path string, schema *apiextensionsv1.JSONSchemaProps) []string {
	line := path + " " + schema.Type
	if schema.Format != "" {
		line += " " + schema.Format
	}
	if schema.Default != nil {
		line += " default=" + string(schema.Default.Raw)
	}
	if schema.Minimum != nil {
		line += fmt.Sprintf(" min=%v", *schema.Minimum)
	}
	if len(schema.Enum) > 0 {
		var words []string
		for _, word := range schema.Enum {
			words = append(words, strings.Trim(string(word.Raw), `"`))
		}
		line += " enum=" + strings.Join(words, "|")
	}
	if len(schema.Required) > 0 {
		line += " required=" + strings.Join(schema.Required, ",")
	}
	if schema.XPreserveUnknownFields != nil {
		line += " free"
	}
	lines := []string{line}
	for name, property := range schema.Properties {
		lines = append(lines, describe(path+"."+name, &property)...)
	}
	if schema.Items != nil {
		lines = append(lines, describe(path+"[]", schema.Items.Schema)...)
	}
	if schema.AdditionalProperties != nil {
		lines = append(lines, describe(path+"{}", schema.AdditionalProperties.Schema)...)
	}
	return lines
}

func TestAgenticSessionsHaveThePlatformsFields(t *testing.T) {
	want := strings.Split(strings.TrimSpace(`
spec object
spec.activeWorkflow object
spec.activeWorkflow.branch string default="main"
spec.activeWorkflow.gitUrl string
spec.activeWorkflow.path string
spec.displayName string
spec.environmentVariables object
spec.environmentVariables{} string
spec.inactivityTimeout integer min=0
spec.initialPrompt string
spec.llmSettings object
spec.llmSettings.maxTokens integer default=4000
spec.llmSettings.model string default="claude-sonnet-4-6"
spec.llmSettings.temperature number default=0.7
spec.mcpServers object
spec.mcpServers.custom object
spec.mcpServers.custom{} object free
spec.mcpServers.disabled array
spec.mcpServers.disabled[] string
spec.repos array
spec.repos[] object required=url
spec.repos[].autoPush boolean default=false
spec.repos[].branch string default="main"
spec.repos[].url string
spec.stopOnRunFinished boolean
spec.timeout integer default=300
spec.userContext object
spec.userContext.displayName string
spec.userContext.groups array
spec.userContext.groups[] string
spec.userContext.userId string
status object
status.completionTime string date-time
status.conditions array
status.conditions[] object required=type,status
status.conditions[].lastTransitionTime string date-time
status.conditions[].message string
status.conditions[].observedGeneration integer int64
status.conditions[].reason string
status.conditions[].status string enum=True|False|Unknown
status.conditions[].type string
status.lastActivityTime string date-time
status.observedGeneration integer int64
status.phase string default="Pending" enum=Pending|Creating|Running|Stopping|Stopped|Completed|Failed
status.reconciledRepos array
status.reconciledRepos[] object
status.reconciledRepos[].branch string
status.reconciledRepos[].branches array
status.reconciledRepos[].branches[] string
status.reconciledRepos[].clonedAt string date-time
status.reconciledRepos[].currentActiveBranch string
status.reconciledRepos[].defaultBranch string
status.reconciledRepos[].name string
status.reconciledRepos[].status string enum=Cloning|Ready|Failed
status.reconciledRepos[].url string
status.reconciledWorkflow object
status.reconciledWorkflow.appliedAt string date-time
status.reconciledWorkflow.branch string
status.reconciledWorkflow.gitUrl string
status.reconciledWorkflow.path string
status.reconciledWorkflow.status string enum=Cloning|Active|Failed
status.sdkRestartCount integer
status.sdkSessionId string
status.startTime string date-time
status.stoppedReason string enum=user|inactivity
`), "\n")
	definition := load(t, "agenticsessions.yaml")
	version := definition.Spec.Versions[0]
	properties := version.Schema.OpenAPIV3Schema.Properties
	spec, status := properties["spec"], properties["status"]
	got := append(describe("spec", &spec), describe("status", &status)...)
	slices.Sort(got)
	slices.Sort(want)
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("fields (-want +got):\n%s", difference)
	}
	names := definition.Spec.Names
	if names.Kind != "AgenticSession" || names.Singular != "agenticsession" || !slices.Equal(names.ShortNames, []string{"as"}) {
		t.Errorf("names are %+v", names)
	}
	if version.Name != "v1alpha1" || version.Subresources == nil || version.Subresources.Status == nil || version.AdditionalPrinterColumns != nil {
		t.Errorf("version is %+v", version)
	}
}

func TestAgenticSessionsArePrunedAndDefaulted(t *testing.T) {
	sessions := newResource(t, "agenticsessions.yaml")
	stored, pruned, problems := sessions.accept(t, `{
		"apiVersion": "vteam.ambient-code/v1alpha1", "kind": "AgenticSession", "metadata": {"name": "s"},
		"spec": {
			"project": "p", "interactive": true, "botAccount": {"name": "b"}, "resourceOverrides": {"cpu": "1"},
			"mainRepoName": "m", "mainRepoIndex": 0,
			"repos": [{"url": "u", "name": "n", "auto_push": true, "input": {"url": "u"}, "output": {"url": "u"}}],
			"llmSettings": {"temperature": 0},
			"mcpServers": {"custom": {"any": {"deep": {"er": 1}}}},
			"activeWorkflow": {"gitUrl": "g"}
		},
		"status": {}
	}`)
	if len(problems) > 0 {
		t.Fatalf("refused: %v", problems.ToAggregate())
	}
	wantPruned := []string{
		"spec.botAccount", "spec.interactive", "spec.mainRepoIndex", "spec.mainRepoName", "spec.project",
		"spec.repos[0].auto_push", "spec.repos[0].input", "spec.repos[0].name", "spec.repos[0].output", "spec.resourceOverrides",
	}
	if difference := cmp.Diff(wantPruned, pruned); difference != "" {
		t.Errorf("pruned (-want +got):\n%s", difference)
	}
	want := map[string]any{
		"apiVersion": "vteam.ambient-code/v1alpha1", "kind": "AgenticSession", "metadata": map[string]any{"name": "s"},
		"spec": map[string]any{
			"repos":          []any{map[string]any{"url": "u", "branch": "main", "autoPush": false}},
			"llmSettings":    map[string]any{"model": "claude-sonnet-4-6", "temperature": float64(0), "maxTokens": int64(4000)},
			"timeout":        int64(300),
			"mcpServers":     map[string]any{"custom": map[string]any{"any": map[string]any{"deep": map[string]any{"er": float64(1)}}}},
			"activeWorkflow": map[string]any{"gitUrl": "g", "branch": "main"},
		},
		"status": map[string]any{"phase": "Pending"},
	}
	if difference := cmp.Diff(want, stored); difference != "" {
		t.Errorf("stored (-want +got):\n%s", difference)
	}

	stored, _, problems = sessions.accept(t, `{"metadata": {"name": "s"}, "spec": {}}`)
	if len(problems) > 0 {
		t.Errorf("a session without fields is refused: %v", problems.ToAggregate())
	}
	if difference := cmp.Diff(map[string]any{"timeout": int64(300)}, stored["spec"]); difference != "" {
		t.Errorf("defaults of an empty spec (-want +got):\n%s", difference)
	}
	if _, found := stored["status"]; found {
		t.Errorf("a session without status got one: %v", stored["status"])
	}
}

func TestObjectsAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		file, object, field string
	}{
		"a repository without URL":       {"agenticsessions.yaml", `{"spec":{"repos":[{"branch":"b"}]}}`, "spec.repos[0].url"},
		"an environment that is no text": {"agenticsessions.yaml", `{"spec":{"environmentVariables":{"A":1}}}`, "spec.environmentVariables.A"},
		"a negative inactivity timeout":  {"agenticsessions.yaml", `{"spec":{"inactivityTimeout":-1}}`, "spec.inactivityTimeout"},
		"a fractional timeout":           {"agenticsessions.yaml", `{"spec":{"timeout":1.5}}`, "spec.timeout"},
		"a phase that does not exist":    {"agenticsessions.yaml", `{"status":{"phase":"Paused"}}`, "status.phase"},
		"an empty phase":                 {"agenticsessions.yaml", `{"status":{"phase":""}}`, "status.phase"},
		"a time that is none":            {"agenticsessions.yaml", `{"status":{"startTime":"today"}}`, "status.startTime"},
		"a reason that does not exist":   {"agenticsessions.yaml", `{"status":{"stoppedReason":"bored"}}`, "status.stoppedReason"},
		"a condition without status":     {"agenticsessions.yaml", `{"status":{"conditions":[{"type":"A"}]}}`, "status.conditions[0].status"},
		"settings of another name":       {"projectsettings.yaml", `{"metadata":{"name":"other"},"spec":{"groupAccess":[]}}`, "<nil>"},
		"settings without groups":        {"projectsettings.yaml", `{"metadata":{"name":"projectsettings"},"spec":{}}`, "spec.groupAccess"},
		"a role that does not exist":     {"projectsettings.yaml", `{"metadata":{"name":"projectsettings"},"spec":{"groupAccess":[{"groupName":"g","role":"root"}]}}`, "spec.groupAccess[0].role"},
		"a provider that does not exist": {"projectsettings.yaml", `{"metadata":{"name":"projectsettings"},"spec":{"groupAccess":[],"repositories":[{"url":"u","provider":"svn"}]}}`, "spec.repositories[0].provider"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, problems := newResource(t, test.file).accept(t, test.object)
			if !slices.ContainsFunc(problems, func(problem *field.Error) bool { return problem.Field == test.field }) {
				t.Errorf("problems are %v, want one of %s", problems, test.field)
			}
		})
	}
}

func TestProjectSettingsHaveThePlatformsFields(t *testing.T) {
	want := []string{
		"spec object required=groupAccess",
		"spec.groupAccess array",
		"spec.groupAccess[] object required=groupName,role",
		"spec.groupAccess[].groupName string",
		"spec.groupAccess[].role string enum=admin|edit|view",
		"spec.inactivityTimeoutSeconds integer default=86400 min=0",
		"spec.mcpServers object",
		"spec.mcpServers.custom object",
		"spec.mcpServers.custom{} object free",
		"spec.mcpServers.disabled array",
		"spec.mcpServers.disabled[] string",
		"spec.repositories array",
		"spec.repositories[] object required=url",
		"spec.repositories[].branch string",
		"spec.repositories[].provider string enum=github|gitlab",
		"spec.repositories[].url string",
		"spec.runnerSecretsName string",
		"status object",
		"status.groupBindingsCreated integer min=0",
		"status.limitRangeReady boolean",
		"status.scheduledSessionRBACReady boolean",
	}
	definition := load(t, "projectsettings.yaml")
	version := definition.Spec.Versions[0]
	properties := version.Schema.OpenAPIV3Schema.Properties
	spec, status := properties["spec"], properties["status"]
	got := append(describe("spec", &spec), describe("status", &status)...)
	slices.Sort(got)
	slices.Sort(want)
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("fields (-want +got):\n%s", difference)
	}
	names := definition.Spec.Names
	if names.Kind != "ProjectSettings" || names.Singular != "projectsetting" || !slices.Equal(names.ShortNames, []string{"ps"}) {
		t.Errorf("names are %+v", names)
	}
	if version.Subresources == nil || version.Subresources.Status == nil || len(version.AdditionalPrinterColumns) != 1 || version.AdditionalPrinterColumns[0].Name != "Age" {
		t.Errorf("version is %+v", version)
	}
	settings := newResource(t, "projectsettings.yaml")
	stored, _, problems := settings.accept(t, `{"metadata":{"name":"projectsettings"},"spec":{"groupAccess":[]}}`)
	if len(problems) > 0 {
		t.Errorf("empty settings are refused: %v", problems.ToAggregate())
	}
	if difference := cmp.Diff(map[string]any{"groupAccess": []any{}, "inactivityTimeoutSeconds": int64(86400)}, stored["spec"]); difference != "" {
		t.Errorf("defaults (-want +got):\n%s", difference)
	}
}
