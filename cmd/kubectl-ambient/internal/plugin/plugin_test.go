package plugin

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

func TestWrongCommandLinesAreRefused(t *testing.T) {
	for _, test := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"stop"}, "name one session, not 0"},
		{[]string{"stop", "one", "two"}, "name one session, not 2"},
		{[]string{"stop", "one", "--dry-run=client"}, "none, server"},
		{[]string{"start", "one", "--wait", "--dry-run=server"}, "leave one of them out"},
		{[]string{"pause", "one"}, "pause"},
		{[]string{"status", "one", "--kubeconfig=/does/not/exist"}, "/does/not/exist"},
	} {
		command := New()
		command.SetArgs(test.arguments)
		command.SetOut(io.Discard)
		if err := command.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one that says %q", test.arguments, err, test.want)
		}
	}
}

func TestEveryCommandHasExamplesAndItsVariables(t *testing.T) {
	root := New()
	for _, command := range root.Commands() {
		if command.Short == "" || command.Long == "" || !strings.Contains(command.Example, "kubectl ambient "+command.Name()+" ") {
			t.Errorf("the help of %s is not complete", command.Name())
		}
		for _, variable := range []string{"AMBIENT_KUBE_NAMESPACE", "AMBIENT_KUBE_WAIT", "AMBIENT_KUBE_TIMEOUT", "AMBIENT_KUBE_KUBECONFIG"} {
			if usage := command.UsageString(); !strings.Contains(usage, variable) {
				t.Errorf("the help of %s does not name %s", command.Name(), variable)
			}
		}
	}
}

func TestRefusalsAreToldAsKubectlTellsThem(t *testing.T) {
	conflict := apierrors.NewConflict(v1alpha1.Resource("sessions"), "one", errors.New("it runs"))
	for _, test := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("asking for a start of one: %w", conflict), `Error from server (Conflict): Operation cannot be fulfilled on sessions.ambient.io "one": it runs`},
		{&apierrors.StatusError{ErrStatus: metav1.Status{Message: "no reason"}}, "Error from server: no reason"},
		{errors.New("name one session"), "error: name one session"},
	} {
		if got := Explain(test.err); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func at(text string) *metav1.Time {
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return &metav1.Time{Time: parsed}
}

func TestStatusOfASessionThatWasStopped(t *testing.T) {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "flaky-test", CreationTimestamp: *at("2026-01-01T10:00:00Z")},
		Spec:       v1alpha1.SessionSpec{DisplayName: "Flaky test"},
		Status: v1alpha1.SessionStatus{
			Phase: v1alpha1.SessionStopped, StoppedReason: "user", SessionID: "3Mu",
			StartTime: at("2026-01-01T10:01:00Z"), CompletionTime: at("2026-01-01T11:00:00Z"),
			AgenticSession: &v1alpha1.AgenticSessionReference{Namespace: "payments", Name: "3mu"},
			Conditions: []metav1.Condition{
				{Type: "PodCreated", Status: "True", Reason: "Made", LastTransitionTime: *at("2026-01-01T10:01:00Z")},
				{Type: "Projected", Status: "True", Reason: "Projected", Message: "AgenticSession 3mu\nruns the session.", LastTransitionTime: *at("2026-01-01T10:00:30Z")},
				{Type: "Ready", Status: "False", Reason: "Stopped"},
			},
		},
	}
	var out strings.Builder
	if err := describe(&out, session, at("2026-01-01T12:00:00Z").Time); err != nil {
		t.Fatal(err)
	}
	const want = `Session:        payments/flaky-test
Display name:   Flaky test
Phase:          Stopped
Stopped by:     user
Created:        2026-01-01T10:00:00Z (120m ago)
Started:        2026-01-01T10:01:00Z (119m ago)
Ended:          2026-01-01T11:00:00Z (60m ago)
Runs as:        agenticsession/3mu in namespace payments
Upstream id:    3Mu

CONDITION    STATUS   REASON      SINCE   MESSAGE
Ready        False    Stopped             
Projected    True     Projected   119m    AgenticSession 3mu runs the session.
PodCreated   True     Made        119m    
`
	if out.String() != want {
		t.Errorf("it says\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStatusOfASessionThatRunsAgain(t *testing.T) {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "payments", Name: "one", CreationTimestamp: *at("2026-01-01T10:00:00Z")},
		Status:     v1alpha1.SessionStatus{Phase: v1alpha1.SessionPending, StartTime: at("2026-01-01T11:30:00Z"), CompletionTime: at("2026-01-01T11:00:00Z")},
	}
	var out strings.Builder
	if err := describe(&out, session, at("2026-01-01T12:00:00Z").Time); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "Pending, a start was requested") || strings.Contains(text, "Ended") || strings.Contains(text, "CONDITION") {
		t.Errorf("it says\n%s", text)
	}
}
