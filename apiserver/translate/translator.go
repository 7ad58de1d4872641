package translate

import (
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// DefaultUnassignedNamespace is where sessions without a usable project live
// when the options say nothing else.
const DefaultUnassignedNamespace = "ambient-unassigned"

// Options configure a Translator.
type Options struct {
	// Cluster is the UID of the namespace kube-system of the cluster that is
	// served. Finalizers, owner references, deletion times and managed fields
	// that were recorded in another cluster are kept, but not shown.
	Cluster types.UID
	// UnassignedNamespace is where sessions without a usable project live.
	UnassignedNamespace string
}

// Translator translates for one cluster. It may be used concurrently.
type Translator struct {
	options Options
}

// New returns a Translator.
func New(options Options) *Translator {
	if options.UnassignedNamespace == "" {
		options.UnassignedNamespace = DefaultUnassignedNamespace
	}
	return &Translator{options: options}
}

// Placement is where a session stands in the API, and what its row cannot tell.
type Placement struct {
	Namespace, Name string
	// NameConflict says that another session asks for the same name.
	NameConflict bool
	// ForeignNamespace is the namespace that the session would live in, if that
	// did not exist and belong to somebody else; empty when nothing is in the way.
	ForeignNamespace string
	// Generation is the object's generation; 0 takes the one that the row tells.
	Generation int64
}

// Equal tells whether two published objects have the same content. Resource
// versions do not count.
func Equal(a, b runtime.Object) bool {
	switch a := a.(type) {
	case *v1alpha1.Session:
		b, ok := b.(*v1alpha1.Session)
		if !ok || a == nil || b == nil {
			return ok && a == b
		}
		copied := *a
		copied.ResourceVersion = b.ResourceVersion
		return equality.Semantic.DeepEqual(&copied, b)
	case *v1alpha1.Project:
		b, ok := b.(*v1alpha1.Project)
		if !ok || a == nil || b == nil {
			return ok && a == b
		}
		copied := *a
		copied.ResourceVersion = b.ResourceVersion
		return equality.Semantic.DeepEqual(&copied, b)
	case *v1alpha1.ProjectSettings:
		b, ok := b.(*v1alpha1.ProjectSettings)
		if !ok || a == nil || b == nil {
			return ok && a == b
		}
		copied := *a
		copied.ResourceVersion = b.ResourceVersion
		return equality.Semantic.DeepEqual(&copied, b)
	default:
		return equality.Semantic.DeepEqual(a, b)
	}
}
