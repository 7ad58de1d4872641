package validation

import (
	"maps"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// MaxTemperature is the highest sampling temperature.
const MaxTemperature = 2.0

// ValidateSession validates a Session that is to be created.
func ValidateSession(session *v1alpha1.Session) field.ErrorList {
	var errs field.ErrorList
	for _, message := range apivalidation.NameIsDNSLabel(session.Name, false) {
		errs = append(errs, field.Invalid(metadataPath.Child("name"), session.Name, message))
	}
	if _, present := session.Labels[v1alpha1.SessionIDLabel]; present {
		errs = append(errs, field.Forbidden(metadataPath.Child("labels").Key(v1alpha1.SessionIDLabel), "is set by the server"))
	}
	if session.Spec.AgentID != "" {
		errs = append(errs, field.Forbidden(specPath.Child("agentID"), "is read-only: only the upstream can set it"))
	}
	errs = append(errs, validateReserved(session.Annotations, nil)...)
	errs = append(errs, validateSessionSpec(&session.Spec, &v1alpha1.SessionSpec{})...)
	errs = append(errs, validateText(session, nil)...)
	return append(errs, validateSize(session, nil, specPath)...)
}

// ValidateSessionUpdate validates what an update changes in a Session outside of
// its status.
func ValidateSessionUpdate(session, old *v1alpha1.Session) field.ErrorList {
	errs := validateReserved(session.Annotations, old.Annotations)
	errs = append(errs, validateImmutable(session.Labels[v1alpha1.SessionIDLabel], old.Labels[v1alpha1.SessionIDLabel],
		"it is the session's upstream id", metadataPath.Child("labels").Key(v1alpha1.SessionIDLabel))...)
	errs = append(errs, validateImmutable(session.Spec.CreatedBy, old.Spec.CreatedBy,
		"it is set when the session is created", specPath.Child("createdBy"))...)
	errs = append(errs, validateImmutable(session.Spec.AgentID, old.Spec.AgentID,
		"only the upstream can set it", specPath.Child("agentID"))...)
	errs = append(errs, validateSessionSpec(&session.Spec, &old.Spec)...)
	errs = append(errs, validateText(session, old)...)
	return append(errs, validateSize(session, old, specPath)...)
}

// ValidateSessionStatusUpdate validates what an update changes in a Session's
// status.
func ValidateSessionStatusUpdate(session, old *v1alpha1.Session) field.ErrorList {
	status, before := &session.Status, &old.Status
	var errs field.ErrorList
	if status.Phase != before.Phase && !isPhase(status.Phase) {
		errs = append(errs, field.NotSupported(statusPath.Child("phase"), status.Phase, phases))
	}
	const assigned = "the upstream assigned it"
	errs = append(errs, validateImmutable(status.SessionID, before.SessionID, assigned, statusPath.Child("sessionID"))...)
	errs = append(errs, validateImmutable(status.ProjectID, before.ProjectID, assigned, statusPath.Child("projectID"))...)
	errs = append(errs, validateImmutable(agenticSessionName(status), agenticSessionName(before), assigned,
		statusPath.Child("agenticSession", "name"))...)
	errs = append(errs, validateNonNegative(&status.ObservedGeneration, &before.ObservedGeneration, statusPath.Child("observedGeneration"))...)
	errs = append(errs, validateNonNegative(status.SDKRestartCount, before.SDKRestartCount, statusPath.Child("sdkRestartCount"))...)
	errs = append(errs, validateStatusTimes(status)...)
	errs = append(errs, validateConditions(status.Conditions, before.Conditions, statusPath.Child("conditions"))...)
	errs = append(errs, validateText(session, old)...)
	errs = append(errs, validateRestoredName(session)...)
	return append(errs, validateStatusSize(session, old, status)...)
}

// validateStatusTimes validates the times of a status, those of its conditions aside.
func validateStatusTimes(status *v1alpha1.SessionStatus) field.ErrorList {
	errs := validateTime(status.StartTime, statusPath.Child("startTime"))
	errs = append(errs, validateTime(status.CompletionTime, statusPath.Child("completionTime"))...)
	errs = append(errs, validateTime(status.LastActivityTime, statusPath.Child("lastActivityTime"))...)
	for i, repository := range status.Repositories {
		errs = append(errs, validateTime(repository.ClonedAt, statusPath.Child("repositories").Index(i).Child("clonedAt"))...)
	}
	if status.Workflow != nil {
		errs = append(errs, validateTime(status.Workflow.AppliedAt, statusPath.Child("workflow", "appliedAt"))...)
	}
	return errs
}

var restoreNamePath = field.NewPath("metadata", "annotations").Key(v1alpha1.RestoreNameAnnotation)

// validateRestoredName validates the name that a write of the status gives back.
func validateRestoredName(session *v1alpha1.Session) field.ErrorList {
	name, restoring := session.Annotations[v1alpha1.RestoreNameAnnotation]
	if !restoring {
		return nil
	}
	if session.Name != strings.ToLower(session.Status.SessionID) {
		return field.ErrorList{field.Forbidden(restoreNamePath, "the session goes by a name of its own, not by its id")}
	}
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(restoreNamePath, name, problem))
	}
	return errs
}

// RefuseRestoredName refuses to give a name back in any write but one of the status,
// which is the reconciler's.
func RefuseRestoredName(session *v1alpha1.Session) field.ErrorList {
	if _, restoring := session.Annotations[v1alpha1.RestoreNameAnnotation]; restoring {
		return field.ErrorList{field.Forbidden(restoreNamePath, "may be set in a write of the status only")}
	}
	return nil
}

func agenticSessionName(status *v1alpha1.SessionStatus) string {
	if status.AgenticSession == nil {
		return ""
	}
	return status.AgenticSession.Name
}

// validateSessionSpec validates what differs between two specs.
func validateSessionSpec(spec, old *v1alpha1.SessionSpec) field.ErrorList {
	errs := validateDisplayName(spec.DisplayName, old.DisplayName)
	if spec.Prompt != old.Prompt && len(spec.Prompt) > MaxPromptBytes {
		errs = append(errs, field.TooLong(specPath.Child("prompt"), "", MaxPromptBytes))
	}
	if spec.RepositoryURL != "" && spec.RepositoryURL != old.RepositoryURL {
		errs = append(errs, validateGitURL(spec.RepositoryURL, specPath.Child("repositoryURL"))...)
	}
	for i, repository := range spec.Repositories {
		if !contains(old.Repositories, repository) {
			errs = append(errs, validateRepository(repository, specPath.Child("repositories").Index(i))...)
		}
	}
	if spec.Workflow != nil && !apiequality.Semantic.DeepEqual(spec.Workflow, old.Workflow) {
		errs = append(errs, validateWorkflow(spec.Workflow, specPath.Child("workflow"))...)
	}
	if spec.LLM != nil {
		before := old.LLM
		if before == nil {
			before = &v1alpha1.LLMSettings{}
		}
		errs = append(errs, validateLLM(spec.LLM, before, specPath.Child("llm"))...)
	}
	errs = append(errs, validateNonNegative(spec.TimeoutSeconds, old.TimeoutSeconds, specPath.Child("timeoutSeconds"))...)
	errs = append(errs, validateEnvironment(spec.Environment, old.Environment, specPath.Child("environment"))...)
	if spec.ResourceOverrides != nil {
		before := old.ResourceOverrides
		if before == nil {
			before = &v1alpha1.ResourceOverrides{}
		}
		errs = append(errs, validateResourceOverrides(spec.ResourceOverrides, before, specPath.Child("resourceOverrides"))...)
	}
	return errs
}

func validateRepository(repository v1alpha1.Repository, path *field.Path) field.ErrorList {
	errs := validateGitURL(repository.URL, path.Child("url"))
	if name := repository.Name; strings.ContainsAny(name, `/\`) || name == "." || name == ".." || strings.HasPrefix(name, "-") {
		errs = append(errs, field.Invalid(path.Child("name"), name, "must be the name of a directory, without a path"))
	}
	return append(errs, validateBranch(repository.Branch, path.Child("branch"))...)
}

func validateBranch(branch string, path *field.Path) field.ErrorList {
	if strings.HasPrefix(branch, "-") || strings.ContainsAny(branch, " \t\n\r~^:?*[\\") || strings.Contains(branch, "..") {
		return field.ErrorList{field.Invalid(path, branch, "must be a branch name that git accepts")}
	}
	return nil
}

func validateWorkflow(workflow *v1alpha1.Workflow, path *field.Path) field.ErrorList {
	if workflow.ID != "" {
		var errs field.ErrorList
		others := map[string]string{"gitURL": workflow.GitURL, "branch": workflow.Branch, "path": workflow.Path}
		for _, name := range slices.Sorted(maps.Keys(others)) {
			if others[name] != "" {
				errs = append(errs, field.Forbidden(path.Child(name), "may not be given together with id"))
			}
		}
		if strings.HasPrefix(workflow.ID, "{") {
			errs = append(errs, field.Invalid(path.Child("id"), workflow.ID, "must not begin with a brace"))
		}
		return errs
	}
	if *workflow == (v1alpha1.Workflow{}) {
		return nil
	}
	errs := validateGitURL(workflow.GitURL, path.Child("gitURL"))
	return append(errs, validateBranch(workflow.Branch, path.Child("branch"))...)
}

func validateLLM(settings, old *v1alpha1.LLMSettings, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if temperature := settings.Temperature; temperature != nil && (old.Temperature == nil || *old.Temperature != *temperature) &&
		!(*temperature >= 0 && *temperature <= MaxTemperature) {
		errs = append(errs, field.Invalid(path.Child("temperature"), *temperature, "must be between 0 and 2"))
	}
	return append(errs, validateNonNegative(settings.MaxTokens, old.MaxTokens, path.Child("maxTokens"))...)
}

// validateEnvironment looks at names only; values are free and may be secret.
func validateEnvironment(environment, old map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		if _, was := old[name]; was {
			continue
		}
		for _, message := range validation.IsEnvVarName(name) {
			errs = append(errs, field.Invalid(path.Key(name), name, message))
		}
	}
	return errs
}

func validateResourceOverrides(overrides, old *v1alpha1.ResourceOverrides, path *field.Path) field.ErrorList {
	errs := validateQuantity(overrides.CPU, old.CPU, path.Child("cpu"))
	errs = append(errs, validateQuantity(overrides.Memory, old.Memory, path.Child("memory"))...)
	errs = append(errs, validateObjectName(overrides.StorageClassName, old.StorageClassName, path.Child("storageClassName"))...)
	return append(errs, validateObjectName(overrides.PriorityClassName, old.PriorityClassName, path.Child("priorityClassName"))...)
}

func validateQuantity(value, old string, path *field.Path) field.ErrorList {
	if value == "" || value == old {
		return nil
	}
	quantity, err := resource.ParseQuantity(value)
	if err != nil {
		return field.ErrorList{field.Invalid(path, value, err.Error())}
	}
	if quantity.Sign() <= 0 {
		return field.ErrorList{field.Invalid(path, value, "must be greater than 0")}
	}
	return nil
}

func validateObjectName(value, old string, path *field.Path) field.ErrorList {
	if value == "" || value == old {
		return nil
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Subdomain(value) {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}
