package phase

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// plain is what each pair of phases asks for while nothing else is known: no CR
// was ever recorded, nothing was reported, no request was sent. The columns are
// the phases of the AgenticSession; - stands for an empty phase.
const plain = `
upstream   absent  -         Pending   Creating  Running   Stopping  Stopped  Completed  Failed
-          Create  Keep      Keep      Report    Report    Keep      Report   Report     Report
Pending    Create  Keep      Keep      Report    Report    Keep      Report   Report     Report
Creating   Lose    Keep      Keep      Report    Report    Keep      Report   Report     Report
Running    Lose    Keep      Keep      Report    Report    Keep      Report   Report     Report
Stopping   Finish  SendStop  SendStop  SendStop  SendStop  SendStop  Report   Report     Report
Stopped    Ignore  Keep      Keep      Report    Report    Keep      Report   Report     Report
Completed  Ignore  Keep      Keep      Report    Report    Keep      Report   Report     Report
Failed     Ignore  Keep      Keep      Report    Report    Keep      Report   Report     Report
`

// sameRun is the same for an AgenticSession whose run is the one that the upstream
// knows: what it says is not newer than an end that the upstream holds.
const sameRun = `
upstream   absent  -         Pending   Creating  Running   Stopping  Stopped  Completed  Failed
-          Create  Keep      Keep      Report    Report    Keep      Report   Report     Report
Pending    Create  Keep      Keep      Report    Report    Keep      Report   Report     Report
Creating   Lose    Keep      Keep      Report    Report    Keep      Report   Report     Report
Running    Lose    Keep      Keep      Report    Report    Keep      Report   Report     Report
Stopping   Finish  SendStop  SendStop  SendStop  SendStop  SendStop  Report   Report     Report
Stopped    Ignore  Keep      Keep      Keep      Keep      Keep      Report   Report     Report
Completed  Ignore  Keep      Keep      Keep      Keep      Keep      Report   Report     Report
Failed     Ignore  Keep      Keep      Keep      Keep      Keep      Report   Report     Report
`

const (
	firstRun  = "2026-01-01T10:00:00Z"
	secondRun = "2026-01-01T11:00:00Z"
	firstEnd  = "2026-01-01T10:30:00Z"
	secondEnd = "2026-01-01T11:30:00Z"
)

func TestEveryPairOfPhases(t *testing.T) {
	for _, table := range []struct{ name, text, upstreamStart string }{
		{"nothing else known", plain, ""},
		{"the run is known upstream", sameRun, firstRun},
	} {
		lines := strings.Split(strings.TrimSpace(table.text), "\n")
		columns := strings.Fields(lines[0])[1:]
		for _, line := range lines[1:] {
			cells := strings.Fields(line)
			for i, want := range cells[1:] {
				in := Input{Upstream: phaseOf(cells[0]), Start: table.upstreamStart}
				if columns[i] != "absent" {
					in.Resource = &Resource{State: agenticsession.State{Phase: phaseOf(columns[i]), StartTime: firstRun}}
				}
				if got := Decide(in).Action; string(got) != want {
					t.Errorf("%s: upstream %s, AgenticSession %s: %s, want %s", table.name, cells[0], columns[i], got, want)
				}
			}
		}
	}
}

func phaseOf(text string) v1alpha1.SessionPhase {
	if text == "-" {
		return ""
	}
	return v1alpha1.SessionPhase(text)
}

func state(phase v1alpha1.SessionPhase, start, completion string) agenticsession.State {
	return agenticsession.State{Phase: phase, StartTime: start, CompletionTime: completion}
}

func sent(phase v1alpha1.SessionPhase, from agenticsession.State) *agenticsession.Mark {
	return &agenticsession.Mark{Phase: phase, Time: metav1.NewTime(time.Unix(0, 0)), From: from}
}

func TestWithoutAnAgenticSession(t *testing.T) {
	for _, test := range []struct {
		name string
		in   Input
		want Decision
	}{
		{"history is held back", Input{Unstarted: ReasonBeforeInstall}, Decision{Hold, ReasonBeforeInstall}},
		{"history starts on request", Input{Upstream: "Pending", Unstarted: ReasonBeforeInstall}, Decision{Action: Create}},
		{"on-request waits for a request", Input{Unstarted: ReasonNotRequested}, Decision{Hold, ReasonNotRequested}},
		{"on-request starts on request", Input{Upstream: "Pending", Unstarted: ReasonNotRequested}, Decision{Action: Create}},
		{"a lost baseline holds everything", Input{Unstarted: ReasonBaselineMissing}, Decision{Hold, ReasonBaselineMissing}},
		{"a lost baseline holds requests, too", Input{Upstream: "Pending", Unstarted: ReasonBaselineMissing}, Decision{Hold, ReasonBaselineMissing}},
		{"an obstacle comes before history", Input{Obstacle: "NoProject", Unstarted: ReasonBeforeInstall}, Decision{Hold, "NoProject"}},
		{"an obstacle holds a request", Input{Upstream: "Pending", Obstacle: "NoProject"}, Decision{Hold, "NoProject"}},
		{"recorded once, the prompt is not sent again", Input{Recorded: true}, Decision{Lose, ReasonLost}},
		{"recorded once and still Pending, it is lost", Input{Upstream: "Pending", Recorded: true}, Decision{Lose, ReasonLost}},
		{"once the loss is noted, Pending is a request", Input{Upstream: "Pending", Recorded: true, LossNoted: true}, Decision{Action: Create}},
		{"a loss is not declared where nothing could be made", Input{Upstream: "Running", Recorded: true, Obstacle: "NamespaceTerminating"}, Decision{Hold, "NamespaceTerminating"}},
		{"nothing is left to stop", Input{Upstream: "Stopping", Recorded: true}, Decision{Finish, ReasonLost}},
		{"stopped before it began", Input{Upstream: "Stopping"}, Decision{Finish, ReasonNeverStarted}},
		{"a stop ends even where nothing can be made", Input{Upstream: "Stopping", Obstacle: "NoProject"}, Decision{Finish, ReasonNeverStarted}},
		{"an ended session's loss is noted", Input{Upstream: "Completed", Recorded: true, Projected: true}, Decision{NoteLoss, ReasonLost}},
		{"ended history is left alone", Input{Upstream: "Completed", Recorded: true}, Decision{Action: Ignore}},
		{"an unknown phase is somebody's work", Input{Upstream: "Dreaming"}, Decision{Lose, ReasonLost}},
	} {
		if got := Decide(test.in); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestDecision19StartRequests(t *testing.T) {
	ended := state("Completed", firstRun, firstEnd)
	for _, test := range []struct {
		name string
		in   Input
		want Action
	}{
		{"an end that the upstream has not seen is reported first",
			Input{Start: firstRun, Resource: &Resource{State: ended}}, Report},
		{"an end that was noted as reported makes Pending a request",
			Input{Resource: &Resource{State: ended, Reported: &ended}}, SendStart},
		{"an end whose times stand upstream was reported, though nobody came to note it",
			Input{Start: firstRun, Completion: firstEnd, Resource: &Resource{State: ended}}, SendStart},
		{"the times of an earlier end prove nothing",
			Input{Start: firstRun, Completion: firstEnd, Resource: &Resource{State: state("Completed", secondRun, secondEnd)}}, Report},
		{"a noted earlier end proves nothing",
			Input{Resource: &Resource{State: state("Failed", secondRun, secondEnd), Reported: &ended}}, Report},
		{"a request is not sent twice while the operator has not acted",
			Input{Resource: &Resource{State: ended, Reported: &ended, Desired: "Running", Mark: sent("Pending", ended)}}, Keep},
		{"a request that somebody took away is not sent again",
			Input{Resource: &Resource{State: ended, Reported: &ended, Mark: sent("Pending", ended)}}, Keep},
		{"the end of the run that was asked for is reported",
			Input{Resource: &Resource{State: state("Failed", secondRun, secondEnd), Reported: &ended, Mark: sent("Pending", ended)}}, Report},
		{"a request left behind is taken back before its run is reported as ended",
			Input{Resource: &Resource{State: state("Failed", secondRun, secondEnd), Reported: &ended, Desired: "Running", Mark: sent("Pending", ended)}}, Withdraw},
		{"the mark of a request that is over does not hold up the next",
			Input{Resource: &Resource{State: state("Failed", secondRun, secondEnd), Reported: &agenticsession.State{Phase: "Failed", StartTime: secondRun, CompletionTime: secondEnd}, Mark: sent("Pending", ended)}}, SendStart},
		{"the mark of a stop does not stand for a start",
			Input{Resource: &Resource{State: ended, Reported: &ended, Mark: sent("Stopping", state("Running", firstRun, ""))}}, SendStart},
		{"Creating goes up once the operator took the request away",
			Input{Resource: &Resource{State: state("Creating", secondRun, ""), Mark: sent("Pending", ended)}}, Report},
		{"Creating waits while the request stands",
			Input{Resource: &Resource{State: state("Creating", secondRun, ""), Desired: "Running", Mark: sent("Pending", ended)}}, Keep},
		{"a request left on a running session is taken back: it would run it again",
			Input{Resource: &Resource{State: state("Running", secondRun, ""), Desired: "Running", Mark: sent("Pending", ended)}}, Withdraw},
		{"a request of others is not ours to take back",
			Input{Resource: &Resource{State: state("Running", secondRun, ""), Desired: "Running"}}, Report},
	} {
		test.in.Upstream = v1alpha1.SessionPending
		if got := Decide(test.in).Action; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestDecision19StopRequests(t *testing.T) {
	running := state("Running", firstRun, "")
	for _, test := range []struct {
		name string
		in   Resource
		want Action
	}{
		{"sent once", Resource{State: running}, SendStop},
		{"a start that is under way is overruled", Resource{State: state("Pending", firstRun, ""), Desired: "Running", Mark: sent("Pending", state("Stopped", "", ""))}, SendStop},
		{"not sent twice", Resource{State: running, Desired: "Stopped", Mark: sent("Stopping", running)}, Keep},
		{"not sent again if somebody took it away", Resource{State: running, Mark: sent("Stopping", running)}, Keep},
		{"no older phase goes up over it", Resource{State: state("Creating", firstRun, ""), Mark: sent("Stopping", running)}, Keep},
		{"a later run goes up", Resource{State: state("Running", secondRun, ""), Mark: sent("Stopping", running)}, Report},
		{"a later run that only begins does not", Resource{State: state("Pending", secondRun, ""), Mark: sent("Stopping", running)}, Keep},
		{"a start that the operator has not seen yet is taken back", Resource{State: state("Completed", firstRun, firstEnd), Desired: "Running", Mark: sent("Pending", state("Completed", firstRun, firstEnd))}, Withdraw},
		{"the end wins", Resource{State: state("Completed", firstRun, firstEnd), Desired: "Stopped", Mark: sent("Stopping", running)}, Report},
	} {
		in := Input{Upstream: v1alpha1.SessionStopping, Start: firstRun, Resource: &test.in}
		if got := Decide(in).Action; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAnEndIsNotUndoneByTheRunThatItEnded(t *testing.T) {
	end := state("Stopped", firstRun, firstEnd)
	for _, test := range []struct {
		name     string
		start    string
		resource Resource
		want     Action
	}{
		{"the same run", firstRun, Resource{State: state("Running", firstRun, "")}, Keep},
		{"another run", firstRun, Resource{State: state("Running", secondRun, "")}, Report},
		{"another run in the same second, of an object whose end was noted", firstRun, Resource{State: state("Running", firstRun, ""), Reported: &end}, Report},
		{"the noted end of an earlier run says nothing", secondRun, Resource{State: state("Running", secondRun, ""), Reported: &end}, Keep},
		{"a run when the upstream knows of none", "", Resource{State: state("Running", firstRun, "")}, Report},
	} {
		in := Input{Upstream: v1alpha1.SessionStopped, Start: test.start, Resource: &test.resource}
		if got := Decide(in).Action; got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestAPhaseThatWeDoNotKnowNeverGoesUp(t *testing.T) {
	for upstream := range table {
		in := Input{Upstream: upstream, Resource: &Resource{State: agenticsession.State{Phase: "Hibernating"}}}
		if got := Decide(in).Action; got != Keep {
			t.Errorf("upstream %q: %s, want %s", upstream, got, Keep)
		}
	}
}
