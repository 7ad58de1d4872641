package secret

import (
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/rotation"
)

type stand struct {
	kube  *fake.Clientset
	clock *clocktesting.FakePassiveClock
}

func newStand() *stand {
	return &stand{kube: fake.NewClientset(), clock: clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))}
}

// replica returns the store of one more replica.
func (s *stand) replica() *Store {
	return &Store{Client: s.kube, Namespace: "here", Name: "ca", Policy: rotation.Policy{
		Name: "ours", AuthorityLifetime: 90 * time.Hour, LeafLifetime: time.Hour, Settle: time.Minute, Clock: s.clock,
	}}
}

func sync1(t *testing.T, store *Store, trusted certs.Bundle) *rotation.State {
	t.Helper()
	state, err := store.Sync(t.Context(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (s *stand) writes() int {
	count := 0
	for _, action := range s.kube.Actions() {
		if action.GetVerb() != "get" {
			count++
		}
	}
	return count
}

func TestReplicasThatStartAtOnceShareOneAuthority(t *testing.T) {
	s := newStand()
	const replicas = 8
	// All find that there is no Secret.
	looks := 0
	s.kube.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		looks++
		return looks <= replicas, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "ca")
	})
	signing := make([]string, replicas)
	var group sync.WaitGroup
	for i := range replicas {
		group.Go(func() {
			state, err := s.replica().Sync(t.Context(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			signing[i] = certs.Fingerprint(state.Signing().Certificate())
		})
	}
	group.Wait()
	for _, other := range signing {
		if other != signing[0] {
			t.Errorf("one signs with %s, another with %s", signing[0], other)
		}
	}
}

func TestEveryStepIsTakenOnceWhoeverTakesIt(t *testing.T) {
	s := newStand()
	one, other := s.replica(), s.replica()
	first := sync1(t, one, nil).Signing().Certificate()
	s.clock.SetTime(s.clock.Now().Add(60 * time.Hour))
	before := s.writes()
	if !sync1(t, one, nil).Rotating() || !sync1(t, other, nil).Rotating() || s.writes() != before+1 {
		t.Fatalf("the next authority was written %d times", s.writes()-before)
	}
	s.clock.SetTime(s.clock.Now().Add(time.Minute))
	second := sync1(t, other, nil).Signing().Certificate()
	if second.Equal(first) || !sync1(t, one, nil).Signing().Certificate().Equal(second) {
		t.Error("replicas sign with different authorities")
	}
	s.clock.SetTime(s.clock.Now().Add(time.Hour + time.Minute))
	if got := len(sync1(t, one, nil).Bundle()); got != 1 || len(sync1(t, other, nil).Bundle()) != 1 {
		t.Errorf("%d authorities are trusted in the end, want 1", got)
	}
	if s.writes() != before+3 {
		t.Errorf("%d writes, want one for each of the three steps", s.writes()-before)
	}
}

// A step that was decided on an old version is decided again on the new one.
func TestAStepIsNotWrittenOverOneOfAnother(t *testing.T) {
	s := newStand()
	store := s.replica()
	sync1(t, store, nil)
	s.clock.SetTime(s.clock.Now().Add(60 * time.Hour))
	held, err := s.kube.CoreV1().Secrets("here").Get(t.Context(), "ca", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := rotation.Decode(held.Data, store.Policy)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Advance(store.Policy, false); err != nil {
		t.Fatal(err)
	}
	if held.Data, err = theirs.Encode(nil); err != nil {
		t.Fatal(err)
	}
	updates := 0
	s.kube.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		updates++
		if err := s.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("secrets"), held, "here"); err != nil {
			t.Error(err)
		}
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, "ca", nil)
	})
	mine := sync1(t, store, nil)
	if !mine.Bundle().Covers(theirs.Bundle()) || !theirs.Bundle().Covers(mine.Bundle()) {
		t.Error("replicas trust different authorities")
	}
	if updates != 1 {
		t.Errorf("%d updates, want the one that another was faster than", updates)
	}
}

func TestAPersonAsksForARotation(t *testing.T) {
	s := newStand()
	store := s.replica()
	sync1(t, store, nil)
	secrets := s.kube.CoreV1().Secrets("here")
	held, err := secrets.Get(t.Context(), "ca", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	held.Annotations = map[string]string{RotateAnnotation: "please", "other": "kept"}
	if _, err := secrets.Update(t.Context(), held, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if !sync1(t, store, nil).Rotating() {
		t.Fatal("nothing waits to sign")
	}
	if held, err = secrets.Get(t.Context(), "ca", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, asked := held.Annotations[RotateAnnotation]; asked || held.Annotations["other"] != "kept" {
		t.Errorf("annotations %v", held.Annotations)
	}
	before := s.writes()
	sync1(t, store, nil)
	if s.writes() != before {
		t.Error("one wish is granted twice")
	}
}

func TestALostOrBrokenAuthorityIsReplacedAndTrustedForAWhile(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, s *stand){
		"deleted": func(t *testing.T, s *stand) {
			if err := s.kube.CoreV1().Secrets("here").Delete(t.Context(), "ca", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		},
		"without a key": func(t *testing.T, s *stand) {
			held, err := s.kube.CoreV1().Secrets("here").Get(t.Context(), "ca", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			held.Data["tls.key"] = nil
			if _, err := s.kube.CoreV1().Secrets("here").Update(t.Context(), held, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand()
			store := s.replica()
			before := sync1(t, store, nil).Bundle()
			harm(t, s)
			after := sync1(t, store, before)
			if after.Signing().Certificate().Equal(before[0]) || !after.Bundle().Covers(before) {
				t.Error("the authority was not replaced, or the old one is not trusted any more")
			}
			if again := sync1(t, store, before); !again.Signing().Certificate().Equal(after.Signing().Certificate()) {
				t.Error("it was replaced again")
			}
		})
	}
}
