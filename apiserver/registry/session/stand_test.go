package session

import (
	"context"
	"slices"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient"
	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/journal"
	"github.com/ambient-code/ambient-kube/apiserver/storage"
)

// memory is a storage backend that holds objects in the journal alone.
type memory struct {
	journal *journal.Journal[runtime.Object]
	writers sync.Mutex
}

func (m *memory) Refresh(context.Context, string) error { return nil }
func (m *memory) Verify(context.Context, string) error  { return nil }
func (m *memory) Synced() error                         { return nil }
func (m *memory) Current() error                        { return nil }

func (m *memory) Create(_ context.Context, key string, object runtime.Object) error {
	m.put(key, object)
	return nil
}

func (m *memory) Update(_ context.Context, key string, _, desired runtime.Object) error {
	m.put(key, desired)
	return nil
}

func (m *memory) Delete(_ context.Context, key string, _ runtime.Object) error {
	m.journal.Delete(key, func(revision uint64, last runtime.Object) runtime.Object { return stamped(last, revision) })
	return nil
}

func (m *memory) Lock(context.Context, string) (func(), error) {
	m.writers.Lock()
	return m.writers.Unlock, nil
}

func (m *memory) put(key string, object runtime.Object) {
	m.journal.Put(key, func(revision uint64) runtime.Object { return stamped(object, revision) })
}

func stamped(object runtime.Object, revision uint64) runtime.Object {
	object = object.DeepCopyObject()
	if err := (apistorage.APIObjectVersioner{}).UpdateObject(object, revision); err != nil {
		panic(err) // only for what is no object
	}
	return object
}

// warnings records what clients are told.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

// AddWarning implements warning.Recorder.
func (w *warnings) AddWarning(_, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.texts, text) {
		w.texts = append(w.texts, text)
	}
}

// take returns the warnings since the last time.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.texts = nil }()
	return w.texts
}

// stand is the storage of Sessions over memory, and a request of a user.
type stand struct {
	Storage
	memory   *memory
	warnings *warnings
	ctx      context.Context
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	ambient.Install(scheme)
	metav1.AddToGroupVersion(scheme, metav1.Unversioned)
	if err := RegisterFieldLabels(scheme); err != nil {
		t.Fatal(err)
	}
	return scheme
}

func newStand(t *testing.T, hooks Hooks) *stand {
	t.Helper()
	scheme := newScheme(t)
	memory := &memory{journal: journal.New[runtime.Object](journal.Options{Epoch: 1})}
	decorator := func(config *storagebackend.ConfigForResource, prefix string, _ func(runtime.Object) (string, error), newFunc, newListFunc func() runtime.Object,
		_ apistorage.AttrFunc, _ apistorage.IndexerFuncs, _ *cache.Indexers) (apistorage.Interface, factory.DestroyFunc, error) {
		store, err := storage.New(storage.Options{Journal: memory.journal, Backend: memory, Codec: config.Codec, NewFunc: newFunc, NewListFunc: newListFunc,
			ResourcePrefix: prefix, GroupResource: config.GroupResource})
		if err != nil {
			return nil, nil, err
		}
		return store, store.Stop, nil
	}
	served, err := NewREST(scheme, generic.RESTOptions{
		StorageConfig: &storagebackend.ConfigForResource{
			Config:        storagebackend.Config{Codec: serializer.NewCodecFactory(scheme).LegacyCodec(v1alpha1.SchemeGroupVersion)},
			GroupResource: v1alpha1.Resource("sessions"),
		},
		Decorator: decorator, EnableGarbageCollection: true, DeleteCollectionWorkers: 2, ResourcePrefix: "/sessions",
	}, hooks)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(served.Session.Destroy)
	recorder := &warnings{}
	return &stand{Storage: served, memory: memory, warnings: recorder, ctx: warning.WithWarningRecorder(request("ann"), recorder)}
}

// request returns the context of a request by a user in namespace team-a.
func request(name string) context.Context {
	ctx := genericapirequest.WithNamespace(context.Background(), "team-a")
	return genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: name})
}

// stored returns the session as storage holds it.
func (s *stand) stored(t *testing.T, name string) *v1alpha1.Session {
	t.Helper()
	entry, found := s.memory.journal.Get("/sessions/team-a/" + name)
	if !found {
		return nil
	}
	return entry.Value.DeepCopyObject().(*v1alpha1.Session)
}

// hold puts a session into storage, past all strategies.
func (s *stand) hold(session *v1alpha1.Session) {
	s.memory.put("/sessions/"+session.Namespace+"/"+session.Name, session)
}
