package reconciler

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// recorder leaves out events that have no place: a Session may live in a namespace
// that is not there (yet), an event can't.
type recorder struct {
	record.EventRecorder
	namespaces cache.Store
}

// Event implements record.EventRecorder.
func (r recorder) Event(object runtime.Object, kind, reason, message string) {
	if r.hasPlace(object) {
		r.EventRecorder.Event(object, kind, reason, message)
	}
}

// Eventf implements record.EventRecorder.
func (r recorder) Eventf(object runtime.Object, kind, reason, format string, arguments ...any) {
	if r.hasPlace(object) {
		r.EventRecorder.Eventf(object, kind, reason, format, arguments...)
	}
}

func (r recorder) hasPlace(object runtime.Object) bool {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return false
	}
	if accessor.GetNamespace() == "" {
		return true
	}
	_, found, err := r.namespaces.GetByKey(accessor.GetNamespace())
	return err == nil && found
}
