package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

// simulation lets a user, the operator's stand-in and the reconciler take turns
// in a random order, with informers that lag, requests that fail before or after
// they took effect, a reconciler that forgets everything now and then, and in some
// lives somebody who deletes AgenticSessions by hand and an upstream that goes away.
type simulation struct {
	*world
	random *rand.Rand
	log    []string

	// What the operator keeps outside of its object.
	fresh, pod bool
	phase      standin.Phase
	since      time.Time
	outcome    standin.Outcome

	// launches and prompts count what was started, starts what the user asked
	// for; launchesAtStart is how much had been started at the last request.
	launches, prompts, starts, launchesAtStart int
	last                                       string

	// meddling is true if AgenticSessions are deleted by hand, removed counts them, and
	// deleted is the last of them.
	meddling bool
	removed  int
	deleted  types.UID
	// vanished is true if one was deleted since the last start, or before it and the
	// start can't tell.
	vanished bool
	// allowed is how many AgenticSessions there may be in all, each of which sends the
	// prompt, and excess says that there were more at some time.
	allowed int
	excess  string
}

func (s *simulation) note(format string, arguments ...any) {
	s.log = append(s.log, fmt.Sprintf("%s ", s.now.Format("15:04:05"))+fmt.Sprintf(format, arguments...))
}

// user asks for a start or a stop as the upstream's guards allow.
func (s *simulation) user() {
	switch current := s.sessions["a"].Status.Phase; {
	case s.random.IntN(2) == 0 && (current == "" || current.IsTerminal()):
		if _, reason := projected(s.sessions["a"]); reason == phase.ReasonLost {
			s.vanished, s.allowed = false, s.made+1
		}
		s.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionPending })
		s.starts++
		s.launchesAtStart, s.last = s.launches, "start"
		if current == "" {
			// The first run is on its way or there already.
			s.launchesAtStart = -1
		}
		s.note("user starts")
	case current == v1alpha1.SessionRunning || current == v1alpha1.SessionCreating || current == v1alpha1.SessionPending:
		s.changeSession("a", func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionStopping })
		s.last = "stop"
		s.note("user stops")
	}
}

// upstream goes away, or comes back.
func (s *simulation) upstream() {
	if s.outage != nil {
		s.outage = nil
		s.note("upstream is back")
		return
	}
	s.outage = apierrors.NewServiceUnavailable("the upstream is away")
	s.note("upstream is away")
}

// stranger deletes the AgenticSession, unless only a reconciler that was never told of
// it could know later that it was there.
func (s *simulation) stranger() {
	live := s.resources[resourceName]
	if live == nil || !s.told[live.GetUID()] && s.named() != live.GetUID() {
		return
	}
	s.deleteResource(resourceName)
	s.deleted, s.vanished = live.GetUID(), true
	s.removed++
	// Its pod goes with it.
	s.pod, s.fresh = false, false
	s.note("stranger deletes %s", live.GetUID())
}

// operator makes one pass of the stand-in, which may fail between its writes.
func (s *simulation) operator() {
	live := s.resources[resourceName]
	if live == nil {
		return
	}
	var content struct {
		Spec   standin.Spec   `json:"spec"`
		Status standin.Status `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &content); err != nil {
		s.t.Fatal(err)
	}
	session := standin.Session{
		Namespace: namespace, Name: live.GetName(), UID: live.GetUID(), Generation: live.GetGeneration(),
		Annotations: live.GetAnnotations(), Spec: content.Spec, Status: content.Status,
	}
	if s.phase != session.Status.Phase {
		s.phase, s.since = session.Status.Phase, s.now
	}
	facts := standin.Facts{RunnerSecret: true, Fresh: s.fresh, PodExists: s.pod, Outcome: s.outcome, Since: s.since}
	decision := standin.Next(session, facts, standin.Timing{Step: time.Second, Run: 3 * time.Second}, s.now)
	if decision.Launch != nil {
		s.launches++
		if decision.Launch.Prompt {
			s.prompts++
		}
		s.pod = true
	}
	s.fresh = decision.Fresh
	if decision.Status != nil {
		status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(decision.Status)
		if err != nil {
			s.t.Fatal(err)
		}
		s.changeResource(resourceName, func(resource *unstructured.Unstructured) { resource.Object["status"] = status })
		s.note("operator: %s -> %s", session.Status.Phase, decision.Status.Phase)
		s.pod = s.pod && (decision.Status.Phase == standin.PhaseCreating || decision.Status.Phase == standin.PhaseRunning)
		// Times have a precision of seconds, and so have runs.
		s.now = s.now.Add(time.Second)
	}
	if len(decision.ClearAfter) > 0 && s.random.IntN(4) > 0 {
		s.changeResource(resourceName, func(resource *unstructured.Unstructured) {
			annotations := resource.GetAnnotations()
			for _, key := range decision.ClearAfter {
				if annotations[key] == session.Annotations[key] {
					delete(annotations, key)
				}
			}
			resource.SetAnnotations(annotations)
		})
		s.note("operator clears %v", decision.ClearAfter)
	}
}

// reconcile makes one pass on what the informers happen to show.
func (s *simulation) reconcile() {
	switch s.random.IntN(4) {
	case 0:
		s.syncSessions()
	case 1:
		s.syncResources()
	case 2:
		s.sync()
	}
	for _, key := range s.resourceStore.ListKeys() {
		if shown, _, err := s.resourceStore.GetByKey(key); err == nil {
			s.told[shown.(*unstructured.Unstructured).GetUID()] = true
		}
	}
	before := fmt.Sprint(s.writes)
	_, err := s.controller.Reconcile(klog.NewContext(context.Background(), klog.Logger{}), theKey)
	if s.made > s.allowed && s.excess == "" {
		s.excess = fmt.Sprintf("AgenticSession number %d is made at %s, and %d were asked for", s.made, s.now.Format("15:04:05"), s.allowed)
	}
	if after := fmt.Sprint(s.writes); after != before || err != nil {
		s.note("reconciler: upstream %q, desired %q, writes %s, err %v", s.sessions["a"].Status.Phase, s.desired(), after, err)
	}
}

func (s *simulation) desired() string {
	if live := s.resources[resourceName]; live != nil {
		return live.GetAnnotations()[agenticsession.DesiredPhaseAnnotation]
	}
	return ""
}

var errLost = errors.New("connection lost")

func (s *simulation) step() {
	s.now = s.now.Add(time.Duration(s.random.IntN(1500)) * time.Millisecond)
	switch s.random.IntN(12) {
	case 0, 1:
		s.user()
	case 2, 3, 4:
		s.operator()
	case 5:
		if s.deleted != "" && s.named() != s.deleted {
			// Nobody would know any more that it was there.
			return
		}
		s.restart()
		s.note("reconciler restarts")
	case 6:
		outcomes := []standin.Outcome{standin.OutcomeRun, standin.OutcomeComplete, standin.OutcomeFail, standin.OutcomeCrash}
		s.outcome = outcomes[s.random.IntN(len(outcomes))]
	case 7:
		if s.meddling && s.random.IntN(3) == 0 {
			s.stranger()
			return
		}
		s.reconcile()
	case 8:
		if s.meddling && s.random.IntN(2) == 0 {
			s.upstream()
			return
		}
		s.reconcile()
	default:
		s.reconcile()
	}
}

func TestNothingIsLostOrRunTwiceWhateverHappens(t *testing.T) {
	// SIMULATION_SEED=7 repeats one run, SIMULATION_SEED=1000-2000 makes many.
	first, last := uint64(1), uint64(100)
	if text := os.Getenv("SIMULATION_SEED"); text != "" {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		var err, other error
		first, err = strconv.ParseUint(from, 10, 64)
		last, other = strconv.ParseUint(to, 10, 64)
		if err = errors.Join(err, other); err != nil {
			t.Fatal(err)
		}
	}
	for seed := first; seed <= last; seed++ {
		s := &simulation{world: newWorld(t), random: rand.New(rand.NewPCG(seed, seed)), outcome: standin.OutcomeRun, meddling: seed%2 == 0, allowed: 1}
		s.fault = func(bool) error {
			if s.random.IntN(12) == 0 {
				return errLost
			}
			return nil
		}
		if seed%4 < 2 {
			s.freshness, s.busy = &informer{world: s.world}, func() bool { return s.random.IntN(2) == 0 }
			s.restart()
		}
		s.addSession("a", id, "")
		for range 150 {
			s.step()
		}
		s.fault, s.outage, s.outcome = nil, nil, standin.OutcomeRun
		s.calm()
		if complaints := s.complaints(); len(complaints) > 0 {
			t.Fatalf("seed %d (SIMULATION_SEED=%d repeats it):\n  %s\n\n%s", seed, seed, strings.Join(complaints, "\n  "), strings.Join(s.log, "\n"))
		}
	}
}

// calm lets everything come to rest.
func (s *simulation) calm() {
	s.note("--- calm")
	for range 40 {
		s.now = s.now.Add(2 * time.Second)
		s.operator()
		s.sync()
		s.reconcile()
	}
}

func (s *simulation) complaints() []string {
	var complaints []string
	complain := func(format string, arguments ...any) {
		complaints = append(complaints, fmt.Sprintf(format, arguments...))
	}
	session, resource := s.sessions["a"], s.resources[resourceName]
	if s.excess != "" {
		complain("%s", s.excess)
	}
	if resource == nil {
		if s.made > s.removed || s.last == "start" && !s.vanished {
			complain("there is no AgenticSession")
		}
		if _, reason := projected(session); !session.Status.Phase.IsTerminal() || s.vanished && reason != phase.ReasonLost {
			complain("without an AgenticSession, the session is %q for %q", session.Status.Phase, reason)
		}
		return append(complaints, s.restless()...)
	}
	upstream := session.Status.Phase
	observed, _, err := unstructured.NestedString(resource.Object, "status", "phase")
	if err != nil || string(upstream) != observed {
		complain("upstream says %q, the operator %q (%v)", upstream, observed, err)
	}
	if upstream != v1alpha1.SessionRunning && !upstream.IsTerminal() {
		complain("the session is stuck in phase %q", upstream)
	}
	if s.launches > 1+s.starts {
		complain("%d runs for %d requests", s.launches, s.starts)
	}
	if s.prompts > s.made {
		complain("the prompt was sent %d times to %d AgenticSessions", s.prompts, s.made)
	}
	if s.last == "stop" && !upstream.IsTerminal() {
		complain("the last word was stop, and the session is %s", upstream)
	}
	if s.last == "start" && s.launches == s.launchesAtStart && !s.vanished {
		complain("the last word was start, and nothing was started since")
	}
	for _, key := range []string{agenticsession.DesiredPhaseAnnotation, agenticsession.HandledAnnotation} {
		if text := resource.GetAnnotations()[key]; text != "" {
			complain("annotation %s=%s stays", key, text)
		}
	}
	return append(complaints, s.restless()...)
}

// restless complains of writes where all has been said.
func (s *simulation) restless() []string {
	before := fmt.Sprint(s.writes)
	s.settle()
	if after := fmt.Sprint(s.writes); after != before {
		return []string{fmt.Sprintf("writes at rest: %s, then %s", before, after)}
	}
	return nil
}
