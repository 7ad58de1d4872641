package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
)

// lookTimeout bounds the look at the project. It is shorter than the webhook's
// own timeout, so that a person reads our words and not that we were late.
const lookTimeout = 3 * time.Second

// namespaces guards the namespaces of projects. The cluster's policy refuses the
// deletion of one that bears no mark; this looks at the project itself, so that a
// wrong mark deletes nothing.
type namespaces struct{ projects versioned.Interface }

func (n namespaces) judge(ctx context.Context, request *admissionv1.AdmissionRequest) (string, error) {
	if request.Operation != admissionv1.Delete {
		return "", nil
	}
	var namespace metav1.PartialObjectMetadata
	if err := json.Unmarshal(request.OldObject.Raw, &namespace); err != nil {
		return "", fmt.Errorf("reading a namespace: %w", err)
	}
	id := namespace.Labels[v1alpha1.ProjectIDLabel]
	if id == "" || namespace.Annotations[v1alpha1.AllowCascadeAnnotation] == "true" {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err := n.projects.AmbientV1alpha1().Projects().Get(ctx, id, metav1.GetOptions{})
	allow := fmt.Sprintf("kubectl annotate namespace %s %s=true", namespace.Name, v1alpha1.AllowCascadeAnnotation)
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return fmt.Sprintf("namespace %s belongs to project %s, and whether that still exists can't be told now (%v). Try again later, or allow it at the risk of its sessions: %s",
			namespace.Name, id, err, allow), nil
	default:
		return fmt.Sprintf("namespace %s belongs to project %s, which exists: deleting it would delete the project's sessions from the system of record. "+
			"Delete the project instead (kubectl delete projects.ambient.io %s), or allow it: %s", namespace.Name, id, id, allow), nil
	}
}
