package ownership

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// UpstreamManager is the manager of what was asked for upstream, and of the
	// fields that were changed there.
	UpstreamManager = "ambient-api-server"
	// ReportManager is the manager that reports the status.
	ReportManager = "ambient-kube-reconciler"

	statusSubresource = "status"
)

// upstreamEntry returns the entry of the upstream, without fields.
func upstreamEntry() metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: UpstreamManager, Operation: metav1.ManagedFieldsOperationUpdate}
}

// reportEntry returns the entry of the one who reports the status, without fields.
func reportEntry() metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: ReportManager, Operation: metav1.ManagedFieldsOperationApply, Subresource: statusSubresource}
}

// OfSpec tells whether an entry is about the main resource rather than a
// subresource.
func OfSpec(entry metav1.ManagedFieldsEntry) bool { return entry.Subresource == "" }

// Stored returns the entries that are stored, without those that are derived
// whenever they are needed: the report's, and the upstream's as long as it is the
// only one of the main resource.
func Stored(entries []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	shared := slices.ContainsFunc(entries, func(entry metav1.ManagedFieldsEntry) bool {
		return OfSpec(entry) && !ofUpstream(entry)
	})
	var stored []metav1.ManagedFieldsEntry
	for _, entry := range entries {
		if entry.Manager == ReportManager && entry.Subresource == statusSubresource || ofUpstream(entry) && !shared {
			continue
		}
		stored = append(stored, entry)
	}
	return stored
}

func ofUpstream(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == UpstreamManager && entry.Operation == metav1.ManagedFieldsOperationUpdate && OfSpec(entry)
}
