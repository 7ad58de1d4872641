// Package unmapped knows which fields of a Session are stored and yet reach no
// agent: those that the platform's AgenticSession has no place for, or that its
// operator sets itself.
//
// It owns this knowledge for the server, which warns who writes such a field, and
// for the reconciler, which leaves it out and says so. It must not know either.
package unmapped

import (
	"fmt"
	"maps"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// reservedVariables are those that the operator sets itself in the agent's pod,
// whatever a session says.
var reservedVariables = []string{
	"SESSION_NAME", "S3_ENDPOINT", "S3_BUCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NAMESPACE", "SYNC_INTERVAL",
}

// Field is a field that reaches no agent.
type Field struct {
	// Path begins with spec.
	Path string
	// Why says so to a person; the field's value is not in it.
	Why string
}

// Fields returns the fields of spec that reach no agent and differ from old, in
// the order of the type.
func Fields(spec, old *v1alpha1.SessionSpec) []Field {
	var fields []Field
	add := func(path, why string) { fields = append(fields, Field{path, why}) }
	for i, repository := range spec.Repositories {
		known := i < len(old.Repositories) && old.Repositories[i].Name == repository.Name
		if repository.Name != "" && !known {
			add(fmt.Sprintf("spec.repositories[%d].name", i), "stored, but AgenticSession has no such field, so the agent does not get it")
		}
	}
	if workflow := spec.Workflow; workflow != nil && workflow.GitURL == "" && workflow.ID != "" && !apiequality.Semantic.DeepEqual(workflow, old.Workflow) {
		add("spec.workflow.id", "stored, but AgenticSession knows a workflow by its gitURL only, so the agent does not get it")
	}
	if spec.BotAccountName != "" && spec.BotAccountName != old.BotAccountName {
		add("spec.botAccountName", "stored, but AgenticSession has no such field, so the agent does not get it")
	}
	if overrides := spec.ResourceOverrides; overrides != nil && *overrides != (v1alpha1.ResourceOverrides{}) && !apiequality.Semantic.DeepEqual(overrides, old.ResourceOverrides) {
		add("spec.resourceOverrides", "stored, but AgenticSession has no such field, so the pod does not get them")
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Environment)) {
		value := spec.Environment[name]
		if before, was := old.Environment[name]; was && before == value {
			continue
		}
		if why := variable(name); why != "" {
			add(fmt.Sprintf("spec.environment[%s]", name), why)
		}
	}
	return fields
}

// Variable tells whether an environment variable of the name reaches no agent.
func Variable(name string) bool { return variable(name) != "" }

func variable(name string) string {
	switch {
	case slices.Contains(reservedVariables, name):
		return "reserved by the operator, which sets its own value"
	case len(validation.IsEnvVarName(name)) > 0:
		return "stored, but not a name that an environment variable can have, so the agent does not get it"
	default:
		return ""
	}
}
