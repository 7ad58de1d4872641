package doubt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/ambient-code/ambient-kube/apiserver/feed"
)

// doubter is a feed that holds back what it is told to.
type doubter struct {
	mu       sync.Mutex
	doubt    feed.Doubt
	released []string
}

func (d *doubter) Doubt() (feed.Doubt, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.doubt, d.doubt.Reason != ""
}

func (d *doubter) set(doubt feed.Doubt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.doubt = doubt
}

func (d *doubter) Release(fingerprint string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.doubt.Fingerprint != fingerprint {
		return false
	}
	d.released = append(d.released, fingerprint)
	return true
}

type report struct {
	mu    sync.Mutex
	lines []string
}

func (r *report) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *report) Doubted(_ context.Context, kind, reason, command string) {
	r.add("doubted " + kind + ": " + reason + ": " + command)
}
func (r *report) Released(_ context.Context, kind string) { r.add("released " + kind) }
func (r *report) Trusted(_ context.Context, kind string)  { r.add("trusted " + kind) }

// scene is an arbiter at work in its own time.
type scene struct {
	t                  *testing.T
	cluster            *fake.Clientset
	sessions, projects *doubter
	report             *report
	arbiter            *Arbiter
}

func play(t *testing.T, script func(s *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "server", ResourceVersion: "7", Annotations: map[string]string{"ambient.io/epoch": "5"}}}
		s := &scene{t: t, cluster: fake.NewClientset(lease), sessions: &doubter{}, projects: &doubter{}, report: &report{}}
		s.arbiter = &Arbiter{
			Leases: s.cluster.CoordinationV1().Leases("system"), Namespace: "system", Name: "server",
			Feeds: map[string]Feed{"sessions": s.sessions, "projects": s.projects}, Reporter: s.report,
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.arbiter.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("it ended with %v", err)
			}
		}()
		script(s)
	})
}

func (s *scene) wait() {
	time.Sleep(3 * lookPause)
	synctest.Wait()
}

// annotate is a person who carries out a command.
func (s *scene) annotate(value string) {
	s.t.Helper()
	lease := s.lease()
	lease.Annotations[Annotation] = value
	if _, err := s.arbiter.Leases.Update(s.t.Context(), lease, metav1.UpdateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) lease() *coordinationv1.Lease {
	s.t.Helper()
	lease, err := s.arbiter.Leases.Get(s.t.Context(), "server", metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return lease
}

func TestDecision3APersonReleasesByAnAnnotationThatActsOnce(t *testing.T) {
	play(t, func(s *scene) {
		s.sessions.set(feed.Doubt{Reason: "12 of 12", Fingerprint: "bb"})
		s.projects.set(feed.Doubt{Reason: "3 of 3", Fingerprint: "aa"})
		s.wait()
		command := s.arbiter.Command()
		if want := "kubectl annotate lease --namespace=system server --overwrite ambient.io/believe-empty-upstream=aa,bb"; command != want {
			t.Errorf("a person is told to type %q, want %q", command, want)
		}
		if all := strings.Join(s.report.lines, "\n"); !strings.Contains(all, "doubted sessions: 12 of 12: "+command) || len(s.report.lines) != 2 {
			t.Errorf("people are told:\n%s", all)
		}
		s.annotate("aa, bb,cc")
		s.wait()
		if !slices.Equal(s.sessions.released, []string{"bb"}) || !slices.Equal(s.projects.released, []string{"aa"}) {
			t.Errorf("released: %v and %v", s.sessions.released, s.projects.released)
		}
		lease := s.lease()
		if lease.Annotations[Annotation] != "cc" || lease.Annotations["ambient.io/epoch"] != "5" {
			t.Errorf("afterwards the lease is annotated with %v", lease.Annotations)
		}
		s.sessions.set(feed.Doubt{})
		s.wait()
		if !slices.Contains(s.report.lines, "released sessions") || !slices.Contains(s.report.lines, "trusted sessions") {
			t.Errorf("people are told: %v", s.report.lines)
		}
	})
}

func TestDecision3AnAnnotationThatNamesSomethingElseReleasesNothing(t *testing.T) {
	play(t, func(s *scene) {
		s.annotate("aa")
		s.sessions.set(feed.Doubt{Reason: "rights were lost"})
		s.projects.set(feed.Doubt{Reason: "3 of 3", Fingerprint: "bb"})
		s.wait()
		s.annotate("true")
		s.wait()
		s.annotate(",")
		s.wait()
		if len(s.sessions.released)+len(s.projects.released) != 0 {
			t.Errorf("released: %v and %v", s.sessions.released, s.projects.released)
		}
		for _, line := range s.report.lines {
			if strings.HasPrefix(line, "doubted sessions") && strings.Contains(line, "kubectl") {
				t.Errorf("a person is told to release what cannot be released: %s", line)
			}
		}
	})
}

// What cannot be taken off does not act: it could act again later.
func TestDecision3AnAnnotationThatStaysDoesNotAct(t *testing.T) {
	play(t, func(s *scene) {
		s.cluster.PrependReactor("patch", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, fmt.Errorf("no")
		})
		s.sessions.set(feed.Doubt{Reason: "12 of 12", Fingerprint: "bb"})
		s.annotate("bb")
		s.wait()
		if len(s.sessions.released) != 0 {
			t.Error("it acted all the same")
		}
	})
}

func TestTheLeaseIsLeftAloneWhileNothingIsHeldBack(t *testing.T) {
	play(t, func(s *scene) {
		s.wait()
		s.sessions.set(feed.Doubt{Reason: "rights were lost"})
		s.wait()
		if actions := s.cluster.Actions(); len(actions) != 0 {
			t.Errorf("%d requests were made", len(actions))
		}
	})
}

// Events are kept for an hour: what is held back for longer is told again.
func TestAPersonIsReminded(t *testing.T) {
	play(t, func(s *scene) {
		s.sessions.set(feed.Doubt{Reason: "all gone", Fingerprint: "f"})
		s.wait()
		time.Sleep(remindPause - 10*time.Second)
		synctest.Wait()
		if told := s.report.count("doubted sessions"); told != 1 {
			t.Errorf("told %d times before the time", told)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if told := s.report.count("doubted sessions"); told != 2 {
			t.Errorf("told %d times, want twice", told)
		}
	})
}

func (r *report) count(prefix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	for _, line := range r.lines {
		if strings.HasPrefix(line, prefix) {
			count++
		}
	}
	return count
}
