package settings

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/project"
	"github.com/ambient-code/ambient-kube/reconciler/session"
)

// Reasons of the conditions Ready and Projected of ProjectSettings.
const (
	reasonGranted     = "AccessGranted"
	reasonRoleRefused = "RoleRefused"
)

// outcome is what is said of settings after a pass.
type outcome struct {
	verdict         project.Verdict
	reason, message string
	// event is the message of the event of an outcome other than Ready.
	event string
}

// concluded returns the outcome where nothing is in the way: unknown is what gives no
// access, omitted what the platform's settings have no place for, refused what the
// cluster refuses.
func concluded(settings *v1alpha1.ProjectSettings, unknown, omitted []string, refused failures) outcome {
	noRole := fmt.Sprintf("Only the roles %s can be given; nothing is granted for %s.", strings.Join(roles, ", "), strings.Join(unknown, ", "))
	switch {
	case len(refused) > 0:
		now := outcome{verdict: project.Refused, reason: v1alpha1.ReasonRefused, message: refused.message(), event: refused.event()}
		if len(unknown) > 0 {
			now.message = noRole + " " + now.message
		}
		return now
	case len(unknown) > 0:
		return outcome{verdict: project.Refused, reason: reasonRoleRefused, message: noRole, event: noRole}
	}
	message := fmt.Sprintf("%d groups have access.", len(settings.Spec.GroupAccess))
	if len(omitted) > 0 {
		message += fmt.Sprintf(" The platform's settings have no place for %s.", strings.Join(omitted, ", "))
	}
	return outcome{verdict: project.Ready, reason: reasonGranted, message: message}
}

// obstructed returns the outcome where an obstacle is in the way. Nobody needs to help
// if it goes away by itself, as a namespace does that is being deleted: it is made again.
func obstructed(obstacle session.Obstacle, refused failures) outcome {
	now := outcome{verdict: project.Refused, reason: obstacle.Reason, message: obstacle.Message, event: obstacle.Message}
	if obstacle.Transient || obstacle.Reason == project.ReasonTerminating {
		now.verdict = project.OnItsWay
	}
	if len(refused) > 0 {
		now.message += " " + refused.message()
	}
	return now
}

// report applies the status, if it is not what it should be.
func (c *Controller) report(ctx context.Context, settings *v1alpha1.ProjectSettings, now outcome) error {
	known := settings.Status
	conditions := project.Conditions(known.Conditions, settings.Generation, now.verdict, now.reason, now.message)
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
	if now.verdict != project.Ready {
		c.Events.Event(settings, corev1.EventTypeWarning, now.reason, now.event)
	}
	return nil
}
