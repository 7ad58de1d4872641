package storage

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	apistorage "k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/ambient-code/ambient-kube/apiserver/journal"
)

// CacheOptions are what the cache needs beyond Options.
type CacheOptions struct {
	// KeyFunc returns an object's key.
	KeyFunc func(runtime.Object) (string, error)
	// AttrFunc returns the labels and fields by which objects are selected.
	AttrFunc apistorage.AttrFunc
	// Trigger, at most one, spreads events over watchers; may be nil.
	Trigger apistorage.IndexerFuncs
	// Indexers speed up lists by label or field; may be nil.
	Indexers *cache.Indexers
	// EventsHistoryWindow is the time for which the cache keeps events at least;
	// what is shorter than the library allows is lengthened to that.
	EventsHistoryWindow time.Duration
}

// Decorator returns the function through which a generic registry gets its
// storage. Of options, Journal and Backend are needed, the rest that the registry
// knows itself (Codec, NewFunc, NewListFunc, ResourcePrefix, GroupResource) is
// filled in.
func Decorator(options Options) generic.StorageDecorator {
	return func(
		config *storagebackend.ConfigForResource,
		resourcePrefix string,
		keyFunc func(runtime.Object) (string, error),
		newFunc func() runtime.Object,
		newListFunc func() runtime.Object,
		attrFunc apistorage.AttrFunc,
		trigger apistorage.IndexerFuncs,
		indexers *cache.Indexers,
	) (apistorage.Interface, factory.DestroyFunc, error) {
		options := options
		options.Codec = config.Codec
		options.GroupResource = config.GroupResource
		options.ResourcePrefix = resourcePrefix
		options.NewFunc = newFunc
		options.NewListFunc = newListFunc
		return NewCached(options, CacheOptions{
			KeyFunc:             keyFunc,
			AttrFunc:            attrFunc,
			Trigger:             trigger,
			Indexers:            indexers,
			EventsHistoryWindow: config.EventsHistoryWindow,
		})
	}
}

// NewCached returns a Store behind the library's cache, and the function that
// stops both. InstallFeatureChecker has to be called before.
func NewCached(options Options, cacheOptions CacheOptions) (apistorage.Interface, func(), error) {
	store, err := New(options)
	if err != nil {
		return nil, nil, err
	}
	return newCached(store, store, cacheOptions, clock.RealClock{})
}

// newCached puts the cache in front of the store. What the cache cannot answer goes
// to behind, which is the store or a wrapper around it.
func newCached(store *Store, behind apistorage.Interface, cacheOptions CacheOptions, clock clock.WithTicker) (apistorage.Interface, func(), error) {
	options := store.options
	feeding, stopFeeding := context.WithCancel(context.Background())
	feed := &source{Store: store, feeding: feeding, turnedAway: make(chan struct{})}
	cached, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage:             feed,
		Versioner:           store.versioner,
		GroupResource:       options.GroupResource,
		EventsHistoryWindow: max(cacheOptions.EventsHistoryWindow, cacher.DefaultEventFreshDuration),
		ResourcePrefix:      options.ResourcePrefix,
		KeyFunc:             cacheOptions.KeyFunc,
		GetAttrsFunc:        cacheOptions.AttrFunc,
		IndexerFuncs:        cacheOptions.Trigger,
		Indexers:            cacheOptions.Indexers,
		NewFunc:             options.NewFunc,
		NewListFunc:         options.NewListFunc,
		Codec:               options.Codec,
		Clock:               clock,
	})
	if err != nil {
		stopFeeding()
		store.Stop()
		return nil, nil, fmt.Errorf("making the cache of %s: %w", options.GroupResource, err)
	}
	delegator := cacher.NewCacheDelegator(cached, behind)
	destroy := sync.OnceFunc(func() {
		delegator.Stop()
		// The cache cannot be stopped while its reflector hands over an event: the
		// dispatcher stops first, and if its queue is full the reflector is stuck in
		// it for ever. So the events end first, and the reflector comes back for more.
		stopFeeding()
		store.Stop()
		select {
		case <-feed.turnedAway:
		case <-time.After(turnAwayTimeout):
		}
		cached.Stop()
	})
	return &guard{Interface: delegator, store: store}, destroy, nil
}

// source is what the cache's own reflector reads. Unlike the Store it waits for
// the first synchronisation, so that the cache is neither ready with an empty
// world nor busy failing; and it lists however old the state is, because the cache
// has to hold what the journal holds.
type source struct {
	*Store
	// feeding ends when the cache is about to be stopped; turnedAway is closed when
	// the reflector has learnt of that.
	feeding    context.Context
	turnedAway chan struct{}
	turnAway   sync.Once
}

const (
	// syncPoll is the pause between two looks for the first synchronisation.
	syncPoll = 20 * time.Millisecond
	// turnAwayTimeout is far above the pause that a reflector makes.
	turnAwayTimeout = 10 * time.Second
)

func (s *source) awaitSync(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.feeding, cancel)()
	err := wait.PollUntilContextCancel(ctx, syncPoll, true, func(context.Context) (bool, error) {
		return s.backend.Synced() == nil && s.feeding.Err() == nil, nil
	})
	s.noticeEnd()
	return err
}

// noticeEnd is called by the reflector's goroutine when it is not handing over an
// event.
func (s *source) noticeEnd() {
	if s.feeding.Err() != nil {
		s.turnAway.Do(func() { close(s.turnedAway) })
	}
}

// GetList implements storage.Interface.
func (s *source) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {
	if err := s.awaitSync(ctx); err != nil {
		return fmt.Errorf("waiting for the first synchronisation: %w", err)
	}
	return s.list(ctx, key, options, out)
}

// Watch implements storage.Interface.
func (s *source) Watch(ctx context.Context, key string, options apistorage.ListOptions) (watch.Interface, error) {
	if err := s.awaitSync(ctx); err != nil {
		return nil, fmt.Errorf("waiting for the first synchronisation: %w", err)
	}
	followed, err := s.Store.Watch(ctx, key, options)
	if err != nil {
		return nil, err
	}
	return &sourceWatch{Interface: followed, source: s}, nil
}

// sourceWatch is the watch that the reflector follows. The reflector stops it when
// it has handed over the last event.
type sourceWatch struct {
	watch.Interface
	source *source
}

// Stop implements watch.Interface.
func (w *sourceWatch) Stop() {
	w.Interface.Stop()
	w.source.noticeEnd()
}

// guard stands in front of the cache and decides what the cache cannot know.
type guard struct {
	apistorage.Interface
	store *Store
}

// Watch refuses to watch from the future. The cache would accept it and drop every
// event up to that revision without a word; a client brings such a revision from
// another life of this server or from another one. The measure is the journal: the
// cache trails it, and the revision of a write answered just now may be ahead of
// the cache.
func (g *guard) Watch(ctx context.Context, key string, options apistorage.ListOptions) (watch.Interface, error) {
	if err := g.store.backend.Synced(); err != nil {
		return nil, err
	}
	from, err := g.store.versioner.ParseResourceVersion(options.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if from > g.store.journal.Revision() {
		return failedWatch(watchError(journal.ErrFuture)), nil
	}
	if g.store.options.VerifyReads && options.ResourceVersion == "" {
		if err := g.store.backend.Verify(ctx, ""); err != nil {
			return nil, err
		}
	}
	watching, err := g.Interface.Watch(ctx, key, options)
	return watching, notOverloaded(err)
}

// GetList answers lists of foreign namespaces from memory.
//
// A consistent list asks for the current revision of the whole kind, which is
// refused while the state may not claim to be current. The namespace controller,
// garbage collection and quota list our kinds in every namespace of the cluster
// and must not hang on our upstream. So where the synchronised journal holds
// nothing in a namespace, and nothing of the upstream belongs there, the request
// becomes one for the journal's revision at least: that is the answer it would
// have got, and it waits until the cache has seen the last deletion.
func (g *guard) GetList(ctx context.Context, key string, options apistorage.ListOptions, out runtime.Object) error {
	if err := g.store.backend.Synced(); err != nil {
		return err
	}
	if options.ResourceVersion == "" && options.ResourceVersionMatch == "" && options.Predicate.Continue == "" {
		revision, foreign := g.foreign(key)
		switch {
		case options.Recursive && foreign && (g.store.options.VerifyReads || g.store.backend.Current() != nil):
			options.ResourceVersion = strconv.FormatUint(revision, 10)
			options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
		case g.store.options.VerifyReads:
			if err := g.store.backend.Current(); err != nil {
				return err
			}
			if err := g.store.backend.Verify(ctx, ""); err != nil {
				return err
			}
		}
	}
	return notOverloaded(g.Interface.GetList(ctx, key, options, out))
}

// foreign tells whether the key is that of a namespace without any of our objects,
// and the revision at which that is so.
func (g *guard) foreign(key string) (uint64, bool) {
	below, ok := strings.CutPrefix(directory(key), directory(g.store.options.ResourcePrefix))
	namespace, rest, _ := strings.Cut(below, "/")
	if !ok || namespace == "" || rest != "" {
		return 0, false
	}
	entries, revision := g.store.journal.List(directory(key))
	if len(entries) > 0 || (g.store.options.MayHold != nil && g.store.options.MayHold(namespace)) {
		return 0, false
	}
	return revision, true
}
