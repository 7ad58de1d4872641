package node

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// hostAddress is said to be the node's. Nobody dials it.
const hostAddress = "10.244.0.1"

// state is where a pod stands.
type state struct {
	// started is when the pod was taken, running and ended the last life of its
	// container.
	started, running, ended metav1.Time
	// waiting is why the container does not run, "" while it does.
	waiting, message string
	restarts         int32
	exitCode         int32
	// up says that the startup is over, ready that the pod may be sent requests.
	up, ready bool
	// since is when ready changed last.
	since    metav1.Time
	wasReady bool
}

// imageName is the name of an image without registry and tag.
func imageName(image string) string {
	name, _, _ := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return name
}

// status is what the pod's status says of the state.
func (w *worker) status() corev1.PodStatus {
	s := &w.state
	if s.since.IsZero() || s.ready != s.wasReady {
		s.since, s.wasReady = metav1.Now(), s.ready
	}
	ready := corev1.ConditionFalse
	if s.ready {
		ready = corev1.ConditionTrue
	}
	phase := corev1.PodPending
	container := corev1.ContainerStatus{Name: w.pod.Spec.Containers[0].Name, Image: w.pod.Spec.Containers[0].Image, Ready: s.ready, Started: &s.up, RestartCount: s.restarts}
	container.ImageID = imageName(container.Image)
	if s.waiting != "" {
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: s.waiting, Message: s.message}
	} else {
		container.State.Running = &corev1.ContainerStateRunning{StartedAt: s.running}
	}
	if !s.running.IsZero() {
		phase = corev1.PodRunning
	}
	if !s.ended.IsZero() {
		container.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: s.exitCode, FinishedAt: s.ended, Reason: "Ended"}
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus, since metav1.Time) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: since, Message: ifFalse(status, s.message)}
	}
	return corev1.PodStatus{
		Phase: phase, StartTime: &s.started, HostIP: hostAddress, PodIP: w.address.String(),
		Conditions: []corev1.PodCondition{
			condition(corev1.PodInitialized, corev1.ConditionTrue, s.started),
			condition(corev1.ContainersReady, ready, s.since),
			condition(corev1.PodReady, ready, s.since),
		},
		ContainerStatuses: []corev1.ContainerStatus{container},
	}
}

func ifFalse(status corev1.ConditionStatus, message string) string {
	if status == corev1.ConditionFalse {
		return message
	}
	return ""
}

// statusPatch is a status whose addresses take the place of those that the pod had
// in an earlier life of the node, where a patch would put them beside each other.
type statusPatch struct {
	corev1.PodStatus
	PodIPs []map[string]string `json:"podIPs"`
}

// report writes the status if it says something new. What could not be written is
// written at the next look.
func (w *worker) report(ctx context.Context) {
	status := statusPatch{w.status(), []map[string]string{{"$patch": "replace"}, {"ip": w.address.String()}}}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": w.pod.UID}, "status": status})
	if err != nil {
		klog.FromContext(ctx).Error(err, "Encoding the status of a pod")
		return
	}
	if bytes.Equal(patch, w.reported) {
		return
	}
	_, err = w.node.Client.CoreV1().Pods(w.pod.Namespace).Patch(ctx, w.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	switch {
	case err == nil:
		w.reported = patch
	case ctx.Err() == nil && !apierrors.IsNotFound(err):
		klog.FromContext(ctx).Info("The status of a pod is not written yet", "pod", klog.KObj(w.pod), "err", err)
	}
}
