package session

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// unseenFor is how long an object that we made counts as there though the
// informer does not show it.
const unseenFor = time.Minute

// overlay remembers what our own writes and current reads returned until the
// informer has caught up, so that a pass doesn't act on what it has changed
// itself.
type overlay[T metav1.Object] struct {
	now func() time.Time

	mutex  sync.Mutex
	newest map[types.UID]remembered[T]
}

type remembered[T metav1.Object] struct {
	object T
	// key and until are set for an object that we made.
	key   Key
	until time.Time
}

func newOverlay[T metav1.Object](now func() time.Time) *overlay[T] {
	return &overlay[T]{now: now, newest: map[types.UID]remembered[T]{}}
}

// remember records an object as an API server returned it.
func (o *overlay[T]) remember(object T) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	known, found := o.newest[object.GetUID()]
	if found && newer(known.object, object) {
		return
	}
	known.object = object
	o.newest[object.GetUID()] = known
}

// created records an object that was made for the key, and that the informer may
// not show yet.
func (o *overlay[T]) created(key Key, object T) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.newest[object.GetUID()] = remembered[T]{object: object, key: key, until: o.now().Add(unseenFor)}
}

// merge replaces the cached objects of a key by newer ones, and adds those that
// we made and the informer does not show yet.
func (o *overlay[T]) merge(key Key, cached []T) []T {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	result := make([]T, 0, len(cached))
	shown := map[types.UID]bool{}
	for _, object := range cached {
		uid := object.GetUID()
		shown[uid] = true
		if known, found := o.newest[uid]; found && newer(known.object, object) {
			object = known.object
		} else {
			delete(o.newest, uid)
		}
		result = append(result, object)
	}
	for uid, known := range o.newest {
		if known.key != key || shown[uid] {
			continue
		}
		if o.now().After(known.until) {
			delete(o.newest, uid)
			continue
		}
		result = append(result, known.object)
	}
	return result
}

// forget drops an object that is gone.
func (o *overlay[T]) forget(uid types.UID) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	delete(o.newest, uid)
}

// newer tells whether a is a later state of the same object than b. Versions
// that can't be compared are taken as not newer: the informer then decides.
func newer(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0
}
