package storage

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/example"
)

func TestAnUpdateThatChangesNothingWritesNothingAndKeepsTheRevision(t *testing.T) {
	s := newStand(t, standOptions{})
	created := s.create(t, fooKey, foo("a"))
	out, err := s.update(fooKey, addLabel("a"))
	if err != nil {
		t.Fatal(err)
	}
	if out.ResourceVersion != created.ResourceVersion {
		t.Errorf("the revision went from %s to %s", created.ResourceVersion, out.ResourceVersion)
	}
	s.expectCalls(t, "updating", map[string]int{})

	// That nothing would change is no answer from a state that may be old.
	s.upstream.set(func(u *upstream) { u.current = apierrors.NewServiceUnavailable("stale") })
	if _, err := s.update(fooKey, addLabel("a")); err != nil {
		t.Fatal(err)
	}
	s.expectCalls(t, "updating a stale state", map[string]int{"Refresh": 1})
}

func TestUnchangedIsDecidedByTheOption(t *testing.T) {
	s := newStand(t, standOptions{adjust: func(o *Options) {
		o.Unchanged = func(existing, updated runtime.Object) bool {
			for _, object := range []runtime.Object{existing, updated} {
				if revision := object.(*example.Pod).ResourceVersion; revision != "" {
					t.Errorf("compared with revision %s", revision)
				}
			}
			return updated.(*example.Pod).Labels["ignored"] == "" && existing.(*example.Pod).Name == updated.(*example.Pod).Name
		}
	}})
	s.create(t, fooKey, foo())
	if _, err := s.update(fooKey, addLabel("ignored")); err != nil {
		t.Fatal(err)
	}
	s.expectCalls(t, "updating", map[string]int{})
}
