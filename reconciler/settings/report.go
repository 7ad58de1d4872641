package settings

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/project"
)

// report applies the status, if it is not what it should be.
func (c *Controller) report(ctx context.Context, settings *v1alpha1.ProjectSettings, verdict project.Verdict, reason, message string) error {
	known := settings.Status
	conditions := project.Conditions(known.Conditions, settings.Generation, verdict, reason, message)
	if known.ObservedGeneration == settings.Generation && project.SameConditions(known.Conditions, conditions) {
		return nil
	}
	status := applyv1alpha1.ProjectSettingsStatus().
		WithObservedGeneration(settings.Generation).
		WithConditions(project.ApplyConditions(conditions)...)
	if known.SettingsID != "" {
		status.WithSettingsID(known.SettingsID)
	}
	configuration := applyv1alpha1.ProjectSettings(settings.Name, settings.Namespace).
		WithUID(settings.UID).
		WithResourceVersion(settings.ResourceVersion).
		WithStatus(status)
	options := metav1.ApplyOptions{FieldManager: agenticsession.FieldManager, Force: true}
	if _, err := c.Settings.AmbientV1alpha1().ProjectSettings(settings.Namespace).ApplyStatus(ctx, configuration, options); err != nil {
		return fmt.Errorf("applying the status of the settings in %s: %w", settings.Namespace, err)
	}
	if verdict != project.Ready {
		c.Events.Event(settings, corev1.EventTypeWarning, reason, message)
	}
	return nil
}
