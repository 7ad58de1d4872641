package session

import (
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/status"
)

// longestRefusal is how much of an answer is told, in bytes: it may quote all that it
// refuses.
const longestRefusal = 1000

// unlessRefused notes an error that says that the cluster refuses the AgenticSession,
// by a quota, a policy or its definition, and returns any other. The first is for the
// people of the session, and may last until they do something.
func (p *pass) unlessRefused(err error) error {
	refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
	if !refused || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err
	}
	p.refused = err
	return nil
}

// refusal says how the AgenticSession was refused, in the words of the cluster.
func (p *pass) refusal() *status.Projection {
	message := p.refused.Error()
	var answer apierrors.APIStatus
	if errors.As(p.refused, &answer) {
		message = answer.Status().Message
	}
	if len(message) > longestRefusal {
		message = strings.ToValidUTF8(message[:longestRefusal], "") + " …"
	}
	if p.resource == nil {
		return p.without(v1alpha1.ReasonRefused, message)
	}
	return not(v1alpha1.ReasonRefused, message)
}
