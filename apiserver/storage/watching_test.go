package storage

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/watch"
)

// A watch from the revision of a list begins after the list, which bears the
// newest revision as a number: 9 is not newer than 10.
func TestAWatchFromAListReplaysNothing(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	newest := ""
	for i := range 12 {
		pod := foo()
		pod.Name = fmt.Sprint("p", i)
		newest = s.create(t, "/pods/ns/"+pod.Name, pod).ResourceVersion
	}
	list, err := s.list("/pods/", "")
	if err != nil {
		t.Fatal(err)
	}
	if list.ResourceVersion != newest || len(list.Items) != 12 {
		t.Fatalf("the list of %d has revision %s, and its newest object %s", len(list.Items), list.ResourceVersion, newest)
	}
	watching, err := s.served.Watch(context.Background(), "/pods/", everything(list.ResourceVersion))
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Stop()
	s.create(t, fooKey, foo())
	if pod := podOf(expectEvent(t, watching, watch.Added).Object); pod.Name != "foo" {
		t.Errorf("the first event is of %s", pod.Name)
	}
}

// Watches are fed from memory: a write costs the upstream the same however many
// watch, and none of them holds a connection.
func TestWatchesCostTheUpstreamNothing(t *testing.T) {
	s := newStand(t, standOptions{cached: true})
	created := s.create(t, fooKey, foo())
	s.upstream.counted()
	var watches []watch.Interface
	for range 200 {
		watching, err := s.served.Watch(context.Background(), "/pods/", everything(created.ResourceVersion))
		if err != nil {
			t.Fatal(err)
		}
		defer watching.Stop()
		watches = append(watches, watching)
	}
	s.expectCalls(t, "opening 200 watches", map[string]int{})
	if _, err := s.update(fooKey, addLabel("a")); err != nil {
		t.Fatal(err)
	}
	for _, watching := range watches {
		expectEvent(t, watching, watch.Modified)
	}
	s.expectCalls(t, "one update", map[string]int{"Refresh": 1, "Update": 1})
}

// A watch that is read late gets every event, or is ended so that its client knows;
// from where it stood it goes on without a gap.
func TestAWatchThatIsReadLateMissesNothing(t *testing.T) {
	for name, cached := range map[string]bool{"of the store": false, "of the cache": true} {
		t.Run(name, func(t *testing.T) { readLate(t, newStand(t, standOptions{cached: cached})) })
	}
}

func readLate(t *testing.T, s *stand) {
	t.Helper()
	const changes = 300
	at := s.create(t, fooKey, foo()).ResourceVersion
	late, err := s.served.Watch(context.Background(), "/pods/", everything(at))
	if err != nil {
		t.Fatal(err)
	}
	for i := range changes {
		if _, err := s.update(fooKey, addLabel("n"+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	for seen, opened := 0, 0; seen < changes; {
		event, open := <-late.ResultChan()
		if !open {
			late.Stop()
			if opened++; opened > changes {
				t.Fatal("a watch that was opened again ends at once")
			}
			if late, err = s.served.Watch(context.Background(), "/pods/", everything(at)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if event.Type != watch.Modified {
			t.Fatalf("event %d is %s with %+v", seen, event.Type, event.Object)
		}
		pod := podOf(event.Object)
		if len(pod.Labels) != seen+1 {
			t.Fatalf("event %d is %s with %+v", seen, event.Type, event.Object)
		}
		at, seen = pod.ResourceVersion, seen+1
	}
	late.Stop()
}
