package project

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// Verdict is what is said of an object that is to be projected.
type Verdict int

const (
	// OnItsWay: it will be projected without anybody's help, but is not yet.
	OnItsWay Verdict = iota
	// Ready: it is projected.
	Ready
	// Refused: it will not be projected until somebody does something.
	Refused
)

// Conditions returns the conditions known, with Ready and Projected saying the
// same: the object is as it was asked for once it is projected. Stalled is there
// only while it is refused, as kstatus wants it.
func Conditions(known []metav1.Condition, generation int64, verdict Verdict, reason, message string) []metav1.Condition {
	conditions := own(known)
	status := metav1.ConditionFalse
	if verdict == Ready {
		status = metav1.ConditionTrue
	}
	set := func(kind string, status metav1.ConditionStatus) {
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: generation,
		})
	}
	set(v1alpha1.ConditionReady, status)
	set(v1alpha1.ConditionProjected, status)
	if verdict == Refused {
		set(v1alpha1.ConditionStalled, metav1.ConditionTrue)
	} else {
		meta.RemoveStatusCondition(&conditions, v1alpha1.ConditionStalled)
	}
	return conditions
}

// own returns the conditions without those that the API server computes.
func own(conditions []metav1.Condition) []metav1.Condition {
	return slices.DeleteFunc(slices.Clone(conditions), func(c metav1.Condition) bool {
		return c.Type == v1alpha1.ConditionTranslated || v1alpha1.NotObserved(c.Type, c.Reason)
	})
}

// ApplyConditions returns the conditions as a configuration to apply.
func ApplyConditions(conditions []metav1.Condition) []*applymetav1.ConditionApplyConfiguration {
	result := make([]*applymetav1.ConditionApplyConfiguration, 0, len(conditions))
	for _, condition := range conditions {
		configuration := applymetav1.Condition().
			WithType(condition.Type).
			WithStatus(condition.Status).
			WithReason(condition.Reason).
			WithMessage(condition.Message).
			WithLastTransitionTime(condition.LastTransitionTime)
		if condition.ObservedGeneration != 0 {
			configuration.WithObservedGeneration(condition.ObservedGeneration)
		}
		result = append(result, configuration)
	}
	return result
}

// SameConditions tells whether a and b differ in nothing that is applied.
func SameConditions(known, wanted []metav1.Condition) bool {
	known = own(known)
	if len(known) != len(wanted) {
		return false
	}
	for _, condition := range wanted {
		held := meta.FindStatusCondition(known, condition.Type)
		if held == nil || !equality.Semantic.DeepEqual(*held, condition) {
			return false
		}
	}
	return true
}

// configured returns the whole status as a configuration to apply: what is left
// out is taken away.
func configured(from v1alpha1.ProjectStatus, conditions []metav1.Condition) *applyv1alpha1.ProjectStatusApplyConfiguration {
	status := applyv1alpha1.ProjectStatus().WithConditions(ApplyConditions(conditions)...)
	if from.ObservedGeneration != 0 {
		status.WithObservedGeneration(from.ObservedGeneration)
	}
	if from.Phase != "" {
		status.WithPhase(from.Phase)
	}
	if from.UpstreamName != "" {
		status.WithUpstreamName(from.UpstreamName)
	}
	if from.Namespace != "" {
		status.WithNamespace(from.Namespace)
	}
	if from.Cluster != "" {
		status.WithCluster(from.Cluster)
	}
	return status
}

// report applies the Project's status, if it is not what it should be.
func (c *Controller) report(ctx context.Context, project *v1alpha1.Project, now state) error {
	known := project.Status
	namespace := ""
	if now.verdict == Ready {
		namespace = project.Name
	}
	conditions := Conditions(known.Conditions, project.Generation, now.verdict, now.reason, now.message)
	if known.Namespace == namespace && known.ObservedGeneration == project.Generation && SameConditions(known.Conditions, conditions) {
		return nil
	}
	known.ObservedGeneration, known.Namespace = project.Generation, namespace
	status := configured(known, conditions)
	configuration := applyv1alpha1.Project(project.Name).
		WithUID(project.UID).
		WithResourceVersion(project.ResourceVersion).
		WithStatus(status)
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	if _, err := c.Projects.AmbientV1alpha1().Projects().ApplyStatus(ctx, configuration, options); err != nil {
		return fmt.Errorf("applying the status of project %s: %w", project.Name, err)
	}
	before := meta.FindStatusCondition(known.Conditions, v1alpha1.ConditionProjected)
	if now.verdict != Ready && (before == nil || before.Reason != now.reason) {
		c.Events.Event(project, corev1.EventTypeWarning, now.reason, now.message)
	}
	return nil
}
