package session

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// life is a session that is created, stopped and started again, with a reconciler
// that is killed at one of its requests, before or after it took effect.
type life struct {
	*simulation
	// requests counts all requests so far; that with the number kill is the last
	// of its reconciler.
	requests, kill int
	killAfter      bool
	// killed is true once that has happened, and dead until the next one starts.
	killed, dead bool
	// asked holds, for each phase that the operator was asked for, the versions of
	// the AgenticSession in which a request began to stand.
	asked  map[string]int
	before string
}

func newLife(t *testing.T, kill int, after bool) *life {
	l := &life{
		simulation: &simulation{world: newWorld(t), random: rand.New(rand.NewPCG(1, 1)), outcome: standin.OutcomeRun},
		kill:       kill, killAfter: after, asked: map[string]int{},
	}
	l.fault = func(after bool) error {
		if !after {
			l.requests++
		}
		if l.requests == l.kill && after == l.killAfter && !l.killed {
			l.killed, l.dead = true, true
		}
		if l.dead {
			return errKilled
		}
		return nil
	}
	l.addSession("a", id, "")
	return l
}

var errKilled = errors.New("killed")

// until lets reconciler and operator take turns until all is said, which is to
// leave the session in the phase.
func (l *life) until(phase v1alpha1.SessionPhase) {
	l.t.Helper()
	for range 40 {
		l.now = l.now.Add(2 * time.Second)
		l.sync()
		_, err := l.controller.Reconcile(l.t.Context(), theKey)
		l.look()
		if l.dead {
			if !errors.Is(err, errKilled) {
				l.t.Fatalf("a pass goes on after its last request: %v", err)
			}
			l.dead = false
			l.restart()
			continue
		}
		l.operator()
		l.look()
	}
	if got := l.sessions["a"].Status.Phase; got != phase {
		l.t.Fatalf("killed at request %d (after it: %v): the session is %q, want %q", l.kill, l.killAfter, got, phase)
	}
}

// look notes a request that began to stand.
func (l *life) look() {
	now := ""
	if live := l.resources[resourceName]; live != nil {
		annotations := live.GetAnnotations()
		now = annotations[agenticsession.DesiredPhaseAnnotation] + annotations[agenticsession.StartRequestedAnnotation] + annotations[agenticsession.StopRequestedAnnotation]
		if now != l.before && now != "" {
			l.asked[annotations[agenticsession.DesiredPhaseAnnotation]]++
		}
	}
	l.before = now
}

func (l *life) request(phase v1alpha1.SessionPhase) {
	l.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = phase })
}

// Killed before or after each single request that it makes in a session's life, the
// reconciler loses no request of the user's and sends none twice.
func TestKilledAtEveryStep(t *testing.T) {
	for _, after := range []bool{false, true} {
		for kill := 1; ; kill++ {
			l := newLife(t, kill, after)
			l.until(v1alpha1.SessionRunning)
			l.request(v1alpha1.SessionStopping)
			l.until(v1alpha1.SessionStopped)
			l.request(v1alpha1.SessionPending)
			l.until(v1alpha1.SessionRunning)
			l.outcome = standin.OutcomeComplete
			l.until(v1alpha1.SessionCompleted)
			if !l.killed {
				if kill < 10 {
					t.Errorf("there are only %d requests in a life", kill-1)
				}
				t.Logf("a life has %d requests", kill-1)
				break
			}
			if l.launches != 2 || l.prompts != 1 || l.asked["Stopped"] != 1 || l.asked["Running"] != 1 {
				t.Errorf("killed at request %d (after it: %v): %d runs, %d prompts, requests %v", kill, after, l.launches, l.prompts, l.asked)
			}
			checkBare(t, l.resources[resourceName])
		}
	}
}

func checkBare(t *testing.T, resource *unstructured.Unstructured) {
	t.Helper()
	for _, key := range []string{agenticsession.DesiredPhaseAnnotation, agenticsession.HandledAnnotation} {
		if value, found := resource.GetAnnotations()[key]; found {
			t.Errorf("%s=%s stays", key, value)
		}
	}
}
