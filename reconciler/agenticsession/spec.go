package agenticsession

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/unmapped"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Desired is what the reconciler wants an AgenticSession to say.
type Desired struct {
	// Object is the configuration to apply: exactly the fields that are ours.
	Object *unstructured.Unstructured
	// Omitted names the fields of the Session, with their paths, that an
	// AgenticSession has no place for or the operator would choke on, in order.
	Omitted []string
}

// Build maps a Session to the AgenticSession of the given name.
func Build(session *v1alpha1.Session, name string) Desired {
	var omitted []string
	omit := func(path string) { omitted = append(omitted, path) }

	object := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{
			"name":        name,
			"namespace":   session.Namespace,
			"labels":      labels(session, omit),
			"annotations": annotations(session, omit),
		},
		"spec": spec(&session.Spec, name),
	}}
	for _, lost := range unmapped.Fields(&session.Spec, &v1alpha1.SessionSpec{}) {
		omit(lost.Path)
	}
	object.SetGroupVersionKind(Kind)
	slices.Sort(omitted)
	return Desired{Object: object, Omitted: omitted}
}

func labels(session *v1alpha1.Session, omit func(string)) map[string]any {
	result := map[string]any{}
	for key, value := range session.Labels {
		if Reserved(key) {
			continue
		}
		if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			omit(fmt.Sprintf("metadata.labels[%s]", key))
			continue
		}
		result[key] = value
	}
	result[v1alpha1.SessionIDLabel] = session.Status.SessionID
	result[v1alpha1.ProjectIDLabel] = session.Namespace
	result[ManagedByLabel] = FieldManager
	return result
}

func annotations(session *v1alpha1.Session, omit func(string)) map[string]any {
	result := map[string]any{}
	for key, value := range session.Annotations {
		if Reserved(key) {
			continue
		}
		if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 {
			omit(fmt.Sprintf("metadata.annotations[%s]", key))
			continue
		}
		result[key] = value
	}
	result[SessionNameAnnotation] = session.Name
	if parent := session.Spec.ParentSessionID; parent != "" {
		result[ParentAnnotation] = parent
	}
	return result
}

func spec(from *v1alpha1.SessionSpec, name string) map[string]any {
	to := map[string]any{"displayName": from.DisplayName}
	if from.Prompt != "" {
		to["initialPrompt"] = from.Prompt
	}
	// 0 upstream means that nobody chose one; the operator's default applies.
	if from.TimeoutSeconds != nil && *from.TimeoutSeconds != 0 {
		to["timeout"] = int64(*from.TimeoutSeconds)
	}
	if repositories := repositories(from, name); len(repositories) > 0 {
		to["repos"] = repositories
	}
	if from.LLM != nil {
		if settings := llmSettings(from.LLM); len(settings) > 0 {
			to["llmSettings"] = settings
		}
	}
	if variables := environment(from.Environment); len(variables) > 0 {
		to["environmentVariables"] = variables
	}
	if from.CreatedBy != "" {
		to["userContext"] = map[string]any{"userId": from.CreatedBy}
	}
	if workflow := workflow(from.Workflow); workflow != nil {
		to["activeWorkflow"] = workflow
	}
	return to
}

// repositories maps the list, or the only repository. Without a branch of its
// own each session works on one that is named after it.
func repositories(from *v1alpha1.SessionSpec, name string) []any {
	branch := func(chosen string) string {
		if chosen == "" {
			return "ambient/" + name
		}
		return chosen
	}
	if len(from.Repositories) == 0 {
		if from.RepositoryURL == "" {
			return nil
		}
		return []any{map[string]any{"url": from.RepositoryURL, "branch": branch("")}}
	}
	result := make([]any, 0, len(from.Repositories))
	for _, repository := range from.Repositories {
		entry := map[string]any{"url": repository.URL, "branch": branch(repository.Branch)}
		if repository.AutoPush != nil {
			entry["autoPush"] = *repository.AutoPush
		}
		result = append(result, entry)
	}
	return result
}

func llmSettings(from *v1alpha1.LLMSettings) map[string]any {
	to := map[string]any{}
	if from.Model != "" {
		to["model"] = from.Model
	}
	if from.Temperature != nil {
		to["temperature"] = fractional(*from.Temperature)
	}
	if from.MaxTokens != nil && *from.MaxTokens != 0 {
		to["maxTokens"] = int64(*from.MaxTokens)
	}
	return to
}

// fractional returns the number nearest to value that JSON spells with a
// fraction. The operator reads a number without one as 0, and neither JSON nor
// kube-apiserver can spell 1 with a fraction; the neighbour of 1 differs from it
// by 1e-16 and prints as 1.00. 0 is read as 0 either way.
func fractional(value float64) float64 {
	if value == 0 || value != math.Trunc(value) {
		return value
	}
	return math.Nextafter(value, 0)
}

func environment(from map[string]string) map[string]any {
	to := map[string]any{}
	for name, value := range from {
		if !unmapped.Variable(name) {
			to[name] = value
		}
	}
	return to
}

// workflow maps a workflow in a Git repository; one that is known by an id only
// has no place in an AgenticSession.
func workflow(from *v1alpha1.Workflow) map[string]any {
	if from == nil || from.GitURL == "" {
		return nil
	}
	to := map[string]any{"gitUrl": from.GitURL}
	if from.Branch != "" {
		to["branch"] = from.Branch
	}
	if from.Path != "" {
		to["path"] = from.Path
	}
	return to
}
