package storage

import (
	"errors"
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

const (
	watchTooOld    = "The resourceVersion for the provided watch is too old."
	watchTooNew    = "The resourceVersion for the provided watch was not given out by this server."
	listTooOld     = "The resourceVersion for the provided list is too old."
	continueTooOld = "The provided continue parameter is too old " +
		"to display a consistent list result. You can start a new list without " +
		"the continue parameter, or use the continue token in this response to " +
		"retrieve the remainder of the results. Continuing with the provided " +
		"token results in an inconsistent list - objects that were created, " +
		"modified, or deleted between the time the first chunk was returned " +
		"and now may show up in the list."
)

// watchError returns the answer to a watch that the journal cannot serve. A
// revision ahead of the journal comes from another life of the server: waiting
// for it would drop events without a word, so the client has to list again.
func watchError(err error) error {
	if errors.Is(err, journal.ErrFuture) {
		return apierrors.NewResourceExpired(watchTooNew)
	}
	return apierrors.NewResourceExpired(watchTooOld)
}

// listError returns the answer to a list at a revision that the journal cannot
// serve. Whoever is in the middle of a list gets a token to go on with the
// present state.
func (s *Store) listError(err error, revision uint64, continueKey, prefix string) error {
	if errors.Is(err, journal.ErrFuture) {
		return apistorage.NewTooLargeResourceVersionError(revision, s.journal.Revision(), 0)
	}
	if continueKey == "" {
		return apierrors.NewResourceExpired(listTooOld)
	}
	token, tokenErr := apistorage.EncodeContinue(continueKey, prefix, latestRevision)
	if tokenErr != nil {
		return apierrors.NewResourceExpired(listTooOld)
	}
	expired := apierrors.NewResourceExpired(continueTooOld)
	expired.ErrStatus.ListMeta.Continue = token
	return expired
}

// notOverloaded turns 429, by which the cache says that it is being filled or
// trails, into 503: nobody asked too much, and a reflector that lists by watching
// never falls back to anything else after a 429.
func notOverloaded(err error) error {
	if !apierrors.IsTooManyRequests(err) {
		return err
	}
	seconds, _ := apierrors.SuggestsClientDelay(err)
	refused := apierrors.NewServiceUnavailable(err.Error())
	refused.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: int32(max(seconds, 1))}
	return refused
}

// latestRevision in a continue token means the present state.
const latestRevision = -1

// unreachable tells that an error says nothing but that the upstream did not
// answer.
func unreachable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	return slices.Contains([]int32{http.StatusServiceUnavailable, http.StatusGatewayTimeout}, status.Status().Code) ||
		status.Status().Reason == metav1.StatusReasonTimeout
}
