package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/endpoints/request"
	apistorage "k8s.io/apiserver/pkg/storage"
)

const fooKey = "/pods/ns/foo"

func foo(labels ...string) *example.Pod {
	pod := &example.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "foo"}}
	for _, label := range labels {
		metav1.SetMetaDataLabel(&pod.ObjectMeta, label, "")
	}
	return pod
}

func (s *stand) create(t *testing.T, key string, pod *example.Pod) *example.Pod {
	t.Helper()
	out := &example.Pod{}
	if err := s.served.Create(context.Background(), key, pod, out, 0); err != nil {
		t.Fatal(err)
	}
	s.upstream.counted()
	return out
}

func (s *stand) update(key string, change func(*example.Pod)) (*example.Pod, error) {
	out := &example.Pod{}
	err := s.served.GuaranteedUpdate(context.Background(), key, out, false, nil,
		apistorage.SimpleUpdate(func(object runtime.Object) (runtime.Object, error) {
			change(object.(*example.Pod))
			return object, nil
		}), nil)
	return out, err
}

func (s *stand) remove(key string) (*example.Pod, error) {
	out := &example.Pod{}
	err := s.served.Delete(context.Background(), key, out, nil, apistorage.ValidateAllObjectFunc, nil, apistorage.DeleteOptions{})
	return out, err
}

func addLabel(label string) func(*example.Pod) {
	return func(pod *example.Pod) { metav1.SetMetaDataLabel(&pod.ObjectMeta, label, "") }
}

func TestAWriteCostsOneReadingAndOneWriting(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	if err := s.served.Create(context.Background(), fooKey, foo(), nil, 0); err != nil {
		t.Fatal(err)
	}
	s.expectCalls(t, "creating", map[string]int{"Refresh": 1, "Create": 1})
	if _, err := s.update(fooKey, addLabel("a")); err != nil {
		t.Fatal(err)
	}
	s.expectCalls(t, "updating", map[string]int{"Refresh": 1, "Update": 1})
	if _, err := s.remove(fooKey); err != nil {
		t.Fatal(err)
	}
	s.expectCalls(t, "deleting", map[string]int{"Refresh": 1, "Delete": 1})
}

// Somebody else changes the object upstream and the feed has not told us yet.
func TestAWriteStartsAgainFromWhatTheUpstreamHolds(t *testing.T) {
	t.Run("update", func(t *testing.T) {
		s := newStand(t, standOptions{})
		s.create(t, fooKey, foo())
		s.upstream.behind(fooKey, foo("theirs"))
		calls := 0
		out, err := s.update(fooKey, func(pod *example.Pod) {
			calls++
			addLabel("ours")(pod)
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, kept := out.Labels["theirs"]; !kept || calls != 2 {
			t.Errorf("after %d calls the labels are %v", calls, out.Labels)
		}
	})
	t.Run("update that the old state forbids", func(t *testing.T) {
		s := newStand(t, standOptions{})
		s.create(t, fooKey, foo())
		s.upstream.behind(fooKey, foo("theirs"))
		err := s.served.GuaranteedUpdate(context.Background(), fooKey, &example.Pod{}, false, nil,
			apistorage.SimpleUpdate(func(object runtime.Object) (runtime.Object, error) {
				if _, ok := object.(*example.Pod).Labels["theirs"]; !ok {
					return nil, errors.New("not yet")
				}
				addLabel("ours")(object.(*example.Pod))
				return object, nil
			}), nil)
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("update of what is gone", func(t *testing.T) {
		s := newStand(t, standOptions{})
		s.create(t, fooKey, foo())
		s.upstream.behind(fooKey, nil)
		if _, err := s.update(fooKey, addLabel("ours")); !apistorage.IsNotFound(err) {
			t.Errorf("got %v", err)
		}
		s.expectCalls(t, "updating", map[string]int{"Refresh": 1})
	})
	t.Run("deletion", func(t *testing.T) {
		s := newStand(t, standOptions{})
		s.create(t, fooKey, foo())
		s.upstream.behind(fooKey, foo("theirs"))
		var validated []map[string]string
		out := &example.Pod{}
		err := s.served.Delete(context.Background(), fooKey, out, nil, func(_ context.Context, object runtime.Object) error {
			validated = append(validated, object.(*example.Pod).Labels)
			return nil
		}, nil, apistorage.DeleteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := out.Labels["theirs"]; !ok || len(validated) != 2 {
			t.Errorf("deleted %v after validating %v", out.Labels, validated)
		}
	})
	t.Run("creation", func(t *testing.T) {
		s := newStand(t, standOptions{})
		s.upstream.behind(fooKey, foo("theirs"))
		err := s.served.Create(context.Background(), fooKey, foo(), nil, 0)
		if !apistorage.IsExist(err) {
			t.Errorf("got %v", err)
		}
		s.expectCalls(t, "creating", map[string]int{"Refresh": 1})
	})
}

func TestADeletionAnswersWithTheLastStateAtItsOwnRevision(t *testing.T) {
	s := newStand(t, standOptions{})
	created := s.create(t, fooKey, foo("a"))
	out, err := s.remove(fooKey)
	if err != nil {
		t.Fatal(err)
	}
	if out.ResourceVersion != strconv.FormatUint(s.journal.Revision(), 10) || out.ResourceVersion == created.ResourceVersion {
		t.Errorf("deleted at %s, the journal is at %d", out.ResourceVersion, s.journal.Revision())
	}
	out.ResourceVersion = created.ResourceVersion
	if fmt.Sprint(out) != fmt.Sprint(created) {
		t.Errorf("got %v, want %v", out, created)
	}
}

func TestUpstreamErrorsArePassedOnAndChangeNothing(t *testing.T) {
	fault := apierrors.NewForbidden(example.Resource("pods"), "foo", errors.New("so says the upstream"))
	for method, write := range map[string]func(*stand) error{
		"Create": func(s *stand) error {
			return s.served.Create(context.Background(), "/pods/ns/bar", foo(), &example.Pod{}, 0)
		},
		"Update": func(s *stand) error { _, err := s.update(fooKey, addLabel("a")); return err },
		"Delete": func(s *stand) error { _, err := s.remove(fooKey); return err },
		"Refresh": func(s *stand) error {
			_, err := s.update(fooKey, addLabel("a"))
			return err
		},
	} {
		t.Run(method, func(t *testing.T) {
			s := newStand(t, standOptions{})
			s.create(t, fooKey, foo())
			before := s.journal.Revision()
			s.upstream.set(func(u *upstream) { u.faults[method] = fault })
			if err := write(s); !errors.Is(err, fault) {
				t.Errorf("got %v", err)
			}
			if after := s.journal.Revision(); after != before {
				t.Errorf("the journal went from %d to %d", before, after)
			}
			// The lock must be free again.
			s.upstream.set(func(u *upstream) { clear(u.faults) })
			if _, err := s.update(fooKey, addLabel("b")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNothingIsWrittenBeforeTheFirstSynchronisation(t *testing.T) {
	s := newStand(t, standOptions{})
	s.create(t, fooKey, foo())
	s.upstream.set(func(u *upstream) { u.synced = unavailable("not yet") })
	for name, err := range map[string]error{
		"create": s.served.Create(context.Background(), "/pods/ns/bar", foo(), nil, 0),
		"update": func() error { _, err := s.update(fooKey, addLabel("a")); return err }(),
		"delete": func() error { _, err := s.remove(fooKey); return err }(),
	} {
		expectStatus(t, name, err, http.StatusServiceUnavailable)
	}
	s.expectCalls(t, "writing", map[string]int{})
}

func TestObjectsThatMalformedDeletionWouldRemoveAreKept(t *testing.T) {
	s := newStand(t, standOptions{})
	s.create(t, fooKey, foo())
	err := s.served.Delete(context.Background(), fooKey, &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, nil,
		apistorage.DeleteOptions{ExpectTransformOrDecodeError: true})
	if !apistorage.IsInvalidObj(err) {
		t.Errorf("got %v", err)
	}
	s.expectCalls(t, "deleting", map[string]int{})
}

// Every one of many concurrent increments counts.
func TestConcurrentUpdatesOfOneObjectAreAllKept(t *testing.T) {
	const writers, each = 8, 10
	s := newStand(t, standOptions{cached: true})
	s.upstream.delay = time.Millisecond
	s.create(t, fooKey, foo())
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range each {
				if _, err := s.update(fooKey, func(pod *example.Pod) { pod.Generation++ }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	out := &example.Pod{}
	if err := s.served.Get(context.Background(), fooKey, apistorage.GetOptions{}, out); err != nil {
		t.Fatal(err)
	}
	if out.Generation != writers*each {
		t.Errorf("counted %d of %d", out.Generation, writers*each)
	}
}

func TestAWriteThatWaitsForTheLockEndsWithItsContext(t *testing.T) {
	s := newStand(t, standOptions{})
	s.create(t, fooKey, foo())
	unlock, err := s.upstream.Lock(context.Background(), fooKey)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(context.Background())
	err = s.served.GuaranteedUpdate(ctx, fooKey, &example.Pod{}, false, nil,
		apistorage.SimpleUpdate(func(object runtime.Object) (runtime.Object, error) {
			cancel()
			addLabel("a")(object.(*example.Pod))
			return object, nil
		}), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.expectCalls(t, "updating", map[string]int{})

	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err = s.served.Delete(ctx, fooKey, &example.Pod{}, nil, apistorage.ValidateAllObjectFunc, nil, apistorage.DeleteOptions{})
	expectStatus(t, "a write that waits too long", err, http.StatusGatewayTimeout)
}

// What clients do with the objects they were given must not reach the journal, and
// a backend must not keep what the client goes on using.
func TestNothingIsSharedWithTheJournal(t *testing.T) {
	s := newStand(t, standOptions{})
	ctx := context.Background()
	expectUntouched := func(by string) {
		t.Helper()
		held, _ := s.journal.Get(fooKey)
		if labels := held.Value.(*example.Pod).Labels; !maps.Equal(labels, map[string]string{"a": ""}) {
			t.Fatalf("after %s the journal holds %v", by, labels)
		}
	}
	mine := foo("a")
	created := s.create(t, fooKey, mine)
	mine.Labels["scribble"] = "x"
	created.Labels["scribble"] = "x"
	expectUntouched("a creation")

	read := &example.Pod{}
	if err := s.served.Get(ctx, fooKey, apistorage.GetOptions{ResourceVersion: "0"}, read); err != nil {
		t.Fatal(err)
	}
	read.Labels["scribble"] = "x"
	expectUntouched("a reading")

	list := &example.PodList{}
	if err := s.served.GetList(ctx, "/pods/", everything(""), list); err != nil {
		t.Fatal(err)
	}
	list.Items[0].Labels["scribble"] = "x"
	expectUntouched("a list")

	selected := everything("0")
	selected.Predicate = apistorage.SelectionPredicate{
		Label:    labels.SelectorFromSet(labels.Set{"a": ""}),
		Field:    fields.Everything(),
		GetAttrs: podAttributes,
	}
	// What the watch cache itself follows is no request: it only reads.
	w, err := s.served.Watch(request.WithRequestInfo(ctx, &request.RequestInfo{Verb: "watch"}), "/pods/", selected)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	expectEvent(t, w, watch.Added).Object.(*example.Pod).Labels["scribble"] = "x"
	expectUntouched("the initial event of a watch")

	var kept *example.Pod
	if _, err := s.update(fooKey, func(pod *example.Pod) {
		kept = pod
		pod.Generation = 1
	}); err != nil {
		t.Fatal(err)
	}
	kept.Labels["scribble"] = "x"
	expectUntouched("an update")
	expectEvent(t, w, watch.Modified).Object.(*example.Pod).Labels["scribble"] = "x"
	expectUntouched("an event of a watch")

	// Events that take an object out of a selection carry its former state.
	before, _ := s.journal.Get(fooKey)
	if _, err := s.update(fooKey, func(pod *example.Pod) { pod.Labels = nil }); err != nil {
		t.Fatal(err)
	}
	expectEvent(t, w, watch.Deleted).Object.(*example.Pod).Labels["scribble"] = "x"
	former := before.Value.(*example.Pod)
	if !maps.Equal(former.Labels, map[string]string{"a": ""}) || former.ResourceVersion != strconv.FormatUint(before.Revision, 10) {
		t.Errorf("the former state became %v", former.ObjectMeta)
	}
}

// A dry run has to start from the same object as the real update.
func TestADryRunStartsFromThePreparedObject(t *testing.T) {
	s := newStand(t, standOptions{adjust: func(o *Options) {
		o.PrepareExisting = func(object runtime.Object) error {
			addLabel("prepared")(object.(*example.Pod))
			return nil
		}
	}})
	s.create(t, fooKey, foo())
	for verb, want := range map[string]bool{"get": false, "delete": false, "patch": true, "update": true} {
		ctx := request.WithRequestInfo(context.Background(), &request.RequestInfo{Verb: verb})
		out := &example.Pod{}
		if err := s.served.Get(ctx, fooKey, apistorage.GetOptions{}, out); err != nil {
			t.Fatal(err)
		}
		if _, got := out.Labels["prepared"]; got != want {
			t.Errorf("%s: prepared is %v, want %v", verb, got, want)
		}
	}
}

func (s *stand) expectCalls(t *testing.T, what string, want map[string]int) {
	t.Helper()
	if got := s.upstream.counted(); !maps.Equal(got, want) {
		t.Errorf("%s called %v, want %v", what, got, want)
	}
}

func expectStatus(t *testing.T, what string, err error, code int32) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != code {
		t.Errorf("%s: got %v, want a status %d", what, err, code)
	}
}
