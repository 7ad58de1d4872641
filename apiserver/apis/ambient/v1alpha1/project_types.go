package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Project groups Sessions. Its Sessions live in the namespace of the same name,
// which is made when the Project appears.
type Project struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata. The name is the upstream id: a lower-case letter,
	// then letters, digits and hyphens, 2 to 63 characters. The upstream keeps the
	// names of deleted projects: a name can be used once.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the project is.
	// +optional
	Spec ProjectSpec `json:"spec,omitempty"`

	// What is known of the project. Written by the platform, not by users.
	// +optional
	Status ProjectStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ProjectList is a list of Projects.
type ProjectList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// The projects.
	Items []Project `json:"items"`
}

// ProjectSpec is the desired content of a Project.
type ProjectSpec struct {
	// Human-readable name.
	// +optional
	DisplayName string `json:"displayName,omitempty"`

	// What the project is for.
	// +optional
	Description string `json:"description,omitempty"`
}

// ProjectStatus is what is known of a Project.
type ProjectStatus struct {
	// The metadata.generation that was last projected into the cluster.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// The upstream's own status text; free text.
	// +optional
	Phase string `json:"phase,omitempty"`

	// Name of the project upstream. It differs from metadata.name after a rename:
	// the id stays. Read-only.
	// +optional
	UpstreamName string `json:"upstreamName,omitempty"`

	// Namespace that the project's Sessions live in.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// UID of the namespace kube-system of the one cluster that the project is
	// projected into. Empty as long as none has claimed it.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Observations of the project. Ready says whether its namespace stands.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}
