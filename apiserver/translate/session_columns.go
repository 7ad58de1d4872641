package translate

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Names of the columns of a session, as conditions call them: first those that hold JSON.
const (
	reposColumn              = "repos"
	workflowColumn           = "workflow_id"
	environmentColumn        = "environment_variables"
	resourceOverridesColumn  = "resource_overrides"
	conditionsColumn         = "conditions"
	reconciledReposColumn    = "reconciled_repos"
	reconciledWorkflowColumn = "reconciled_workflow"

	temperatureColumn = "llm_temperature"
	startColumn       = "start_time"
	completionColumn  = "completion_time"
)

var repositoryProperties = []property[v1alpha1.Repository]{
	textProperty(func(r *v1alpha1.Repository) *string { return &r.URL }, "url"),
	textProperty(func(r *v1alpha1.Repository) *string { return &r.Branch }, "branch"),
	textProperty(func(r *v1alpha1.Repository) *string { return &r.Name }, "name"),
	flagProperty(func(r *v1alpha1.Repository) **bool { return &r.AutoPush }, "auto_push", "autoPush"),
}

// repositories is the column repos. An element may also be the URL alone.
var repositories = list[v1alpha1.Repository]{
	column: reposColumn,
	read: func(raw string) (v1alpha1.Repository, []string, bool) {
		var r v1alpha1.Repository
		if url, ok := decodeString(raw); ok {
			r.URL = url
			return r, nil, true
		}
		wrong, ok := readProperties(raw, repositoryProperties, &r)
		return r, wrong, ok
	},
	key: func(r v1alpha1.Repository) string { return r.URL },
	edit: func(raw string, from, to v1alpha1.Repository, samples []string) string {
		if strings.HasPrefix(raw, `"`) {
			return newProperties(repositoryProperties, &to, samples)
		}
		return editProperties(raw, repositoryProperties, &from, &to, samples)
	},
	create: func(to v1alpha1.Repository, samples []string) string {
		return newProperties(repositoryProperties, &to, samples)
	},
}

var workflowProperties = []property[v1alpha1.Workflow]{
	textProperty(func(w *v1alpha1.Workflow) *string { return &w.GitURL }, "git_url", "gitUrl"),
	textProperty(func(w *v1alpha1.Workflow) *string { return &w.Branch }, "branch"),
	textProperty(func(w *v1alpha1.Workflow) *string { return &w.Path }, "path"),
}

// readWorkflow decodes the column workflow_id: JSON, or else the bare id.
func readWorkflow(text string, p *problems) *v1alpha1.Workflow {
	if text == "" {
		return nil
	}
	if !isWorkflowObject(text) {
		return &v1alpha1.Workflow{ID: text}
	}
	var w v1alpha1.Workflow
	wrong, ok := readProperties(text, workflowProperties, &w)
	if !ok {
		p.malformed(workflowColumn, "a JSON object or an id")
		return nil
	}
	for _, name := range wrong {
		p.value(workflowColumn + "." + name)
	}
	return orNil(w)
}

// isWorkflowObject tells the two shapes of the column apart.
func isWorkflowObject(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
}

// writeWorkflow returns the column's text after the workflow changed.
func writeWorkflow(text string, from, to *v1alpha1.Workflow) string {
	switch before, after := orZero(from), orZero(to); {
	case after == (v1alpha1.Workflow{}):
		return ""
	case after.GitURL == "" && after.Branch == "" && after.Path == "":
		return after.ID
	case isWorkflowObject(text):
		return editProperties(text, workflowProperties, &before, &after, nil)
	default:
		return newProperties(workflowProperties, &after, nil)
	}
}

var overrideProperties = []property[v1alpha1.ResourceOverrides]{
	quantityProperty(func(o *v1alpha1.ResourceOverrides) *string { return &o.CPU }, "cpu"),
	quantityProperty(func(o *v1alpha1.ResourceOverrides) *string { return &o.Memory }, "memory"),
	textProperty(func(o *v1alpha1.ResourceOverrides) *string { return &o.StorageClassName }, "storage_class", "storageClass", "storageClassName"),
	textProperty(func(o *v1alpha1.ResourceOverrides) *string { return &o.PriorityClassName }, "priority_class", "priorityClass", "priorityClassName"),
}

var reconciledWorkflowProperties = []property[v1alpha1.ReconciledWorkflow]{
	textProperty(func(w *v1alpha1.ReconciledWorkflow) *string { return &w.GitURL }, "gitUrl", "git_url"),
	textProperty(func(w *v1alpha1.ReconciledWorkflow) *string { return &w.Branch }, "branch"),
	textProperty(func(w *v1alpha1.ReconciledWorkflow) *string { return &w.Path }, "path"),
	textProperty(func(w *v1alpha1.ReconciledWorkflow) *string { return &w.Status }, "status"),
	timeProperty(func(w *v1alpha1.ReconciledWorkflow) **metav1.Time { return &w.AppliedAt }, "appliedAt", "applied_at"),
}

var reconciledRepositoryProperties = []property[v1alpha1.ReconciledRepository]{
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.URL }, "url"),
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.Name }, "name"),
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.Branch }, "branch"),
	textsProperty(func(r *v1alpha1.ReconciledRepository) *[]string { return &r.Branches }, "branches"),
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.CurrentActiveBranch }, "currentActiveBranch", "current_active_branch"),
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.DefaultBranch }, "defaultBranch", "default_branch"),
	textProperty(func(r *v1alpha1.ReconciledRepository) *string { return &r.Status }, "status"),
	timeProperty(func(r *v1alpha1.ReconciledRepository) **metav1.Time { return &r.ClonedAt }, "clonedAt", "cloned_at"),
}

// reconciledRepositories is the column reconciled_repos.
var reconciledRepositories = list[v1alpha1.ReconciledRepository]{
	column: reconciledReposColumn,
	read: func(raw string) (v1alpha1.ReconciledRepository, []string, bool) {
		var r v1alpha1.ReconciledRepository
		wrong, ok := readProperties(raw, reconciledRepositoryProperties, &r)
		return r, wrong, ok
	},
	key: func(r v1alpha1.ReconciledRepository) string { return r.URL },
	edit: func(raw string, from, to v1alpha1.ReconciledRepository, samples []string) string {
		return editProperties(raw, reconciledRepositoryProperties, &from, &to, samples)
	},
	create: func(to v1alpha1.ReconciledRepository, samples []string) string {
		return newProperties(reconciledRepositoryProperties, &to, samples)
	},
}

// readObject decodes a column that holds a JSON object; nil when it says nothing.
func readObject[T comparable](column, text string, properties []property[T], p *problems) *T {
	if blank(text) {
		return nil
	}
	var value T
	wrong, ok := readProperties(text, properties, &value)
	if !ok {
		p.malformed(column, "a JSON object")
		return nil
	}
	for _, name := range wrong {
		p.value(column + "." + name)
	}
	return orNil(value)
}

// writeObject returns the text of such a column after its value changed.
func writeObject[T comparable](text string, properties []property[T], from, to *T) string {
	before, after := orZero(from), orZero(to)
	return editProperties(text, properties, &before, &after, nil)
}

// orNil and orZero make an absent value and an empty one the same, as they are
// upstream.
func orNil[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

func orZero[T any](value *T) T {
	var zero T
	if value == nil {
		return zero
	}
	return *value
}
