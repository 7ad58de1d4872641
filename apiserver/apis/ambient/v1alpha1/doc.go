// Package v1alpha1 holds the types of the API group ambient.io: Session, Project
// and ProjectSettings as native Kubernetes resources.
//
// The same Go types also serve as the group's internal version while there is
// only one version: no conversion stands between storage and the wire. The
// package knows nothing of the upstream's messages.
//
// +k8s:deepcopy-gen=package
// +k8s:openapi-gen=true
// +k8s:openapi-model-package=com.github.ambient-code.ambient-kube.apiserver.apis.ambient.v1alpha1
// +groupName=ambient.io
package v1alpha1
