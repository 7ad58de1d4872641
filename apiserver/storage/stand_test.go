package storage

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

var exampleCodec = func() runtime.Codec {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme).LegacyCodec(examplev1.SchemeGroupVersion)
}()

// stand is a Store of pods over an upstream in memory, with or without the cache.
type stand struct {
	journal  *journal.Journal[runtime.Object]
	upstream *upstream
	store    *Store
	// served is what clients see: the store itself, or the cache in front of it.
	served apistorage.Interface
	lists  *listRecorder
}

type standOptions struct {
	cached bool
	epoch  uint32
	// unsynced starts before the first synchronisation.
	unsynced      bool
	clusterScoped bool
	indexed       bool
	adjust        func(*Options)
}

// newStand starts a stand and stops it at the end of the test.
func newStand(t testing.TB, with standOptions) *stand {
	t.Helper()
	j := journal.New[runtime.Object](journal.Options{Epoch: with.epoch})
	u := newUpstream(j)
	options := Options{
		Journal:        j,
		Backend:        u,
		Codec:          exampleCodec,
		NewFunc:        func() runtime.Object { return &example.Pod{} },
		NewListFunc:    func() runtime.Object { return &example.PodList{} },
		ResourcePrefix: "/pods/",
		GroupResource:  schema.GroupResource{Resource: "pods"},
	}
	if with.adjust != nil {
		with.adjust(&options)
	}
	store, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{journal: j, upstream: u, store: store, served: store, lists: newListRecorder(store)}
	if with.unsynced {
		u.synced = unavailable("not synchronised yet")
	}
	if !with.cached {
		t.Cleanup(store.Stop)
		return s
	}
	cached, destroy, err := newCached(store, s.lists, cacheOptions(with), hastyClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(destroy)
	s.served = cached
	if !with.unsynced {
		s.awaitReady(t)
	}
	return s
}

func cacheOptions(with standOptions) CacheOptions {
	options := CacheOptions{
		KeyFunc: func(object runtime.Object) (string, error) {
			return apistorage.NamespaceKeyFunc("/pods/", object)
		},
		AttrFunc: podAttributes,
		Indexers: &cache.Indexers{},
	}
	if with.clusterScoped {
		options.KeyFunc = func(object runtime.Object) (string, error) {
			return apistorage.NoNamespaceKeyFunc("/pods/", object)
		}
	}
	if with.indexed {
		options.Trigger = apistorage.IndexerFuncs{
			"spec.nodeName": func(object runtime.Object) string { return object.(*example.Pod).Spec.NodeName },
		}
		options.Indexers = &cache.Indexers{
			"f:spec.nodeName": func(object any) ([]string, error) {
				return []string{object.(*example.Pod).Spec.NodeName}, nil
			},
			"f:metadata.namespace": func(object any) ([]string, error) {
				return []string{object.(*example.Pod).Namespace}, nil
			},
		}
	}
	return options
}

// awaitReady waits until the cache serves.
func (s *stand) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, "the cache is ready", func() bool { return s.served.ReadinessCheck() == nil })
}

// advance moves the revision on without touching any pod.
func (s *stand) advance() uint64 {
	return s.journal.Put("/elsewhere", func(uint64) runtime.Object { return &example.Pod{} })
}

// compact makes the journal forget, and the cache its snapshots. Like a compaction
// of etcd it moves the revision on.
func (s *stand) compact(ctx context.Context, t *testing.T, resourceVersion string) {
	t.Helper()
	revision, err := s.store.versioner.ParseResourceVersion(resourceVersion)
	if err != nil {
		t.Fatal(err)
	}
	// The cache must not be overtaken.
	everything := apistorage.ListOptions{Recursive: true, Predicate: apistorage.Everything}
	if err := s.served.GetList(ctx, "/pods/", everything, &example.PodList{}); err != nil {
		t.Fatal(err)
	}
	s.advance()
	s.journal.Compact(revision)
	eventually(t, "the compaction is seen", func() bool { return s.served.CompactRevision() == int64(revision) })
}

func podAttributes(object runtime.Object) (labels.Set, fields.Set, error) {
	pod, ok := object.(*example.Pod)
	if !ok {
		return nil, nil, fmt.Errorf("a %T is no pod", object)
	}
	return pod.Labels, fields.Set{
		"metadata.name":      pod.Name,
		"metadata.namespace": pod.Namespace,
		"spec.nodeName":      pod.Spec.NodeName,
		"spec.restartPolicy": string(pod.Spec.RestartPolicy),
		"status.phase":       string(pod.Status.Phase),
	}, nil
}

// hastyClock lets the cache look for compactions often; all else is real time.
type hastyClock struct{ clock.RealClock }

func (c hastyClock) NewTimer(d time.Duration) clock.Timer {
	const lookForCompactions = 15 * time.Second
	if d == lookForCompactions {
		return hastyTimer{c.RealClock.NewTimer(hastyPeriod)}
	}
	return c.RealClock.NewTimer(d)
}

const hastyPeriod = 50 * time.Millisecond

type hastyTimer struct{ clock.Timer }

func (t hastyTimer) Reset(time.Duration) bool { return t.Timer.Reset(hastyPeriod) }

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(context.Background(), 5*time.Millisecond, 10*time.Second, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("it never came about that %s", what)
	}
}
