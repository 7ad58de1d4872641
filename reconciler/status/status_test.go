package status

import (
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

func TestChangesWithinTheWindowAreOneWrite(t *testing.T) {
	now := time.Unix(0, 0)
	coalescer := NewCoalescer[string](250*time.Millisecond, func() time.Time { return now })
	if wait := coalescer.Wait("a"); wait != 0 {
		t.Errorf("without a change, a write waits %s", wait)
	}
	if pause := coalescer.Note("a"); pause != 250*time.Millisecond {
		t.Errorf("the first change is due after %s", pause)
	}
	now = now.Add(100 * time.Millisecond)
	if pause := coalescer.Note("a"); pause != 150*time.Millisecond {
		t.Errorf("a further change is due after %s: changes that never cease must not put the write off for ever", pause)
	}
	if wait := coalescer.Wait("a"); wait != 150*time.Millisecond {
		t.Errorf("a write waits %s", wait)
	}
	if wait := coalescer.Wait("b"); wait != 0 {
		t.Errorf("another key waits %s", wait)
	}
	now = now.Add(150 * time.Millisecond)
	if wait := coalescer.Wait("a"); wait != 0 {
		t.Errorf("a write that is due waits %s", wait)
	}
	if pause := coalescer.Note("a"); pause != 250*time.Millisecond {
		t.Errorf("the next change is due after %s", pause)
	}
}

func TestWhatTheServerComputesIsNeverApplied(t *testing.T) {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "a", UID: "u", ResourceVersion: "7"},
		Status: v1alpha1.SessionStatus{SessionID: "id", Conditions: []metav1.Condition{
			{Type: "Ready", Status: "True"}, {Type: "Stalled", Status: "True"}, {Type: "Translated", Status: "False"}, {Type: "NameConflict", Status: "True"},
		}},
	}
	resource := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"name": "id", "namespace": "p", "uid": "r"}}}
	from := agenticsession.Status{Phase: "Running", Conditions: []agenticsession.Condition{{Type: "Ready", Status: "True"}, {Type: "PodCreated", Status: "True"}, {Type: "PodCreated", Status: "False"}}}
	desired := Desired(session, resource, from, Change{Report: true, Now: time.Now()})
	configuration, err := Configuration(session, desired)
	if err != nil {
		t.Fatal(err)
	}
	if *configuration.ResourceVersion != "7" || *configuration.UID != "u" {
		t.Error("the write does not name what was read")
	}
	if len(configuration.Status.Conditions) != 1 || *configuration.Status.Conditions[0].Type != "PodCreated" || *configuration.Status.Conditions[0].Status != "False" {
		text, err := json.Marshal(configuration.Status.Conditions)
		t.Errorf("conditions %s (%v)", text, err)
	}
	if *configuration.Status.SessionID != "id" {
		t.Error("the id is left out, and so taken away")
	}
}

// A status must not reach an object that has changed since it was read, nor one
// that took the name of a deleted one.
func TestAStatusIsMeantForTheObjectThatWasRead(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: "a", UID: "u", ResourceVersion: "7"}}
	configuration, err := Configuration(session, session.Status)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(configuration)
	if err != nil {
		t.Fatal(err)
	}
	var sent v1alpha1.Session
	if err := json.Unmarshal(text, &sent); err != nil {
		t.Fatal(err)
	}
	if sent.UID != "u" || sent.ResourceVersion != "7" {
		t.Errorf("sent: %s", text)
	}
}

func TestOrderAndComputedConditionsMakeNoDifference(t *testing.T) {
	a := v1alpha1.SessionStatus{Conditions: []metav1.Condition{{Type: "A", Status: "True"}, {Type: "B", Status: "True"}, {Type: "Ready", Status: "True"}}}
	b := v1alpha1.SessionStatus{Conditions: []metav1.Condition{{Type: "B", Status: "True"}, {Type: "A", Status: "True"}}}
	if !Equal(a, b) {
		t.Error("different")
	}
	b.Conditions[0].Message = "new"
	if Equal(a, b) {
		t.Error("a changed message is no difference")
	}
}

func TestTransitionTimesMoveOnlyWithTheStatus(t *testing.T) {
	before := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	session := &v1alpha1.Session{Status: v1alpha1.SessionStatus{Conditions: []metav1.Condition{{Type: "Projected", Status: "False", Reason: "A", LastTransitionTime: before}}}}
	change := Change{Projection: &Projection{Status: "False", Reason: "B"}, Now: before.Add(time.Hour)}
	if got := Desired(session, nil, agenticsession.Status{}, change).Conditions[0]; !got.LastTransitionTime.Equal(&before) || got.Reason != "B" {
		t.Errorf("condition %+v", got)
	}
	change.Projection.Status = "True"
	if got := Desired(session, nil, agenticsession.Status{}, change).Conditions[0]; got.LastTransitionTime.Equal(&before) {
		t.Error("the transition time did not move")
	}
}

func TestTheOperatorsGenerationIsTranslated(t *testing.T) {
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Generation: 5}, Status: v1alpha1.SessionStatus{ObservedGeneration: 3}}
	resource := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"generation": int64(9)}}}
	for _, test := range []struct {
		name     string
		phase    v1alpha1.SessionPhase
		observed int64
		inStep   bool
		want     int64
	}{
		{"the operator has seen the newest", "Running", 9, true, 5},
		{"it has not yet", "Running", 8, true, 3},
		{"it never looked", "Running", 0, true, 3},
		{"the newest is not projected yet", "Running", 9, false, 3},
		{"it looks no more at what has ended", "Completed", 8, true, 5},
		{"what has ended is not projected yet", "Completed", 8, false, 3},
	} {
		from := agenticsession.Status{Phase: test.phase, ObservedGeneration: test.observed}
		session.Status.Phase = test.phase
		if got := Desired(session, resource, from, Change{InStep: test.inStep}).ObservedGeneration; got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
	session.Status = v1alpha1.SessionStatus{Phase: "Completed"}
	if got := Desired(session, resource, agenticsession.Status{Phase: "Completed"}, Change{InStep: true}).ObservedGeneration; got != 0 {
		t.Errorf("nobody has ever looked at it: %d, want 0", got)
	}
}
