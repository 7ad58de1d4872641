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

// Refused tells whether an error says that the cluster refuses an object, by a quota, a
// policy or its definition. That is for people to know, and may last until they do
// something.
func Refused(err error) bool {
	refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
	return refused && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Answer returns the words in which the cluster refused an object.
func Answer(refused error) string {
	message := refused.Error()
	var answer apierrors.APIStatus
	if errors.As(refused, &answer) {
		message = answer.Status().Message
	}
	if len(message) > longestRefusal {
		message = strings.ToValidUTF8(message[:longestRefusal], "") + " …"
	}
	return message
}

// unlessRefused notes an error that says that the cluster refuses the AgenticSession,
// and returns any other.
func (p *pass) unlessRefused(err error) error {
	if !Refused(err) {
		return err
	}
	p.refused = err
	return nil
}

// refusal says how the AgenticSession was refused, in the words of the cluster.
func (p *pass) refusal() *status.Projection {
	message := Answer(p.refused)
	if p.resource == nil {
		return p.without(v1alpha1.ReasonRefused, message)
	}
	return not(v1alpha1.ReasonRefused, message)
}
