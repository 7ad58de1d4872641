package storage

import (
	"context"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
)

func verifying(o *Options) { o.VerifyReads = true }

// The journal does not learn of a change upstream. Reads that claim to be current
// show it if they are verified; others need not.
func TestVerifiedReadsShowWhatTheJournalDidNotLearn(t *testing.T) {
	for name, shown := range map[string]func(t *testing.T, s *stand) int{
		"a list": func(t *testing.T, s *stand) int {
			list, err := s.list("/pods/", "")
			if err != nil {
				t.Fatal(err)
			}
			return len(list.Items)
		},
		"a watch that begins with a list": func(t *testing.T, s *stand) int {
			options := everything("")
			initial := true
			options.SendInitialEvents, options.Predicate.AllowWatchBookmarks = &initial, true
			options.ResourceVersionMatch = metav1.ResourceVersionMatchNotOlderThan
			return s.initialObjects(t, options)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for want, adjust := range []func(*Options){nil, verifying} {
				s := newStand(t, standOptions{cached: true, adjust: adjust})
				s.upstream.behind(fooKey, foo())
				s.upstream.counted()
				if got := shown(t, s); got != want {
					t.Errorf("it shows %d objects, want %d", got, want)
				}
				if got := s.upstream.counted()["Verify"]; got != want {
					t.Errorf("the upstream was asked %d times, want %d", got, want)
				}
				if _, err := s.list("/pods/", "0"); err != nil || s.upstream.counted()["Verify"] != 0 {
					t.Errorf("the upstream was asked for a list that may be stale (%v)", err)
				}
			}
		})
	}
}

// initialObjects counts what a watch begins with.
func (s *stand) initialObjects(t *testing.T, options apistorage.ListOptions) (count int) {
	t.Helper()
	watching, err := s.served.Watch(context.Background(), "/pods/", options)
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Stop()
	for event := range watching.ResultChan() {
		switch event.Type {
		case watch.Added:
			count++
		case watch.Bookmark:
			return count
		default:
			t.Fatalf("a watch begins with %+v", event)
		}
	}
	t.Fatal("the watch ended")
	return 0
}

func TestVerifiedReadsAreRefusedWhileTheUpstreamDoesNotAnswer(t *testing.T) {
	s := newStand(t, standOptions{cached: true, adjust: verifying})
	s.create(t, fooKey, foo())
	s.upstream.set(func(u *upstream) { u.faults["Verify"] = unavailable("no connection") })
	_, err := s.list("/pods/", "")
	expectStatus(t, "a list", err, http.StatusServiceUnavailable)
	_, err = s.read(fooKey, "")
	expectStatus(t, "a get", err, http.StatusServiceUnavailable)
	_, err = s.served.Watch(context.Background(), "/pods/", everything(""))
	expectStatus(t, "a watch", err, http.StatusServiceUnavailable)
	if list, err := s.list("/pods/elsewhere/", ""); err != nil || len(list.Items) != 0 {
		t.Errorf("a list of a namespace that holds nothing of ours: %d objects, %v", len(list.Items), err)
	}
	if pod, err := s.read(fooKey, "0"); err != nil || pod.Name != "foo" {
		t.Errorf("a get that may be stale: %q, %v", pod.Name, err)
	}
	s.upstream.set(func(u *upstream) { delete(u.faults, "Verify") })
	s.upstream.behind(fooKey, nil)
	if _, err := s.read(fooKey, ""); !apistorage.IsNotFound(err) {
		t.Errorf("a get of what is gone: %v", err)
	}
	var out example.PodList
	if err := s.served.GetList(context.Background(), "/pods/", everything(""), &out); err != nil || len(out.Items) != 0 {
		t.Errorf("a list after it went: %d objects, %v", len(out.Items), err)
	}
}
