package translate

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

const (
	groupAccessColumn         = "group_access"
	projectRepositoriesColumn = "repositories"

	// defaultRole is the role of a group without one, as the platform has it.
	defaultRole = "view"
)

// The first spelling is that of the platform's own custom resource.
var groupAccessProperties = []property[v1alpha1.GroupAccess]{
	textProperty(func(g *v1alpha1.GroupAccess) *string { return &g.GroupName }, "groupName", "group_name", "group"),
	textProperty(func(g *v1alpha1.GroupAccess) *string { return &g.Role }, "role"),
}

// groupAccess is the column group_access. An element may also be the name of a
// group alone.
var groupAccess = list[v1alpha1.GroupAccess]{
	column: groupAccessColumn,
	read: func(raw string) (v1alpha1.GroupAccess, []string, bool) {
		g := v1alpha1.GroupAccess{Role: defaultRole}
		if name, ok := decodeString(raw); ok {
			g.GroupName = name
			return g, nil, name != ""
		}
		wrong, ok := readProperties(raw, groupAccessProperties, &g)
		if g.Role == "" {
			g.Role = defaultRole
		}
		return g, wrong, ok && g.GroupName != ""
	},
	key:      func(g v1alpha1.GroupAccess) string { return g.GroupName },
	identity: func(g v1alpha1.GroupAccess) string { return g.Role + "\x00" + g.GroupName },
	edit: func(raw string, from, to v1alpha1.GroupAccess, samples []string) string {
		if strings.HasPrefix(raw, `"`) {
			return newProperties(groupAccessProperties, &to, samples)
		}
		return editProperties(raw, groupAccessProperties, &from, &to, samples)
	},
	create: func(to v1alpha1.GroupAccess, samples []string) string {
		return newProperties(groupAccessProperties, &to, samples)
	},
}

var projectRepositoryProperties = []property[v1alpha1.ProjectRepository]{
	textProperty(func(r *v1alpha1.ProjectRepository) *string { return &r.URL }, "url"),
	textProperty(func(r *v1alpha1.ProjectRepository) *string { return &r.Branch }, "branch"),
	textProperty(func(r *v1alpha1.ProjectRepository) *string { return &r.Provider }, "provider"),
}

// projectRepositories is the column repositories of settings. An element may also
// be the URL alone.
var projectRepositories = list[v1alpha1.ProjectRepository]{
	column: projectRepositoriesColumn,
	read: func(raw string) (v1alpha1.ProjectRepository, []string, bool) {
		var r v1alpha1.ProjectRepository
		if url, ok := decodeString(raw); ok {
			r.URL = url
			return r, nil, true
		}
		wrong, ok := readProperties(raw, projectRepositoryProperties, &r)
		return r, wrong, ok
	},
	key: func(r v1alpha1.ProjectRepository) string { return r.URL },
	edit: func(raw string, from, to v1alpha1.ProjectRepository, samples []string) string {
		if strings.HasPrefix(raw, `"`) {
			return newProperties(projectRepositoryProperties, &to, samples)
		}
		return editProperties(raw, projectRepositoryProperties, &from, &to, samples)
	},
	create: func(to v1alpha1.ProjectRepository, samples []string) string {
		return newProperties(projectRepositoryProperties, &to, samples)
	},
}

// ProjectSettings returns the object that stands for the row. What the upstream
// has no column for is read from the row of the project, which may be nil.
// Generation 0 takes the one that the rows tell. It never fails.
func (t *Translator) ProjectSettings(row *ambientv1.ProjectSettings, project *ambientv1.Project, generation int64) *v1alpha1.ProjectSettings {
	var p problems
	id, projectID := row.GetMetadata().GetId(), row.GetProjectId()
	namespace, name := t.namespace(projectID), v1alpha1.ProjectSettingsName
	if namespace != projectID {
		// Several of them may come to live in that namespace.
		name = CollisionName(name, id)
	}
	settings := &v1alpha1.ProjectSettings{
		ObjectMeta: objectMeta(namespace, name, UID("ProjectSettings", id, projectID), row.GetMetadata().GetCreatedAt(), &p),
		Spec: v1alpha1.ProjectSettingsSpec{
			GroupAccess:  groupAccess.values(row.GetGroupAccess(), &p),
			Repositories: projectRepositories.values(row.GetRepositories(), &p),
		},
	}
	reserved, state := readReserved(project.GetAnnotations(), SettingsAnnotation)
	reserved.report("project."+annotationsColumn, SettingsAnnotation, state, &p)
	t.setReserved(&settings.ObjectMeta, &reserved)
	settings.Labels, settings.Annotations = reserved.Labels, reserved.Annotations
	settings.Generation = generation
	if settings.Generation == 0 {
		observed := highestObserved(reserved.ObservedGeneration, reserved.Conditions)
		settings.Generation = storedGeneration(&reserved, observed, (*settingsHash)(&settings.Spec))
	}
	held := reserved.Conditions
	if owner := projectedBy(project); t.elsewhere(owner) {
		// What the other cluster has granted is granted there.
		held = projectedElsewhere(&settings.ObjectMeta, owner)
	}
	settings.Status = v1alpha1.ProjectSettingsStatus{
		ObservedGeneration: reserved.ObservedGeneration,
		SettingsID:         id,
		Conditions:         withComputedOfProject(held, &settings.ObjectMeta, &p),
	}
	return settings
}

// projectedBy returns the cluster that projects the project, as far as its row tells.
func projectedBy(project *ambientv1.Project) types.UID {
	reserved, _ := readReserved(project.GetAnnotations(), ReservedAnnotation)
	return reserved.ProjectedBy
}

// SettingsDeleted tells whether the settings were deleted through Kubernetes and
// nobody has filled them since. They are then not shown, though the row exists. The
// mark of it goes with the row of the project: of a project that is gone (nil), empty
// settings count as deleted.
func SettingsDeleted(row *ambientv1.ProjectSettings, project *ambientv1.Project) bool {
	if !isEmptyList(row.GetGroupAccess()) || !isEmptyList(row.GetRepositories()) {
		return false
	}
	reserved, _ := readReserved(project.GetAnnotations(), SettingsAnnotation)
	return project == nil || reserved.Deleted
}

func isEmptyList(column string) bool {
	if blank(column) {
		return true
	}
	elements, ok := parseArray(column)
	return ok && len(elements) == 0
}
