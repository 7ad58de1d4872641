package translate

import (
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// sessionStatusUpdate returns the request that writes what of the status changed;
// nil when nothing did.
//
// The upstream cannot clear a phase or a time. Removing one therefore sends
// nothing: the last start and completion stay known, as the fields promise.
func sessionStatusUpdate(row *ambientv1.Session, current, desired *v1alpha1.Session) *ambientv1.UpdateSessionStatusRequest {
	request := &ambientv1.UpdateSessionStatusRequest{Id: row.GetMetadata().GetId()}
	s := &sender{}
	from, to := &current.Status, &desired.Status
	if to.Phase != "" {
		s.text(&request.Phase, string(from.Phase), string(to.Phase))
	}
	s.time(&request.StartTime, from.StartTime, to.StartTime)
	s.time(&request.CompletionTime, from.CompletionTime, to.CompletionTime)
	s.text(&request.SdkSessionId, from.SDKSessionID, to.SDKSessionID)
	if restarts := orZero(to.SDKRestartCount); to.SDKRestartCount != nil || orZero(from.SDKRestartCount) != 0 {
		number(s, &request.SdkRestartCount, from.SDKRestartCount, &restarts)
	}
	before, after := orZero(from.AgenticSession), orZero(to.AgenticSession)
	s.text(&request.KubeCrUid, string(before.UID), string(after.UID))
	s.text(&request.KubeNamespace, before.Namespace, after.Namespace)
	if !equality.Semantic.DeepEqual(from.Repositories, to.Repositories) {
		s.send(&request.ReconciledRepos, reconciledRepositories.rewrite(row.GetReconciledRepos(), to.Repositories))
	}
	if !equality.Semantic.DeepEqual(orZero(from.Workflow), orZero(to.Workflow)) {
		s.send(&request.ReconciledWorkflow, writeObject(row.GetReconciledWorkflow(), reconciledWorkflowProperties, from.Workflow, to.Workflow))
	}
	held, wanted := storedConditions(from.Conditions, computedConditions), storedConditions(to.Conditions, computedConditions)
	had, want := detailsOf(from), detailsOf(to)
	if !sameConditions(held, wanted) || !equality.Semantic.DeepEqual(had, want) {
		s.send(&request.Conditions, writeConditions(row.GetConditions(), wanted, want))
	}
	if !s.sending {
		return nil
	}
	return request
}

// detailsOf collects what of a status is kept among the conditions.
func detailsOf(status *v1alpha1.SessionStatus) details {
	return details{
		StoppedReason:      status.StoppedReason,
		LastActivityTime:   status.LastActivityTime,
		ObservedGeneration: status.ObservedGeneration,
	}
}

// sameConditions compares conditions whatever their order: they are a map by type.
func sameConditions(a, b []metav1.Condition) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		at := indexOfType(b, a[i].Type)
		if at < 0 || !equality.Semantic.DeepEqual(a[i], b[at]) {
			return false
		}
	}
	return true
}

// time sends a time that changed.
func (s *sender) time(column **timestamppb.Timestamp, current, desired *metav1.Time) {
	if desired == nil || desired.IsZero() || desired.Equal(current) {
		return
	}
	*column, s.sending = timestamppb.New(desired.Time), true
}
