package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
)

func expectGone(t *testing.T, what string, w watch.Interface) {
	t.Helper()
	event := expectEvent(t, w, watch.Error)
	if status := event.Object.(*metav1.Status); status.Code != http.StatusGone || status.Reason != metav1.StatusReasonExpired {
		t.Errorf("%s: got %v, want 410 Expired", what, status)
	}
	if _, open := <-w.ResultChan(); open {
		t.Errorf("%s: the watch goes on after the error", what)
	}
}

// The revisions of other epochs: from before the server was started, from another
// server, or from far ahead after the clock was put back.
func TestDecision4AWatchFromAnotherEpochIsGone(t *testing.T) {
	for _, cached := range []bool{false, true} {
		s := newStand(t, standOptions{cached: cached, epoch: 7})
		s.create(t, fooKey, foo())
		current := s.journal.Revision()
		for name, revision := range map[string]uint64{
			"an older epoch": 6<<32 + 5,
			"a later epoch":  8<<32 + 5,
			"the next event": current + 1,
			"an old counter": 12,
		} {
			for _, initial := range []bool{false, true} {
				options := everything(strconv.FormatUint(revision, 10))
				if initial {
					if revision < current {
						continue // an initial state not older than that is fine
					}
					options.SendInitialEvents = &initial
					options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
				}
				w, err := s.served.Watch(context.Background(), "/pods/", options)
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("cached=%v, initial=%v, %s", cached, initial, name)
				if initial && !cached {
					// The store itself says what any storage says.
					event := expectEvent(t, w, watch.Error)
					if code := event.Object.(*metav1.Status).Code; code != http.StatusGatewayTimeout {
						t.Errorf("%s: %v", what, event)
					}
					continue
				}
				expectGone(t, what, w)
			}
		}
	}
}

// The cache trails the journal: a client that was answered a microsecond ago and
// watches from there is not from the future.
func TestDecision4AWatchFromTheRevisionOfACreateAnsweredJustNow(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	for i := range 200 {
		name := strconv.Itoa(i)
		pod := &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		created := s.create(t, "/pods/ns/"+name, pod)
		w, err := s.served.Watch(context.Background(), "/pods/ns/", everything(created.ResourceVersion))
		if err != nil {
			t.Fatal(err)
		}
		pod.Name += "-next"
		next := s.create(t, "/pods/ns/"+pod.Name, pod)
		event := expectEvent(t, w, watch.Added)
		if got := event.Object.(metav1.Object).GetResourceVersion(); got != next.ResourceVersion {
			t.Fatalf("got the event %s, want %s", got, next.ResourceVersion)
		}
		w.Stop()
	}
}

func TestAWatchThatFallsBehindTheLogIsGone(t *testing.T) {
	s := newStand(t, standOptions{})
	first := s.create(t, fooKey, foo())
	w, err := s.served.Watch(context.Background(), "/pods/", everything(first.ResourceVersion))
	if err != nil {
		t.Fatal(err)
	}
	// The watch's buffer fills up, and meanwhile the journal forgets.
	for i := range 2 * watchBuffer {
		if _, err := s.update(fooKey, func(pod *example.Pod) { pod.Generation = int64(i) + 1 }); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the watch is stuck", func() bool { return len(w.ResultChan()) == watchBuffer })
	s.advance()
	s.journal.Compact(s.journal.Revision())
	seen := 0
	for event := range w.ResultChan() {
		if event.Type == watch.Error {
			if code := event.Object.(*metav1.Status).Code; code != http.StatusGone {
				t.Errorf("got %v", event)
			}
			return
		}
		seen++
	}
	t.Errorf("the watch ended without an error after %d events", seen)
}

func TestAWatchEndsOnlyForItsOwnReasons(t *testing.T) {
	for name, end := range map[string]func(*stand, watch.Interface, context.CancelFunc){
		"stop":            func(_ *stand, w watch.Interface, _ context.CancelFunc) { w.Stop() },
		"context":         func(_ *stand, _ watch.Interface, cancel context.CancelFunc) { cancel() },
		"stopped storage": func(s *stand, _ watch.Interface, _ context.CancelFunc) { s.store.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, standOptions{})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w, err := s.served.Watch(ctx, "/pods/", everything("0"))
			if err != nil {
				t.Fatal(err)
			}
			s.upstream.set(func(u *upstream) {
				u.synced, u.current = unavailable("gone"), unavailable("gone")
				for _, method := range []string{"Refresh", "Create", "Update", "Delete"} {
					u.faults[method] = unavailable("gone")
				}
			})
			select {
			case event, open := <-w.ResultChan():
				t.Fatalf("an outage shows as %v (open: %v)", event, open)
			case <-time.After(50 * time.Millisecond):
			}
			end(s, w, cancel)
			select {
			case event, open := <-w.ResultChan():
				if open {
					t.Errorf("got %v", event)
				}
			case <-time.After(10 * time.Second):
				t.Error("the watch does not end")
			}
		})
	}
}

func TestProgressIsToldOnRequestToThoseWhoWantIt(t *testing.T) {
	s := newStand(t, standOptions{})
	options := everything(strconv.FormatUint(s.journal.Revision(), 10))
	uninterested, err := s.served.Watch(context.Background(), "/pods/", options)
	if err != nil {
		t.Fatal(err)
	}
	options.ProgressNotify = true
	interested, err := s.served.Watch(context.Background(), "/pods/", options)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		at := s.advance()
		if err := s.served.RequestWatchProgress(context.Background()); err != nil {
			t.Fatal(err)
		}
		// An earlier revision may be told first: the request and the event race.
		eventually(t, "the progress is told", func() bool {
			if err := s.served.RequestWatchProgress(context.Background()); err != nil {
				t.Fatal(err)
			}
			if len(interested.ResultChan()) == 0 {
				return false
			}
			event := expectEvent(t, interested, watch.Bookmark)
			return event.Object.(metav1.Object).GetResourceVersion() == strconv.FormatUint(at, 10)
		})
	}
	if n := len(uninterested.ResultChan()); n != 0 {
		t.Errorf("the other watch has %d events", n)
	}
}

// Watches with selectors must show exactly the changes of what they select: the
// sum of the events is what a list shows.
func TestTheEventsOfAWatchAddUpToTheList(t *testing.T) {
	for _, cached := range []bool{false, true} {
		t.Run("cached is "+strconv.FormatBool(cached), func(t *testing.T) {
			s := newStand(t, standOptions{cached: cached})
			selected := apistorage.SelectionPredicate{
				Label:    labels.SelectorFromSet(labels.Set{"on": ""}),
				Field:    apistorage.Everything.Field,
				GetAttrs: podAttributes,
			}
			options := apistorage.ListOptions{Recursive: true, Predicate: selected}
			ctx, cancel := context.WithCancel(context.Background())
			state := map[string]string{}
			var mu sync.Mutex
			var watching sync.WaitGroup
			defer watching.Wait()
			defer cancel()
			last := s.journal.Revision()
			watching.Go(func() {
				// The cache drops watchers that are too slow: they go on where they were.
				for ctx.Err() == nil {
					options := options
					options.ResourceVersion = strconv.FormatUint(last, 10)
					w, err := s.served.Watch(ctx, "/pods/ns/", options)
					if err != nil {
						t.Error(err)
						return
					}
					for event := range w.ResultChan() {
						mu.Lock()
						last = follow(t, state, last, event)
						mu.Unlock()
					}
				}
			})
			random := rand.New(rand.NewPCG(1, 2))
			for range 500 {
				namespace := []string{"ns", "other"}[random.IntN(2)]
				name := strconv.Itoa(random.IntN(10))
				key := fmt.Sprintf("/pods/%s/%s", namespace, name)
				pod := &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Generation: random.Int64()}}
				if random.IntN(2) == 0 {
					addLabel("on")(pod)
				}
				s.upstream.set(func(u *upstream) {
					if random.IntN(4) == 0 {
						delete(u.objects, key)
					} else {
						u.objects[key] = pod
					}
					u.fold(key)
				})
			}
			list := &example.PodList{}
			if err := s.served.GetList(ctx, "/pods/ns/", options, list); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, pod := range list.Items {
				want[pod.Name] = pod.ResourceVersion
			}
			eventually(t, fmt.Sprintf("the watch has seen %v", want), func() bool {
				mu.Lock()
				defer mu.Unlock()
				return fmt.Sprint(state) == fmt.Sprint(want)
			})
		})
	}
}

// follow applies an event to the state and returns its revision.
func follow(t *testing.T, state map[string]string, last uint64, event watch.Event) uint64 {
	pod := podOf(event.Object)
	revision, err := strconv.ParseUint(pod.ResourceVersion, 10, 64)
	if err != nil || revision <= last {
		t.Errorf("revision %s follows %d", pod.ResourceVersion, last)
	}
	if _, known := state[pod.Name]; known == (event.Type == watch.Added) {
		t.Errorf("%s of %s, which is known: %v", event.Type, pod.Name, known)
	}
	if event.Type == watch.Deleted {
		delete(state, pod.Name)
	} else {
		state[pod.Name] = pod.ResourceVersion
	}
	return revision
}

func podOf(object runtime.Object) *example.Pod {
	if cached, ok := object.(runtime.CacheableObject); ok {
		object = cached.GetObject()
	}
	return object.(*example.Pod)
}
