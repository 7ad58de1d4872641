package translate

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// computedProjectConditions are the types of the conditions of projects and
// settings that this server computes.
var computedProjectConditions = []string{v1alpha1.ConditionTranslated}

// Project returns the object that stands for the row. Generation 0 takes the one
// that the row tells. It never fails.
func (t *Translator) Project(row *ambientv1.Project, generation int64) *v1alpha1.Project {
	var p problems
	id := row.GetMetadata().GetId()
	project := &v1alpha1.Project{
		ObjectMeta: objectMeta("", id, UID("Project", id, ""), row.GetMetadata().GetCreatedAt(), &p),
	}
	project.Labels = readLabels(row.GetLabels(), &p)
	annotations, reserved, state := readAnnotations(row.GetAnnotations(), ReservedAnnotation, &p)
	project.Annotations = annotations
	if state == reservedPresent {
		t.setReserved(&project.ObjectMeta, &reserved)
	}
	project.Spec = v1alpha1.ProjectSpec{DisplayName: row.GetDisplayName(), Description: row.GetDescription()}
	if project.Spec.DisplayName == "" {
		project.Spec.DisplayName = reserved.DisplayName
	}
	project.Generation = generation
	if project.Generation == 0 {
		observed := highestObserved(reserved.ObservedGeneration, reserved.Conditions)
		project.Generation = storedGeneration(&reserved, observed, (*projectHash)(&project.Spec))
	}
	project.Status = v1alpha1.ProjectStatus{
		ObservedGeneration: reserved.ObservedGeneration,
		Phase:              row.GetStatus(),
		UpstreamName:       row.GetName(),
		Namespace:          reserved.Namespace,
		Cluster:            string(reserved.ProjectedBy),
	}
	held := reserved.Conditions
	if t.elsewhere(reserved.ProjectedBy) {
		// What the other cluster has observed is true there.
		project.Status.Namespace = ""
		held = projectedElsewhere(&project.ObjectMeta, reserved.ProjectedBy)
	}
	project.Status.Conditions = withComputedOfProject(held, &project.ObjectMeta, &p)
	return project
}

// elsewhere tells whether the cluster that projects a project is not this one.
func (t *Translator) elsewhere(projectedBy types.UID) bool {
	return projectedBy != "" && projectedBy != t.options.Cluster
}

// projectedElsewhere says that a project is projected by another cluster.
func projectedElsewhere(meta *metav1.ObjectMeta, owner types.UID) []metav1.Condition {
	conditions := make([]metav1.Condition, 0, 4)
	for _, c := range []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse},
		{Type: v1alpha1.ConditionProjected, Status: metav1.ConditionFalse},
		{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue},
	} {
		conditions = append(conditions, metav1.Condition{
			Type: c.Type, Status: c.Status, ObservedGeneration: meta.Generation, LastTransitionTime: meta.CreationTimestamp,
			Reason:  v1alpha1.ReasonProjectedByAnotherCluster,
			Message: fmt.Sprintf("The project is projected by the cluster whose namespace kube-system has the UID %s. To hand it over to this one, annotate it with %s and the UID of the namespace kube-system here.", owner, v1alpha1.ProjectIntoAnnotation),
		})
	}
	return conditions
}

// withComputedOfProject puts the conditions that are computed around those that the
// upstream holds: without a Ready, an object that nobody has looked at yet would
// pass for one that is as it should be.
func withComputedOfProject(stored []metav1.Condition, meta *metav1.ObjectMeta, p *problems) []metav1.Condition {
	conditions := storedConditions(stored, computedProjectConditions)
	if indexOfType(conditions, v1alpha1.ConditionReady) < 0 {
		conditions = slices.Insert(slices.Clip(conditions), 0, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, ObservedGeneration: meta.Generation, LastTransitionTime: meta.CreationTimestamp,
			Reason: v1alpha1.ReasonNotObserved, Message: "No reconciler has looked at it yet.",
		})
	}
	if c, found := p.condition(meta); found {
		conditions = append(slices.Clip(conditions), c)
	}
	return conditions
}

// ProjectCreate returns the request that creates the project.
func (t *Translator) ProjectCreate(desired *v1alpha1.Project, reserved Reserved) (*ambientv1.CreateProjectRequest, error) {
	t.takeMetadata(&reserved, &desired.ObjectMeta)
	reserved.DisplayName = desired.Spec.DisplayName
	reserved.Generation = max(1, desired.Generation)
	reserved.SpecHash = specHash((*projectHash)(&desired.Spec), "")
	annotations, err := newAnnotations(desired.Annotations, reserved)
	if err != nil {
		return nil, err
	}
	request := &ambientv1.CreateProjectRequest{
		Name:        desired.Name,
		DisplayName: present(desired.Spec.DisplayName),
		Description: present(desired.Spec.Description),
		Annotations: text(annotations),
	}
	if len(desired.Labels) > 0 {
		request.Labels = text(editObject("", mapChanges(nil, desired.Labels)))
	}
	return request, nil
}

// ProjectUpdate returns the request that turns current, the translation of row,
// into desired; nil when there is nothing to send.
func (t *Translator) ProjectUpdate(row *ambientv1.Project, current, desired *v1alpha1.Project) (*ambientv1.UpdateProjectRequest, error) {
	request := &ambientv1.UpdateProjectRequest{Id: row.GetMetadata().GetId()}
	s := &sender{}
	s.text(&request.DisplayName, current.Spec.DisplayName, desired.Spec.DisplayName)
	s.text(&request.Description, current.Spec.Description, desired.Spec.Description)
	s.text(&request.Status, current.Status.Phase, desired.Status.Phase)
	if changes := mapChanges(current.Labels, desired.Labels); len(changes) > 0 {
		s.send(&request.Labels, editObject(row.GetLabels(), changes))
	}
	annotations, send, err := t.updateAnnotations(annotationsUpdate{
		text:    row.GetAnnotations(),
		key:     ReservedAnnotation,
		changes: mapChanges(current.Annotations, desired.Annotations, reservedKeys...),
		from:    &current.ObjectMeta,
		to:      &desired.ObjectMeta,
		before:  (*projectHash)(&current.Spec),
		after:   (*projectHash)(&desired.Spec),
		also: func(r *Reserved) {
			if current.Spec.DisplayName != desired.Spec.DisplayName {
				r.DisplayName = desired.Spec.DisplayName
			}
			if r.ProjectedBy = types.UID(desired.Status.Cluster); t.elsewhere(r.ProjectedBy) {
				return // its status is what the other cluster has observed
			}
			r.Namespace = desired.Status.Namespace
			keepStatus(r, desired.Status.ObservedGeneration, current.Status.Conditions, desired.Status.Conditions)
		},
	}, s.sending)
	if err != nil {
		return nil, err
	}
	if send {
		s.send(&request.Annotations, annotations)
	}
	if !s.sending {
		return nil, nil
	}
	return request, nil
}

// keepStatus records a status that has no columns.
func keepStatus(r *Reserved, observed int64, current, desired []metav1.Condition) {
	r.ObservedGeneration = observed
	held, wanted := storedConditions(current, computedProjectConditions), storedConditions(desired, computedProjectConditions)
	if !sameConditions(held, wanted) {
		r.Conditions = wanted
	}
}
