package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var sessions = schema.GroupResource{Group: "ambient.io", Resource: "sessions"}

func TestStatusErrorHasARowForEachCode(t *testing.T) {
	rows := []struct {
		err        error
		httpCode   int32
		reason     metav1.StatusReason
		retryAfter int32
	}{
		{status.Error(codes.InvalidArgument, "name is required"), http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, 0},
		{status.Error(codes.OutOfRange, "page"), http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, 0},
		{status.Error(codes.NotFound, "no such session"), http.StatusNotFound, metav1.StatusReasonNotFound, 0},
		{status.Error(codes.AlreadyExists, "taken"), http.StatusConflict, metav1.StatusReasonAlreadyExists, 0},
		{status.Error(codes.Aborted, "raced"), http.StatusConflict, metav1.StatusReasonConflict, 0},
		{status.Error(codes.FailedPrecondition, "phase"), http.StatusConflict, metav1.StatusReasonConflict, 0},
		{status.Error(codes.Unauthenticated, "invalid bearer token"), http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, 1},
		{status.Error(codes.PermissionDenied, "not you"), http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, 1},
		{status.Error(codes.Unavailable, "connection refused"), http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, 1},
		{status.Error(codes.ResourceExhausted, "too many requests"), http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, 1},
		{status.Error(codes.ResourceExhausted, "grpc: received message larger than max (5242913 vs. 4194304)"), http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, 0},
		{status.Error(codes.ResourceExhausted, "trying to send message larger than max (5242913 vs. 4194304)"), http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge, 0},
		{status.Error(codes.DeadlineExceeded, "pool exhausted"), http.StatusGatewayTimeout, metav1.StatusReasonTimeout, 1},
		{status.Error(codes.Canceled, "cancelled"), http.StatusGatewayTimeout, metav1.StatusReasonTimeout, 1},
		{status.Error(codes.Unimplemented, "unknown method"), http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed, 0},
		{status.Error(codes.Internal, "pq: syntax"), http.StatusInternalServerError, metav1.StatusReasonInternalError, 0},
		{status.Error(codes.DataLoss, "lost"), http.StatusInternalServerError, metav1.StatusReasonInternalError, 0},
		{status.Error(codes.Unknown, "what"), http.StatusInternalServerError, metav1.StatusReasonInternalError, 0},
		{status.Error(codes.Code(77), "from the future"), http.StatusInternalServerError, metav1.StatusReasonInternalError, 0},
		{errors.New("no status at all"), http.StatusInternalServerError, metav1.StatusReasonInternalError, 0},
		{context.DeadlineExceeded, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, 1},
		{context.Canceled, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, 1},
		{neverSentError{status.Error(codes.Unavailable, "nobody there")}, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, 1},
		{fmt.Errorf("getting: %w", status.Error(codes.NotFound, "gone")), http.StatusNotFound, metav1.StatusReasonNotFound, 0},
	}
	tested := map[codes.Code]bool{codes.OK: true}
	for _, row := range rows {
		t.Run(row.err.Error(), func(t *testing.T) {
			tested[status.Code(row.err)] = true
			err := StatusError(row.err, sessions, "fix-login")
			var found *apierrors.StatusError
			if !errors.As(err, &found) {
				t.Fatalf("got %T, want a StatusError", err)
			}
			got := found.Status()
			if got.Status != metav1.StatusFailure || got.Code != row.httpCode || got.Reason != row.reason {
				t.Errorf("got %s %d %s, want Failure %d %s", got.Status, got.Code, got.Reason, row.httpCode, row.reason)
			}
			if got.Details.RetryAfterSeconds != row.retryAfter {
				t.Errorf("Retry-After is %d, want %d", got.Details.RetryAfterSeconds, row.retryAfter)
			}
			if got.Details.Name != "fix-login" || got.Details.Group != "ambient.io" || got.Details.Kind != "sessions" {
				t.Errorf("details %+v do not name the object", got.Details)
			}
			_, text := codeOf(row.err)
			if !strings.Contains(got.Message, text) || !strings.Contains(got.Message, "fix-login") {
				t.Errorf("message %q lacks the upstream's %q or the name", got.Message, text)
			}
		})
	}
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if !tested[code] {
			t.Errorf("code %s has no tested row", code)
		}
	}
}

func TestStatusErrorKeepsKubernetesErrorsAndNil(t *testing.T) {
	if err := StatusError(nil, sessions, "a"); err != nil {
		t.Errorf("nil became %v", err)
	}
	original := apierrors.NewConflict(sessions, "a", errors.New("raced"))
	if err := StatusError(original, sessions, "b"); !errors.Is(err, original) {
		t.Errorf("a Kubernetes error became %v", err)
	}
}

func TestTooLargeIsNotOverload(t *testing.T) {
	for message, want := range map[string]bool{
		"grpc: received message larger than max (67108900 vs. 67108864)":           true,
		"grpc: received message after decompression larger than max 67108864":      true,
		"grpc: trying to send message larger than max (2147483700 vs. 2147483647)": true,
		"grpc: message too large (4294967300 bytes)":                               true,
		"too many requests": false,
		"stream terminated by RST_STREAM with error code: ENHANCE_YOUR_CALM": false,
	} {
		if err := status.Error(codes.ResourceExhausted, message); TooLarge(err) != want || TooLarge(fmt.Errorf("listing: %w", err)) != want {
			t.Errorf("%q counts as too large: %t", message, !want)
		}
	}
	for _, err := range []error{nil, errors.New("larger than max"), status.Error(codes.InvalidArgument, "name is larger than max")} {
		if TooLarge(err) {
			t.Errorf("%v counts as too large", err)
		}
	}
}

func TestInvalidReferenceNamesTheField(t *testing.T) {
	reference := field.NotFound(field.NewPath("spec", "parentSessionID"), "2abc")
	err := InvalidReference(status.Error(codes.Internal, "violates foreign key"), sessions, "a", reference)
	var found *apierrors.StatusError
	if !errors.As(err, &found) || !apierrors.IsInvalid(err) {
		t.Fatalf("got %v, want 422", err)
	}
	if causes := found.Status().Details.Causes; len(causes) != 1 || causes[0].Field != "spec.parentSessionID" {
		t.Errorf("causes are %+v", causes)
	}
	if err := InvalidReference(status.Error(codes.Unavailable, "down"), sessions, "a", reference); !apierrors.IsServiceUnavailable(err) {
		t.Errorf("another code became %v", err)
	}
	if err := InvalidReference(nil, sessions, "a", reference); err != nil {
		t.Errorf("nil became %v", err)
	}
}

func TestAmbiguousTellsWhatMayHaveTakenEffect(t *testing.T) {
	for code, want := range map[codes.Code]bool{
		codes.Unavailable: true, codes.DeadlineExceeded: true, codes.Canceled: true, codes.Internal: true, codes.Unknown: true,
		codes.InvalidArgument: false, codes.AlreadyExists: false, codes.NotFound: false, codes.Unauthenticated: false,
	} {
		err := status.Error(code, "x")
		if got := Ambiguous(err); got != want {
			t.Errorf("%s: ambiguous %t, want %t", code, got, want)
		}
		if Ambiguous(fmt.Errorf("creating: %w", neverSentError{err})) {
			t.Errorf("%s: a call that was never sent counts as ambiguous", code)
		}
	}
	if Ambiguous(nil) {
		t.Error("success counts as ambiguous")
	}
}
