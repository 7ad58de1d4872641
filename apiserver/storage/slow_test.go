package storage

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/apis/example"
	apistorage "k8s.io/apiserver/pkg/storage"
)

// slowly runs a test in a bubble, with a stand whose upstream has changed a pod behind
// the journal's back and takes a time to say so.
func slowly(t *testing.T, takes time.Duration, adjust func(*Options), test func(t *testing.T, s *stand)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, standOptions{adjust: adjust})
		s.create(t, fooKey, foo())
		s.upstream.behind(fooKey, foo("changed"))
		s.upstream.set(func(u *upstream) { u.slow = takes })
		test(t, s)
	})
}

// A read asks the upstream, but does not wait for it for longer than a second while the
// journal may answer as well.
func TestAReadWaitsForTheUpstreamForASecond(t *testing.T) {
	for name, test := range map[string]struct {
		takes   time.Duration
		adjust  func(*Options)
		took    time.Duration
		changed int
	}{
		"an answer within the second":  {takes: 900 * time.Millisecond, took: 900 * time.Millisecond, changed: 1},
		"no answer within the second":  {takes: time.Hour, took: time.Second},
		"reads are verified, and wait": {takes: 10 * time.Second, adjust: verifying, took: 10 * time.Second, changed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			slowly(t, test.takes, test.adjust, func(t *testing.T, s *stand) {
				began := time.Now()
				out, err := s.read(fooKey, "")
				if err != nil {
					t.Fatal(err)
				}
				if len(out.Labels) != test.changed {
					t.Errorf("it shows the labels %v, want %d", out.Labels, test.changed)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
			})
		})
	}
}

func TestAReadOfOldStateIsRefusedAfterASecondWithoutAnAnswer(t *testing.T) {
	slowly(t, time.Hour, nil, func(t *testing.T, s *stand) {
		s.upstream.set(func(u *upstream) { u.current = unavailable("the state is 40 s old") })
		_, err := s.read(fooKey, "")
		expectStatus(t, "reading", err, http.StatusServiceUnavailable)
	})
}

// Nobody waits any more for a read whose own time is over.
func TestAReadEndsWithItsOwnTime(t *testing.T) {
	slowly(t, time.Hour, nil, func(t *testing.T, s *stand) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		err := s.served.Get(ctx, fooKey, apistorage.GetOptions{}, &example.Pod{})
		expectStatus(t, "reading", err, http.StatusGatewayTimeout)
	})
}
