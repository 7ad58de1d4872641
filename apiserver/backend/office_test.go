package backend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/feed"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// nowhere publishes nothing.
type nowhere struct{}

func (nowhere) Publish(string, *ambientv1.Project) {}
func (nowhere) Withdraw(string)                    {}

// newStandby returns a kind of a process that stands by; its feed of an empty upstream
// runs until the test ends.
func newStandby(t *testing.T) *kind[*ambientv1.Project] {
	t.Helper()
	projects, err := feed.New[*ambientv1.Project](source[*ambientv1.Project]{
		list: func(context.Context, int32, int32) ([]*ambientv1.Project, *ambientv1.ListMeta, error) {
			time.Sleep(10 * time.Millisecond)
			return nil, &ambientv1.ListMeta{}, nil
		},
		watch: func(context.Context) (feed.Stream[*ambientv1.Project], error) { return nil, errors.New("no watch") },
	}, nowhere{}, feed.Options{Name: "projects"})
	if err != nil {
		t.Fatal(err)
	}
	s := &kind[*ambientv1.Project]{feed: projects, resource: v1alpha1.Resource("projects"), office: newOffice(nil)}
	s.office.begin()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- projects.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	<-projects.Synced()
	return s
}

func expectUnavailable(t *testing.T, what string, err error) (retryAfter int) {
	t.Helper()
	if !apierrors.IsServiceUnavailable(err) {
		t.Errorf("%s: %v, want 503", what, err)
	}
	retryAfter, given := apierrors.SuggestsClientDelay(err)
	if !given {
		t.Errorf("%s: no time to retry after", what)
	}
	return retryAfter
}

func TestDecision27AStandbyAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandby(t)
		if err := s.FirstSynced(); err != nil {
			t.Errorf("it is not ready: %v", err)
		}
		expectUnavailable(t, "a read", s.Synced())
		expectUnavailable(t, "a current read", s.Current())
		expectUnavailable(t, "a creation", s.MayCreate(t.Context()))
	})
}

func TestDecision27ANewLeaderServesWhatItListedInItsTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandby(t)
		time.Sleep(5 * time.Second)
		since := time.Now()
		s.office.term.Store(&Term{Epoch: 7, Since: since})
		expectUnavailable(t, "a read before a listing", s.Synced())
		if err := s.feed.AwaitListing(t.Context(), since); err != nil {
			t.Fatal(err)
		}
		if err := s.Synced(); err != nil {
			t.Errorf("a read after a listing: %v", err)
		}
	})
}

func TestAServerThatStartsAloneListsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandby(t)
		s.office.term.Store(&Term{Epoch: 7, Since: s.office.started.Load().Add(-time.Millisecond)})
		if err := s.Synced(); err != nil {
			t.Errorf("a read after the first listing: %v", err)
		}
		if err := s.MayCreate(t.Context()); err != nil {
			t.Errorf("a creation after an orderly end: %v", err)
		}
	})
}

func TestDecision5ANewLeaderCreatesAfterAListingThatTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStandby(t)
		after := time.Now().Add(30 * time.Second)
		s.office.term.Store(&Term{Epoch: 7, CreatesAfter: after})
		if err := s.Synced(); err != nil {
			t.Errorf("reads wait, too: %v", err)
		}
		if seconds := expectUnavailable(t, "a creation at once", s.MayCreate(t.Context())); seconds != longestRetry {
			t.Errorf("it is to be tried again after %d s, want %d", seconds, longestRetry)
		}
		time.Sleep(time.Until(after))
		if err := s.MayCreate(t.Context()); err != nil {
			t.Fatalf("a creation after the time: %v", err)
		}
		if told := s.feed.CompleteSince(); !told.After(after) {
			t.Errorf("the listing that told began at %s, want after %s", told, after)
		}
	})
}

func TestDecision27NoWriteIsMadeWithoutTheLease(t *testing.T) {
	k := kind[*ambientv1.Project]{resource: v1alpha1.Resource("projects"), writes: newLimiter(1), office: newOffice(func() error { return unavailable("paused") })}
	err := k.call(t.Context(), false, "name", func(context.Context) error {
		t.Error("it was made")
		return nil
	})
	expectUnavailable(t, "a write", err)
}

func TestAfterQuiesceNoWriteIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Backends{writes: newLimiter(maxInFlight)}
		release, err := b.writes.acquire(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		quiet := make(chan error, 1)
		go func() { quiet <- b.Quiesce(t.Context()) }()
		synctest.Wait()
		select {
		case <-quiet:
			t.Error("it did not wait for the write under way")
		default:
		}
		release()
		if err := <-quiet; err != nil {
			t.Fatal(err)
		}
		late, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := b.writes.acquire(late, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a write after that: %v", err)
		}
	})
}
