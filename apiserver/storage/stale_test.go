package storage

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
)

func everything(resourceVersion string) apistorage.ListOptions {
	return apistorage.ListOptions{Recursive: true, Predicate: apistorage.Everything, ResourceVersion: resourceVersion}
}

func (s *stand) list(key, resourceVersion string) (*example.PodList, error) {
	out := &example.PodList{}
	return out, s.served.GetList(context.Background(), key, everything(resourceVersion), out)
}

func (s *stand) read(key, resourceVersion string) (*example.Pod, error) {
	out := &example.Pod{}
	return out, s.served.Get(context.Background(), key, apistorage.GetOptions{ResourceVersion: resourceVersion}, out)
}

// Reads that may be stale go on during an outage; reads that claim to be current
// are refused with 503, never with 429.
func TestDecision8AnOutageRefusesOnlyWhatClaimsToBeCurrent(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	s.create(t, fooKey, foo())
	if _, err := s.list("/pods/", ""); err != nil {
		t.Fatal(err)
	}
	open, err := s.served.Watch(context.Background(), "/pods/", everything("0"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Stop()
	expectEvent(t, open, watch.Added)

	s.upstream.set(func(u *upstream) {
		u.current = unavailable("the state is 40 s old")
		u.faults["Refresh"] = unavailable("no connection")
	})

	_, err = s.list("/pods/", "")
	expectStatus(t, "a consistent list", err, http.StatusServiceUnavailable)
	if seconds, ok := apierrors.SuggestsClientDelay(err); !ok || seconds < 1 {
		t.Errorf("it names no time to retry after: %v", err)
	}
	_, err = s.list("/pods/ns/", "")
	expectStatus(t, "a consistent list of a namespace that holds objects", err, http.StatusServiceUnavailable)
	_, err = s.read(fooKey, "")
	expectStatus(t, "a consistent read", err, http.StatusServiceUnavailable)
	_, err = s.read("/pods/ns/absent", "")
	expectStatus(t, "a consistent read of what is not there", err, http.StatusServiceUnavailable)
	_, err = s.update(fooKey, addLabel("a"))
	expectStatus(t, "a write", err, http.StatusServiceUnavailable)
	watchList := everything("")
	initial := true
	watchList.SendInitialEvents, watchList.Predicate.AllowWatchBookmarks = &initial, true
	watchList.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
	refused, err := s.served.Watch(context.Background(), "/pods/", watchList)
	if err != nil {
		t.Fatal(err)
	}
	event := expectEvent(t, refused, watch.Error)
	if code := event.Object.(*metav1.Status).Code; code != http.StatusServiceUnavailable {
		t.Errorf("a consistent watch: status %d", code)
	}

	if list, err := s.list("/pods/", "0"); err != nil || len(list.Items) != 1 {
		t.Errorf("a list at revision 0: %v, %v", list.Items, err)
	}
	if _, err := s.read(fooKey, "0"); err != nil {
		t.Errorf("a read at revision 0: %v", err)
	}
	if s.served.ReadinessCheck() != nil {
		t.Error("the cache is no longer ready")
	}

	s.upstream.set(func(u *upstream) {
		u.current = nil
		clear(u.faults)
	})
	if _, err := s.update(fooKey, addLabel("afterwards")); err != nil {
		t.Fatal(err)
	}
	expectEvent(t, open, watch.Modified)
}

func TestAReadIsAnsweredFromMemoryWhileThatMayClaimToBeCurrent(t *testing.T) {
	timeout := apierrors.NewTimeoutError("the upstream did not answer", 1)
	for name, test := range map[string]struct {
		fault error
		code  int32
	}{
		"the upstream is unavailable":   {fault: unavailable("no connection")},
		"the upstream is too slow":      {fault: timeout},
		"the upstream refuses":          {fault: apierrors.NewForbidden(example.Resource("pods"), "foo", errors.New("no")), code: http.StatusForbidden},
		"our credentials are worthless": {fault: apierrors.NewInternalError(errors.New("no token")), code: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, standOptions{})
			s.create(t, fooKey, foo("a"))
			s.upstream.set(func(u *upstream) { u.faults["Refresh"] = test.fault })
			out, err := s.read(fooKey, "")
			if test.code != 0 {
				expectStatus(t, "reading", err, test.code)
				return
			}
			if err != nil || len(out.Labels) != 1 {
				t.Errorf("got %v, %v", out, err)
			}
			s.upstream.set(func(u *upstream) { u.current = unavailable("the state is 40 s old") })
			_, err = s.read(fooKey, "")
			expectStatus(t, "reading a stale state", err, http.StatusServiceUnavailable)
		})
	}
}

// Namespace deletion, garbage collection and quota list our kinds in every
// namespace and must not hang on our upstream (decision 17).
func TestDecision17ForeignNamespacesAreAnsweredFromMemory(t *testing.T) {
	s := newStand(t, standOptions{cached: true, adjust: func(o *Options) {
		o.MayHold = func(namespace string) bool { return namespace == "empty-project" }
	}})
	s.create(t, fooKey, foo())
	s.upstream.set(func(u *upstream) { u.current = unavailable("the state is 40 s old") })

	for _, key := range []string{"/pods/foreign", "/pods/foreign/", "/pods/n"} {
		list, err := s.list(key, "")
		if err != nil || len(list.Items) != 0 {
			t.Errorf("%s: %v, %v", key, list.Items, err)
		}
		if list.ResourceVersion != strconv.FormatUint(s.journal.Revision(), 10) {
			t.Errorf("%s: listed at %s, the journal is at %d", key, list.ResourceVersion, s.journal.Revision())
		}
	}
	limited := everything("")
	limited.Predicate.Limit = 500
	if err := s.served.GetList(context.Background(), "/pods/foreign/", limited, &example.PodList{}); err != nil {
		t.Errorf("with a limit: %v", err)
	}
	for _, key := range []string{"/pods/", "/pods/ns/", "/pods/empty-project/"} {
		_, err := s.list(key, "")
		expectStatus(t, key, err, http.StatusServiceUnavailable)
	}

	s.upstream.set(func(u *upstream) { u.synced = unavailable("not synchronised yet") })
	_, err := s.list("/pods/foreign/", "")
	expectStatus(t, "before the first synchronisation", err, http.StatusServiceUnavailable)
}

// The last object of a namespace was deleted just now: the cache may not show it.
func TestDecision17TheCacheHasSeenTheLastDeletion(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	for range 50 {
		s.create(t, fooKey, foo())
		s.upstream.set(func(u *upstream) { u.current = nil })
		if _, err := s.remove(fooKey); err != nil {
			t.Fatal(err)
		}
		s.upstream.set(func(u *upstream) { u.current = unavailable("the state is 40 s old") })
		if list, err := s.list("/pods/ns/", ""); err != nil || len(list.Items) != 0 {
			t.Fatalf("%v, %v", list.Items, err)
		}
	}
}

// An empty world makes garbage collectors delete: nothing is answered before the
// first synchronisation, and the cache is not ready before.
func TestNothingIsAnsweredBeforeTheFirstSynchronisation(t *testing.T) {
	for _, listsByWatching := range []bool{true, false} {
		t.Run("listing by watching is "+strconv.FormatBool(listsByWatching), func(t *testing.T) {
			clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, listsByWatching)
			s := newStand(t, standOptions{cached: true, unsynced: true})
			limited := everything("")
			limited.Predicate.Limit = 10
			deadline := time.Now().Add(300 * time.Millisecond)
			for time.Now().Before(deadline) {
				if s.served.ReadinessCheck() == nil {
					t.Fatal("the cache is ready")
				}
				for _, revision := range []string{"", "0"} {
					_, err := s.list("/pods/", revision)
					expectStatus(t, "a list at "+revision, err, http.StatusServiceUnavailable)
					_, err = s.read(fooKey, revision)
					expectStatus(t, "a read at "+revision, err, http.StatusServiceUnavailable)
					_, err = s.served.Watch(context.Background(), "/pods/", everything(revision))
					expectStatus(t, "a watch at "+revision, err, http.StatusServiceUnavailable)
				}
				err := s.served.GetList(context.Background(), "/pods/", limited, &example.PodList{})
				expectStatus(t, "a list with a limit", err, http.StatusServiceUnavailable)
				_, err = s.served.GetCurrentResourceVersion(context.Background())
				expectStatus(t, "the current revision", err, http.StatusServiceUnavailable)
				time.Sleep(10 * time.Millisecond)
			}
			s.upstream.behind(fooKey, foo())
			s.upstream.set(func(u *upstream) {
				u.fold(fooKey)
				u.synced = nil
			})
			// Now the cache is being filled, which is no reason to answer otherwise.
			for s.served.ReadinessCheck() != nil {
				if _, err := s.list("/pods/", "0"); err != nil {
					expectStatus(t, "a list while the cache is being filled", err, http.StatusServiceUnavailable)
				}
				if open, err := s.served.Watch(context.Background(), "/pods/", everything("0")); err != nil {
					expectStatus(t, "a watch while the cache is being filled", err, http.StatusServiceUnavailable)
				} else {
					open.Stop()
				}
			}
			s.awaitReady(t)
			if list, err := s.list("/pods/", "0"); err != nil || len(list.Items) != 1 {
				t.Errorf("afterwards: %v, %v", list.Items, err)
			}
		})
	}
}

// Stopping must not wait for an upstream that never answers.
func TestACacheThatNeverSynchronisedStops(t *testing.T) {
	for _, listsByWatching := range []bool{true, false} {
		clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, listsByWatching)
		s := newStand(t, standOptions{unsynced: true})
		_, destroy, err := NewCached(s.store.options, cacheOptions(standOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		stopped := make(chan struct{})
		go func() {
			destroy()
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(10 * time.Second):
			t.Fatal("it does not stop")
		}
	}
}

func expectEvent(t *testing.T, w watch.Interface, kind watch.EventType) watch.Event {
	t.Helper()
	select {
	case event, ok := <-w.ResultChan():
		if !ok || event.Type != kind {
			t.Fatalf("got %v (open: %v), want %s", event, ok, kind)
		}
		return event
	case <-time.After(10 * time.Second):
		t.Fatalf("no event came, want %s", kind)
	}
	return watch.Event{}
}

// Stopping must not wait for ever while events keep coming: the library's cache
// cannot be stopped with a full queue.
func TestACacheStopsInTheMiddleOfAFloodOfEvents(t *testing.T) {
	for range 3 {
		s := newStand(t, standOptions{})
		options := cacheOptions(standOptions{})
		dispatched := atomic.Int64{}
		options.Trigger = apistorage.IndexerFuncs{"slow": func(runtime.Object) string {
			dispatched.Add(1)
			time.Sleep(2 * time.Millisecond)
			return ""
		}}
		cached, destroy, err := NewCached(s.store.options, options)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the cache is ready", func() bool { return cached.ReadinessCheck() == nil })
		flood, end := context.WithCancel(context.Background())
		var writing sync.WaitGroup
		writing.Go(func() {
			for flood.Err() == nil {
				s.upstream.set(func(u *upstream) {
					u.objects[fooKey] = &example.Pod{ObjectMeta: metav1.ObjectMeta{
						Namespace: "ns", Name: "foo", Generation: int64(s.journal.Revision()),
					}}
					u.fold(fooKey)
				})
			}
		})
		eventually(t, "the queue is full", func() bool { return dispatched.Load() > 20 })
		stopped := make(chan struct{})
		go func() {
			destroy()
			close(stopped)
		}()
		select {
		case <-stopped:
		case <-time.After(5 * time.Second):
			t.Error("it does not stop")
		}
		end()
		writing.Wait()
	}
}
