package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProjectSettingsName is the name of every ProjectSettings: there is one for
// each project.
const ProjectSettingsName = "settings"

// +genclient
// +resourceName=projectsettings
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ProjectSettings says who may use a project and which repositories belong to
// it. There is at most one in the namespace of each project, named settings.
type ProjectSettings struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object metadata. The name is always settings.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// The settings.
	// +optional
	Spec ProjectSettingsSpec `json:"spec,omitempty"`

	// What is known of the settings. Written by the platform, not by users.
	// +optional
	Status ProjectSettingsStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ProjectSettingsList is a list of ProjectSettings.
type ProjectSettingsList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// The settings.
	Items []ProjectSettings `json:"items"`
}

// ProjectSettingsSpec is the desired content of ProjectSettings.
type ProjectSettingsSpec struct {
	// Groups of users that may use the project, each with its role.
	// +optional
	// +listType=map
	// +listMapKey=groupName
	// +listMapKey=role
	GroupAccess []GroupAccess `json:"groupAccess,omitempty"`

	// Repositories that belong to the project.
	// +optional
	// +listType=atomic
	Repositories []ProjectRepository `json:"repositories,omitempty"`
}

// GroupAccess gives a group of users a role in the project's namespace.
type GroupAccess struct {
	// Name of the group, as the cluster's authenticator reports it.
	GroupName string `json:"groupName"`

	// admin, edit or view.
	Role string `json:"role"`
}

// ProjectRepository is a Git repository of a project.
type ProjectRepository struct {
	// Clone URL.
	URL string `json:"url"`

	// Branch to work on.
	// +optional
	Branch string `json:"branch,omitempty"`

	// github or gitlab.
	// +optional
	Provider string `json:"provider,omitempty"`
}

// ProjectSettingsStatus is what is known of ProjectSettings.
type ProjectSettingsStatus struct {
	// The metadata.generation that was last projected into the cluster.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Exact upstream id of the settings. Read-only.
	// +optional
	SettingsID string `json:"settingsID,omitempty"`

	// Observations of the settings.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}
