package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RetryAfterSeconds is how long clients are asked to wait when the upstream does
// not answer.
const RetryAfterSeconds = 1

// outcome is a row of the error table.
type outcome struct {
	httpCode int32
	reason   metav1.StatusReason
	retry    bool
	// format takes the resource with the object's name and the upstream's message.
	format string
}

// unavailable is the outcome of whatever may go away by itself. Staleness and
// overload are 503 and not 429, on which reflectors wait for ever.
var unavailable = outcome{http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, true, "%s: the upstream is not available: %s"}

// outcomes is the one table from gRPC codes to Kubernetes errors.
//
// Unauthenticated and PermissionDenied both speak of our own credential: every
// call is made with it, and the upstream never learns whom we make the call for.
// Whoever asked has been authorized here, so 401 or 403 would blame the wrong one.
var outcomes = map[codes.Code]outcome{
	codes.InvalidArgument:    {http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, false, "%s is invalid: %s"},
	codes.OutOfRange:         {http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, false, "%s is invalid: %s"},
	codes.NotFound:           {http.StatusNotFound, metav1.StatusReasonNotFound, false, "%s not found: %s"},
	codes.AlreadyExists:      {http.StatusConflict, metav1.StatusReasonAlreadyExists, false, "%s already exists: %s"},
	codes.Aborted:            {http.StatusConflict, metav1.StatusReasonConflict, false, "operation cannot be fulfilled on %s: %s"},
	codes.FailedPrecondition: {http.StatusConflict, metav1.StatusReasonConflict, false, "operation cannot be fulfilled on %s: %s"},
	codes.ResourceExhausted:  unavailable,
	codes.Unavailable:        unavailable,
	codes.Unauthenticated:    {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, true, "%s: the upstream does not accept this server's credential: %s"},
	codes.PermissionDenied:   {http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, true, "%s: the upstream denies this server's credential the call: %s"},
	codes.DeadlineExceeded:   {http.StatusGatewayTimeout, metav1.StatusReasonTimeout, true, "%s: the upstream did not answer in time: %s"},
	codes.Canceled:           {http.StatusGatewayTimeout, metav1.StatusReasonTimeout, true, "%s: the call to the upstream was cancelled: %s"},
	codes.Unimplemented:      {http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, false, "%s: the upstream does not know the call: %s"},
	codes.Internal:           {http.StatusInternalServerError, metav1.StatusReasonInternalError, false, "%s: the upstream failed: %s"},
	codes.DataLoss:           {http.StatusInternalServerError, metav1.StatusReasonInternalError, false, "%s: the upstream failed: %s"},
	codes.Unknown:            {http.StatusInternalServerError, metav1.StatusReasonInternalError, false, "%s: the upstream failed: %s"},
}

// tooLarge is the outcome of ResourceExhausted for a message beyond a size limit,
// which waiting does not cure.
var tooLarge = outcome{http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, false, "%s is too large for the upstream: %s"}

// StatusError returns the Kubernetes error for the failed call that concerned
// the named object of the resource; the name may be empty. Errors that are
// Kubernetes errors already pass unchanged, nil stays nil.
func StatusError(err error, resource schema.GroupResource, name string) error {
	if err == nil {
		return nil
	}
	var already apierrors.APIStatus
	if errors.As(err, &already) {
		return err
	}
	code, message := codeOf(err)
	row, known := outcomes[code]
	if !known {
		row = outcomes[codes.Unknown]
	}
	if isTooLarge(code, message) {
		row = tooLarge
	}
	result := newStatusError(row, message, resource, name)
	if row.reason == metav1.StatusReasonInvalid {
		result.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Message: message}}
	}
	return result
}

// TooLarge tells whether a call failed because a message was beyond a size limit,
// ours or that of somebody between: what is asked for in smaller pieces arrives.
func TooLarge(err error) bool { return isTooLarge(codeOf(err)) }

// isTooLarge looks at the message, since the code stands for overload, too. The
// texts are those of the library.
func isTooLarge(code codes.Code, message string) bool {
	return code == codes.ResourceExhausted && (strings.Contains(message, "larger than max") || strings.Contains(message, "message too large"))
}

// InvalidReference is StatusError for a call that wrote a reference to another
// row. The upstream answers Internal when that row does not exist; the caller,
// who alone knows that it wrote a reference, names the field.
func InvalidReference(err error, resource schema.GroupResource, name string, reference *field.Error) error {
	if code, _ := codeOf(err); err == nil || code != codes.Internal {
		return StatusError(err, resource, name)
	}
	result := newStatusError(outcomes[codes.InvalidArgument], reference.Error(), resource, name)
	result.ErrStatus.Details.Causes = []metav1.StatusCause{{
		Type: metav1.CauseType(reference.Type), Message: reference.ErrorBody(), Field: reference.Field,
	}}
	return result
}

func newStatusError(row outcome, message string, resource schema.GroupResource, name string) *apierrors.StatusError {
	subject := resource.String()
	if name != "" {
		subject = fmt.Sprintf("%s %q", subject, name)
	}
	result := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    row.httpCode,
		Reason:  row.reason,
		Message: fmt.Sprintf(row.format, subject, message),
		Details: &metav1.StatusDetails{Group: resource.Group, Kind: resource.Resource, Name: name},
	}}
	if row.retry {
		result.ErrStatus.Details.RetryAfterSeconds = RetryAfterSeconds
	}
	return result
}

// codeOf returns the gRPC code of an error and its message without the code.
func codeOf(err error) (codes.Code, string) {
	if found, ok := status.FromError(err); ok {
		return found.Code(), found.Message()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, err.Error()
	case errors.Is(err, context.Canceled):
		return codes.Canceled, err.Error()
	default:
		return codes.Unknown, err.Error()
	}
}
