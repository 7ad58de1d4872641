package backend

import (
	"maps"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
)

// Journal is the journal of one kind.
type Journal = journal.Journal[runtime.Object]

var versioner = storage.APIObjectVersioner{}

// placed is an upstream row with its place in the API.
type placed[R any] struct {
	row    R
	key    string
	object runtime.Object
}

// index is what a kind publishes: rows by upstream id, and ids by storage key.
// Its owner calls it with the lock held; readers take the lock.
type index[R any] struct {
	mu      sync.Mutex
	journal *Journal
	byID    map[string]*placed[R]
	byKey   map[string]string
	// writing counts the writes of ours under way, by id: what changes meanwhile
	// brings its own record of who owns it.
	writing map[string]int
}

func newIndex[R any](j *Journal) *index[R] {
	return &index[R]{journal: j, byID: map[string]*placed[R]{}, byKey: map[string]string{}, writing: map[string]int{}}
}

// begin moves the journal, which nobody has read yet, into an epoch.
func (x *index[R]) begin(epoch uint32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.journal.Begin(epoch, stamp)
}

// duringWrite calls write while the id counts as being written by us.
func (x *index[R]) duringWrite(id string, write func() error) error {
	x.mu.Lock()
	x.writing[id]++
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.writing[id]--; x.writing[id] == 0 {
			delete(x.writing, id)
		}
	}()
	return write()
}

// put publishes the object of the row under the key. Equal content is no event;
// another key is a deletion there and a creation here.
func (x *index[R]) put(id, key string, row R, object runtime.Object) {
	p, found := x.byID[id]
	if !found {
		p = &placed[R]{}
		x.byID[id] = p
	}
	p.row = row
	if p.key != "" && p.key != key {
		x.vacate(id, p)
	}
	if p.key == key && translate.Equal(p.object, object) {
		return
	}
	p.key = key
	x.byKey[key] = id
	x.journal.Put(key, func(revision uint64) runtime.Object {
		stamp(object, revision)
		p.object = object
		return object
	})
}

// vacate publishes that the object is no longer under its key.
func (x *index[R]) vacate(id string, p *placed[R]) {
	if p.key == "" {
		return
	}
	if x.byKey[p.key] == id {
		delete(x.byKey, p.key)
		x.journal.Delete(p.key, stampLast)
	}
	p.key, p.object = "", nil
}

// remove forgets the row and publishes that its object is gone.
func (x *index[R]) remove(id string) {
	if p, found := x.byID[id]; found {
		x.vacate(id, p)
		delete(x.byID, id)
	}
}

// lookup returns the id and the row that stand behind a key.
func (x *index[R]) lookup(key string) (id string, row R, found bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if id, found = x.byKey[key]; found {
		row = x.byID[id].row
	}
	return id, row, found
}

// row returns the row with the id as it was published.
func (x *index[R]) row(id string) (row R, found bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if p, known := x.byID[id]; known {
		return p.row, true
	}
	return row, false
}

// stamp gives the object the revision of its event.
func stamp(object runtime.Object, revision uint64) {
	if err := versioner.UpdateObject(object, revision); err != nil {
		// Every published type has object metadata; anything else is a bug here.
		panic(err)
	}
}

// stampLast is the last state of a deleted object, with the deletion's revision.
func stampLast(revision uint64, last runtime.Object) runtime.Object {
	object := last.DeepCopyObject()
	stamp(object, revision)
	return object
}

// succession is what an object inherits from the one that stood before it under
// the same id, when the upstream changed the row.
type succession struct {
	mover Mover
}

// Mover moves the ownership of fields from one state of an object to the next.
type Mover interface {
	Move(previous, next runtime.Object) error
}

// inheritOwners gives next the ownership that follows from previous, unless the
// change is our own and brings its record along.
func (s succession) inheritOwners(previous, next runtime.Object, ourWrite, changed bool) {
	before, err := meta.Accessor(previous)
	if err != nil || ourWrite || s.mover == nil || len(before.GetManagedFields()) == 0 {
		return
	}
	after, err := meta.Accessor(next)
	if err != nil {
		return
	}
	if !changed && maps.Equal(before.GetLabels(), after.GetLabels()) && maps.Equal(before.GetAnnotations(), after.GetAnnotations()) {
		after.SetManagedFields(before.GetManagedFields())
		return
	}
	if err := s.mover.Move(previous, next); err != nil {
		// The stored record stands: at worst an apply meets a conflict less.
		klog.Background().V(2).Info("Could not move the ownership of fields that the upstream changed", "object", after.GetName(), "err", err)
	}
}

// generationAfter returns the generation of an object whose row changed while we
// looked on: it rises exactly when the spec changes.
func generationAfter(previous, next runtime.Object, specChanged bool) int64 {
	after, err := meta.Accessor(next)
	if err != nil {
		return 0
	}
	if previous == nil {
		return after.GetGeneration()
	}
	before, err := meta.Accessor(previous)
	if err != nil {
		return after.GetGeneration()
	}
	generation := before.GetGeneration()
	if specChanged {
		generation++
	}
	return max(generation, after.GetGeneration())
}
