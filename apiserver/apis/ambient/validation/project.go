package validation

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// Git hosts that ProjectSettings may name as a repository's provider.
var providers = []string{"github", "gitlab"}

// Roles that ProjectSettings may give a group.
var roles = []string{"admin", "edit", "view"}

// ValidateProject validates a Project that is to be created.
func ValidateProject(project *v1alpha1.Project) field.ErrorList {
	errs := validateProjectName(project.Name)
	errs = append(errs, validateReserved(project.Annotations, nil)...)
	errs = append(errs, validateDisplayName(project.Spec.DisplayName, "")...)
	errs = append(errs, validateText(project, nil)...)
	return append(errs, validateSize(project, nil, specPath)...)
}

// ValidateProjectUpdate validates what an update changes in a Project outside of
// its status.
func ValidateProjectUpdate(project, old *v1alpha1.Project) field.ErrorList {
	errs := validateReserved(project.Annotations, old.Annotations)
	errs = append(errs, validateDisplayName(project.Spec.DisplayName, old.Spec.DisplayName)...)
	errs = append(errs, validateText(project, old)...)
	return append(errs, validateSize(project, old, specPath)...)
}

// ValidateProjectStatusUpdate validates what an update changes in a Project's
// status.
func ValidateProjectStatusUpdate(project, old *v1alpha1.Project) field.ErrorList {
	status, before := &project.Status, &old.Status
	errs := validateImmutable(status.UpstreamName, before.UpstreamName, "it is the project's name upstream", statusPath.Child("upstreamName"))
	errs = append(errs, validateNonNegative(&status.ObservedGeneration, &before.ObservedGeneration, statusPath.Child("observedGeneration"))...)
	errs = append(errs, validateConditions(status.Conditions, before.Conditions, statusPath.Child("conditions"))...)
	errs = append(errs, validateText(project, old)...)
	return append(errs, validateStatusSize(project, old, status)...)
}

// ValidateProjectSettings validates ProjectSettings that are to be created.
func ValidateProjectSettings(settings *v1alpha1.ProjectSettings) field.ErrorList {
	var errs field.ErrorList
	if settings.Name != v1alpha1.ProjectSettingsName {
		errs = append(errs, field.Invalid(metadataPath.Child("name"), settings.Name,
			"must be "+v1alpha1.ProjectSettingsName+": each project has one ProjectSettings"))
	}
	errs = append(errs, validateReserved(settings.Annotations, nil)...)
	errs = append(errs, validateProjectSettingsSpec(&settings.Spec, &v1alpha1.ProjectSettingsSpec{})...)
	errs = append(errs, validateText(settings, nil)...)
	return append(errs, validateSize(settings, nil, specPath)...)
}

// ValidateProjectSettingsUpdate validates what an update changes in
// ProjectSettings outside of their status.
func ValidateProjectSettingsUpdate(settings, old *v1alpha1.ProjectSettings) field.ErrorList {
	errs := validateReserved(settings.Annotations, old.Annotations)
	errs = append(errs, validateProjectSettingsSpec(&settings.Spec, &old.Spec)...)
	errs = append(errs, validateText(settings, old)...)
	return append(errs, validateSize(settings, old, specPath)...)
}

// ValidateProjectSettingsStatusUpdate validates what an update changes in the
// status of ProjectSettings.
func ValidateProjectSettingsStatusUpdate(settings, old *v1alpha1.ProjectSettings) field.ErrorList {
	status, before := &settings.Status, &old.Status
	errs := validateImmutable(status.SettingsID, before.SettingsID, "the upstream assigned it", statusPath.Child("settingsID"))
	errs = append(errs, validateNonNegative(&status.ObservedGeneration, &before.ObservedGeneration, statusPath.Child("observedGeneration"))...)
	errs = append(errs, validateConditions(status.Conditions, before.Conditions, statusPath.Child("conditions"))...)
	errs = append(errs, validateText(settings, old)...)
	return append(errs, validateStatusSize(settings, old, status)...)
}

func validateProjectSettingsSpec(spec, old *v1alpha1.ProjectSettingsSpec) field.ErrorList {
	var errs field.ErrorList
	seen := map[v1alpha1.GroupAccess]bool{}
	for i, access := range spec.GroupAccess {
		path := specPath.Child("groupAccess").Index(i)
		if seen[access] {
			errs = append(errs, field.Duplicate(path, access.GroupName+" as "+access.Role))
		}
		seen[access] = true
		if !contains(old.GroupAccess, access) {
			errs = append(errs, validateGroupAccess(access, path)...)
		}
	}
	for i, repository := range spec.Repositories {
		if contains(old.Repositories, repository) {
			continue
		}
		path := specPath.Child("repositories").Index(i)
		errs = append(errs, validateGitURL(repository.URL, path.Child("url"))...)
		errs = append(errs, validateBranch(repository.Branch, path.Child("branch"))...)
		if repository.Provider != "" && !slices.Contains(providers, repository.Provider) {
			errs = append(errs, field.NotSupported(path.Child("provider"), repository.Provider, providers))
		}
	}
	return errs
}

func validateGroupAccess(access v1alpha1.GroupAccess, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if access.GroupName == "" {
		errs = append(errs, field.Required(path.Child("groupName"), "give the name of the group"))
	}
	switch {
	case access.Role == "":
		errs = append(errs, field.Required(path.Child("role"), "give admin, edit or view"))
	case !slices.Contains(roles, access.Role):
		errs = append(errs, field.NotSupported(path.Child("role"), access.Role, roles))
	}
	return errs
}
