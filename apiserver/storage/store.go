package storage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apistorage "k8s.io/apiserver/pkg/storage"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

// Backend is the upstream side of one kind. Every method folds what it learned
// into the journal before it returns. Methods may be called concurrently; writes
// of one key are made while its lock is held.
type Backend interface {
	// Refresh reads the object at key from the upstream. A key that the upstream
	// does not hold is no error: the journal then lacks it.
	Refresh(ctx context.Context, key string) error
	// Verify returns nil once the journal is known to hold what the upstream held
	// at some moment after the call: of the object at key, or, if key is empty, of
	// every object of the kind.
	Verify(ctx context.Context, key string) error
	// Create makes the object upstream; afterwards the journal holds key.
	Create(ctx context.Context, key string, object runtime.Object) error
	// Update changes the object upstream from current to desired. Both carry what
	// PrepareExisting added; only current has a resourceVersion.
	Update(ctx context.Context, key string, current, desired runtime.Object) error
	// Delete removes the object upstream; afterwards the journal lacks key.
	Delete(ctx context.Context, key string, current runtime.Object) error
	// Lock serialises the writers of one key; the returned function releases it.
	Lock(ctx context.Context, key string) (unlock func(), err error)
	// Synced returns nil after the first complete synchronisation, else a status
	// error 503 with a time to retry after.
	Synced() error
	// Current returns nil while reads may claim to be current, else a status
	// error 503 with a time to retry after, that names the age of the state.
	Current() error
}

// Options are what a Store is made of. All fields are needed unless they say
// otherwise.
type Options struct {
	Journal *journal.Journal[runtime.Object]
	Backend Backend
	// Codec encodes objects to compare them and to estimate their size.
	Codec       runtime.Codec
	NewFunc     func() runtime.Object
	NewListFunc func() runtime.Object
	// ResourcePrefix begins every key of the kind, for example "/sessions".
	ResourcePrefix string
	GroupResource  schema.GroupResource

	// PrepareExisting, if set, completes the copy of the stored object that an
	// update, dry or not, starts from. It is not called for reads, lists and watches.
	PrepareExisting func(runtime.Object) error
	// Settle, if set, corrects an update before it is compared with the existing
	// object as PrepareExisting left it. It may change the update only.
	Settle func(existing, updated runtime.Object) error
	// Unchanged, if set, tells whether an update would change nothing that is
	// stored; by default equal encodings are unchanged. Neither object carries a
	// resourceVersion, and neither may be changed.
	Unchanged func(existing, updated runtime.Object) bool
	// VerifyReads asks the upstream before every read that claims to be current.
	VerifyReads bool
	// MayHold, if set, tells whether the upstream may hold objects in a namespace
	// for which the journal holds none. Lists of namespaces that cannot hold any
	// are answered from memory however old the state is. Unset: none can.
	MayHold func(namespace string) bool
}

// Store is a storage.Interface over a journal and a Backend.
type Store struct {
	journal   *journal.Journal[runtime.Object]
	backend   Backend
	options   Options
	versioner apistorage.Versioner

	progress notice
	watching sync.WaitGroup
	// stopping keeps a watch from beginning while Stop begins to wait.
	stopping sync.Mutex
	stopped  context.Context
	stop     context.CancelFunc
}

var _ apistorage.Interface = (*Store)(nil)

// New returns a Store, or an error that names the option that is missing. The
// caller stops it in the end.
func New(options Options) (*Store, error) {
	switch {
	case options.Journal == nil:
		return nil, errors.New("storage needs a journal")
	case options.Backend == nil:
		return nil, errors.New("storage needs a backend")
	case options.NewFunc == nil || options.NewListFunc == nil:
		return nil, errors.New("storage needs functions that make objects and lists")
	case options.Codec == nil:
		return nil, errors.New("storage needs a codec")
	case !strings.HasPrefix(options.ResourcePrefix, "/") || options.ResourcePrefix == "/":
		return nil, fmt.Errorf("storage needs a resource prefix that begins with a slash, got %q", options.ResourcePrefix)
	}
	s := &Store{
		journal:   options.Journal,
		backend:   options.Backend,
		options:   options,
		versioner: apistorage.APIObjectVersioner{},
	}
	s.stopped, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Stop ends all watches and waits for them.
func (s *Store) Stop() {
	s.stopping.Lock()
	s.stop()
	s.stopping.Unlock()
	s.watching.Wait()
}

// Versioner implements storage.Interface.
func (s *Store) Versioner() apistorage.Versioner { return s.versioner }

// GetCurrentResourceVersion returns the journal's revision. Every consistent list
// and watch begins with it, so it is refused while the state may not claim to be
// current.
func (s *Store) GetCurrentResourceVersion(context.Context) (uint64, error) {
	if err := s.current(); err != nil {
		return 0, err
	}
	return s.journal.Revision(), nil
}

// current returns nil while reads may claim to be current.
func (s *Store) current() error {
	if err := s.backend.Synced(); err != nil {
		return err
	}
	return s.backend.Current()
}

// CompactRevision returns the oldest revision that can still be listed.
func (s *Store) CompactRevision() int64 { return int64(s.journal.CompactRevision()) }

// ReadinessCheck returns nil after the first complete synchronisation.
func (s *Store) ReadinessCheck() error { return s.backend.Synced() }

// RequestWatchProgress makes each watch that wants progress notes send one.
func (s *Store) RequestWatchProgress(context.Context) error {
	s.progress.give()
	return nil
}

// EnableResourceSizeEstimation implements storage.Interface. Sizes are estimated
// from the journal, so the keys are not needed.
func (s *Store) EnableResourceSizeEstimation(apistorage.KeysFunc) error { return nil }

// sizeSample is the number of objects whose encoded size is measured.
const sizeSample = 100

// Stats returns the number of objects and their average encoded size, measured on
// a sample.
func (s *Store) Stats(context.Context) (apistorage.Stats, error) {
	entries, _ := s.journal.List(directory(s.options.ResourcePrefix))
	stats := apistorage.Stats{ObjectCount: int64(len(entries))}
	step := max(len(entries)/sizeSample, 1)
	var bytes, measured int64
	for i := 0; i < len(entries); i += step {
		data, err := s.encode(entries[i].Value)
		if err != nil {
			return apistorage.Stats{}, fmt.Errorf("measuring %s: %w", entries[i].Key, err)
		}
		bytes += int64(len(data))
		measured++
	}
	if measured > 0 {
		stats.EstimatedAverageObjectSizeBytes = bytes / measured
	}
	return stats, nil
}

// encode returns the object as it would be stored: without a resourceVersion.
func (s *Store) encode(object runtime.Object) ([]byte, error) {
	object = object.DeepCopyObject()
	if err := s.versioner.PrepareObjectForStorage(object); err != nil {
		return nil, err
	}
	return runtime.Encode(s.options.Codec, object)
}

// key checks a key and returns the form in which the journal holds it.
func (s *Store) key(key string, recursive bool) (string, error) {
	return apistorage.PrepareKey(s.options.ResourcePrefix, key, recursive)
}

// directory returns the prefix of all keys below a key.
func directory(key string) string { return strings.TrimSuffix(key, "/") + "/" }

// give sets out to a copy of the object: what is handed out shares nothing with
// the journal.
func give(object, out runtime.Object) error {
	if out == nil {
		return nil
	}
	target, err := conversion.EnforcePtr(out)
	if err != nil {
		return fmt.Errorf("answering: %w", err)
	}
	value := reflect.ValueOf(object.DeepCopyObject()).Elem()
	if value.Type() != target.Type() {
		return fmt.Errorf("answering: the object is a %s, asked for is a %s", value.Type(), target.Type())
	}
	target.Set(value)
	return nil
}

// notice wakes everybody who waits for it, again and again.
type notice struct {
	mu      sync.Mutex
	waiting chan struct{}
}

// given returns a channel that the next call of give closes.
func (n *notice) given() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting == nil {
		n.waiting = make(chan struct{})
	}
	return n.waiting
}

func (n *notice) give() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting != nil {
		close(n.waiting)
		n.waiting = nil
	}
}
