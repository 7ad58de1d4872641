package storage

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

// upstream is a Backend in memory: a map of objects without revisions, which
// others may change behind the journal's back, and which fails on demand.
type upstream struct {
	journal *journal.Journal[runtime.Object]

	mu      sync.Mutex
	objects map[string]runtime.Object
	locks   map[string]chan struct{}
	calls   map[string]int
	faults  map[string]error
	// stored, if set, changes what is stored.
	stored func(runtime.Object)
	// delay is the time that an update takes on its way, slow that of a read.
	delay   time.Duration
	slow    time.Duration
	synced  error
	current error
}

func newUpstream(j *journal.Journal[runtime.Object]) *upstream {
	return &upstream{
		journal: j,
		objects: map[string]runtime.Object{},
		locks:   map[string]chan struct{}{},
		calls:   map[string]int{},
		faults:  map[string]error{},
	}
}

// fold brings the journal to the upstream's state of a key.
func (u *upstream) fold(key string) {
	held, exists := u.objects[key]
	known, isKnown := u.journal.Get(key)
	switch {
	case exists && isKnown && equality.Semantic.DeepEqual(held, unstamped(known.Value)):
	case exists:
		u.journal.Put(key, func(revision uint64) runtime.Object { return stamped(held, revision) })
	case isKnown:
		u.journal.Delete(key, func(revision uint64, last runtime.Object) runtime.Object { return stamped(last, revision) })
	}
}

// call counts a call and returns the fault that was ordered for it.
func (u *upstream) call(name string) error {
	u.calls[name]++
	return u.faults[name]
}

// awaitAnswer waits for as long as a read takes.
func (u *upstream) awaitAnswer(ctx context.Context) error {
	u.mu.Lock()
	slow := u.slow
	u.mu.Unlock()
	if slow == 0 {
		return nil
	}
	select {
	case <-time.After(slow):
		return nil
	case <-ctx.Done():
		return apierrors.NewTimeoutError("the upstream did not answer in time", 1)
	}
}

func (u *upstream) Refresh(ctx context.Context, key string) error {
	if err := u.awaitAnswer(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.call("Refresh"); err != nil {
		return err
	}
	u.fold(key)
	return nil
}

func (u *upstream) Verify(ctx context.Context, key string) error {
	if err := u.awaitAnswer(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.call("Verify"); err != nil {
		return err
	}
	if key != "" {
		u.fold(key)
		return nil
	}
	entries, _ := u.journal.List("/")
	for _, known := range entries {
		u.fold(known.Key)
	}
	for key := range u.objects {
		u.fold(key)
	}
	return nil
}

func (u *upstream) Create(_ context.Context, key string, object runtime.Object) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.call("Create"); err != nil {
		return err
	}
	if _, exists := u.objects[key]; exists {
		return fmt.Errorf("%s is there already", key)
	}
	u.store(key, object)
	u.fold(key)
	return nil
}

func (u *upstream) Update(_ context.Context, key string, _, desired runtime.Object) error {
	time.Sleep(u.delay)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.call("Update"); err != nil {
		return err
	}
	u.store(key, desired)
	u.fold(key)
	return nil
}

func (u *upstream) store(key string, object runtime.Object) {
	object = unstamped(object)
	if u.stored != nil {
		u.stored(object)
	}
	u.objects[key] = object
}

func (u *upstream) Delete(_ context.Context, key string, _ runtime.Object) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.call("Delete"); err != nil {
		return err
	}
	delete(u.objects, key)
	u.fold(key)
	return nil
}

func (u *upstream) Lock(ctx context.Context, key string) (func(), error) {
	u.mu.Lock()
	lock, ok := u.locks[key]
	if !ok {
		lock = make(chan struct{}, 1)
		u.locks[key] = lock
	}
	u.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (u *upstream) Synced() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.synced
}

func (u *upstream) Current() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.current
}

// set changes the state that others ask for.
func (u *upstream) set(change func(*upstream)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

// counted returns the number of calls since the last time, by name.
func (u *upstream) counted() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	defer clear(u.calls)
	return maps.Clone(u.calls)
}

// behind changes an object upstream without the journal learning of it.
func (u *upstream) behind(key string, object runtime.Object) {
	u.set(func(u *upstream) {
		if object == nil {
			delete(u.objects, key)
		} else {
			u.objects[key] = unstamped(object)
		}
	})
}

func stamped(object runtime.Object, revision uint64) runtime.Object {
	object = object.DeepCopyObject()
	if err := (apistorage.APIObjectVersioner{}).UpdateObject(object, revision); err != nil {
		panic(err)
	}
	return object
}

func unstamped(object runtime.Object) runtime.Object {
	object = object.DeepCopyObject()
	accessor, err := meta.Accessor(object)
	if err != nil {
		panic(err)
	}
	accessor.SetResourceVersion("")
	accessor.SetSelfLink("")
	return object
}
