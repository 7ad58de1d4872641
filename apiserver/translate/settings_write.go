package translate

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// ProjectSettingsCreate returns the request that creates the settings of the
// project, and the one that records on the project's row what they have no
// columns for; the latter is nil when there is no project, or
// when recording it would destroy annotations that are not a JSON object.
func (t *Translator) ProjectSettingsCreate(desired *v1alpha1.ProjectSettings, project *ambientv1.Project) (*ambientv1.CreateProjectSettingsRequest, *ambientv1.UpdateProjectRequest, error) {
	request := &ambientv1.CreateProjectSettingsRequest{ProjectId: desired.Namespace}
	if len(desired.Spec.GroupAccess) > 0 {
		request.GroupAccess = text(groupAccess.rewrite("", desired.Spec.GroupAccess))
	}
	if len(desired.Spec.Repositories) > 0 {
		request.Repositories = text(projectRepositories.rewrite("", desired.Spec.Repositories))
	}
	if project == nil {
		return request, nil, nil
	}
	var reserved Reserved
	t.takeSettings(&reserved, desired, project)
	reserved.Generation = max(1, desired.Generation)
	reserved.SpecHash = specHash((*settingsHash)(&desired.Spec), "")
	if MalformedAnnotations(project.GetAnnotations()) && equality.Semantic.DeepEqual(reserved.wishes(), Reserved{}) {
		return request, nil, nil
	}
	onProject, err := settingsOnProject(project, reserved)
	if err != nil {
		return nil, nil, err
	}
	return request, onProject, nil
}

// takeSettings records all of the settings that has no column.
func (t *Translator) takeSettings(r *Reserved, desired *v1alpha1.ProjectSettings, project *ambientv1.Project) {
	t.takeMetadata(r, &desired.ObjectMeta)
	r.Deleted = false
	r.Labels = maps.Clone(desired.Labels)
	r.Annotations = maps.Clone(desired.Annotations)
	for _, key := range reservedKeys {
		delete(r.Annotations, key)
	}
	if t.elsewhere(projectedBy(project)) {
		return // its status is what the other cluster has observed
	}
	r.ObservedGeneration = desired.Status.ObservedGeneration
	r.Conditions = storedConditions(desired.Status.Conditions, computedProjectConditions)
}

// settingsOnProject returns the request that writes the reserved annotation.
func settingsOnProject(project *ambientv1.Project, reserved Reserved) (*ambientv1.UpdateProjectRequest, error) {
	encoded, err := encodeReserved(reserved)
	if err != nil {
		return nil, fmt.Errorf("keeping the settings' metadata on project %s: %w", project.GetMetadata().GetId(), err)
	}
	return &ambientv1.UpdateProjectRequest{
		Id:          project.GetMetadata().GetId(),
		Annotations: text(editObject(keepable(project.GetAnnotations()), []change{{names: []string{SettingsAnnotation}, value: quote(encoded)}})),
	}, nil
}

// ProjectSettingsUpdate returns the requests that turn current, the translation
// of the two rows, into desired: one for the settings' own row and one for the
// project's; nil where there is nothing to send.
func (t *Translator) ProjectSettingsUpdate(row *ambientv1.ProjectSettings, project *ambientv1.Project, current, desired *v1alpha1.ProjectSettings) (*ambientv1.UpdateProjectSettingsRequest, *ambientv1.UpdateProjectRequest, error) {
	own := &ambientv1.UpdateProjectSettingsRequest{Id: row.GetMetadata().GetId()}
	s := &sender{}
	if !equality.Semantic.DeepEqual(current.Spec.GroupAccess, desired.Spec.GroupAccess) {
		s.send(&own.GroupAccess, groupAccess.rewrite(row.GetGroupAccess(), desired.Spec.GroupAccess))
	}
	if !equality.Semantic.DeepEqual(current.Spec.Repositories, desired.Spec.Repositories) {
		s.send(&own.Repositories, projectRepositories.rewrite(row.GetRepositories(), desired.Spec.Repositories))
	}
	if !s.sending {
		own = nil
	}
	if project == nil {
		return own, nil, nil
	}
	annotations, send, err := t.updateAnnotations(annotationsUpdate{
		text:   project.GetAnnotations(),
		key:    SettingsAnnotation,
		from:   &current.ObjectMeta,
		to:     &desired.ObjectMeta,
		before: (*settingsHash)(&current.Spec),
		after:  (*settingsHash)(&desired.Spec),
		also:   func(r *Reserved) { t.takeSettings(r, desired, project) },
	}, s.sending)
	if err != nil || !send {
		return own, nil, err
	}
	return own, &ambientv1.UpdateProjectRequest{Id: project.GetMetadata().GetId(), Annotations: text(annotations)}, nil
}

// ProjectSettingsEmpty returns the requests that stand for the deletion of the
// settings: their row is emptied and marked, because the upstream would never
// allow another one.
func (t *Translator) ProjectSettingsEmpty(row *ambientv1.ProjectSettings, project *ambientv1.Project) (*ambientv1.UpdateProjectSettingsRequest, *ambientv1.UpdateProjectRequest, error) {
	own := &ambientv1.UpdateProjectSettingsRequest{
		Id:           row.GetMetadata().GetId(),
		GroupAccess:  text(emptyArray),
		Repositories: text(emptyArray),
	}
	onProject, err := settingsOnProject(project, Reserved{Deleted: true})
	if err != nil {
		return nil, nil, err
	}
	return own, onProject, nil
}
