package apiserver

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/registry/session"
)

// NewScheme returns a scheme with everything that the server serves.
func NewScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	ambient.Install(scheme)
	utilruntime.Must(session.RegisterFieldLabels(scheme))
	// The generic server serves these types of the core group's version for
	// every group: options, status and discovery documents.
	core := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, core)
	scheme.AddUnversionedTypes(core,
		&metav1.Status{},
		&metav1.APIVersions{},
		&metav1.APIGroupList{},
		&metav1.APIGroup{},
		&metav1.APIResourceList{},
	)
	return scheme
}

// newCodecs returns the codecs of a scheme.
func newCodecs(scheme *runtime.Scheme) serializer.CodecFactory {
	return serializer.NewCodecFactory(scheme)
}
