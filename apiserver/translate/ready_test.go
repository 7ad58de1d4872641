package translate

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// kstatus is what tools like Flux and Argo CD make of an object's conditions.
func kstatus(s *v1alpha1.Session) string {
	switch conditions := s.Status.Conditions; {
	case s.DeletionTimestamp != nil:
		return "Terminating"
	case condition(conditions, "Stalled").Status == metav1.ConditionTrue:
		return "Failed"
	case condition(conditions, "Ready").Status == metav1.ConditionTrue:
		return "Current"
	default:
		return "InProgress"
	}
}

func TestReadyFollowsThePhase(t *testing.T) {
	const (
		atCreation   = "2026-03-04T05:06:07Z"
		atStart      = "2026-03-04T06:00:00Z"
		atCompletion = "2026-03-04T07:00:00Z"
	)
	for _, test := range []struct {
		phase   string
		status  metav1.ConditionStatus
		reason  string
		kstatus string
		// since is the time of the last transition, with and without the times of
		// the run.
		since, sinceWithout string
	}{
		{"", "False", "NotStarted", "InProgress", atCreation, atCreation},
		{"Pending", "False", "Pending", "InProgress", atCompletion, atCreation},
		{"Creating", "False", "Creating", "InProgress", atCompletion, atCreation},
		{"Running", "True", "Running", "Current", atStart, atCreation},
		{"Stopping", "False", "Stopping", "InProgress", atStart, atCreation},
		{"Stopped", "True", "Stopped", "Current", atCompletion, atCreation},
		{"Completed", "True", "Completed", "Current", atStart, atCreation},
		{"Failed", "False", "Failed", "Failed", atCompletion, atCreation},
		{"Some thing", "Unknown", "UnknownPhase", "InProgress", atCreation, atCreation},
	} {
		t.Run("phase "+test.phase, func(t *testing.T) {
			row := session(func(s *ambientv1.Session) { s.Phase = &test.phase })
			for _, since := range []string{test.sinceWithout, test.since} {
				got := read(row)
				c := condition(got.Status.Conditions, "Ready")
				if c.Status != test.status || c.Reason != test.reason || c.Message == "" || c.ObservedGeneration != got.Generation {
					t.Errorf("Ready is %+v", c)
				}
				if at := c.LastTransitionTime.UTC().Format("2006-01-02T15:04:05Z"); at != since {
					t.Errorf("Ready since %s, want %s", at, since)
				}
				if kstatus(got) != test.kstatus {
					t.Errorf("kstatus is %s, want %s", kstatus(got), test.kstatus)
				}
				if string(got.Status.Phase) != test.phase {
					t.Errorf("phase is shown as %q", got.Status.Phase)
				}
				row.StartTime, row.CompletionTime = timestamppb.New(started), timestamppb.New(completed)
			}
		})
	}
}

func TestASessionThatIsRefusedIsStalledUntilItBegins(t *testing.T) {
	for _, test := range []struct{ phase, projected, want string }{
		{"", `"False","reason":"NamespaceNotAdopted"`, "Failed"},
		{"Pending", `"False","reason":"NamespaceReserved"`, "Failed"},
		{"", `"False","reason":"NoProject"`, "Failed"},
		{"", `"False","reason":"Refused"`, "Failed"},
		{"", `"False","reason":"BaselineMissing"`, "Failed"},
		{"", `"False","reason":"NamespaceNotReady"`, "InProgress"},
		{"", `"False","reason":"CreatedBeforeInstall"`, "InProgress"},
		{"", `"True","reason":"NamespaceReserved"`, "InProgress"},
		{"Running", `"False","reason":"NamespaceNotAdopted"`, "Current"},
		{"Stopped", `"False","reason":"NamespaceNotAdopted"`, "Current"},
	} {
		held := `[{"type":"Projected","message":"M","status":` + test.projected + `}]`
		got := read(session(func(s *ambientv1.Session) { s.Phase, s.Conditions = &test.phase, &held }))
		if kstatus(got) != test.want {
			t.Errorf("%q with Projected=%s is %s, want %s", test.phase, test.projected, kstatus(got), test.want)
		}
		if c := condition(got.Status.Conditions, "Stalled"); c.Type != "" && c.Message != "M" {
			t.Errorf("%q: Stalled is %+v", test.phase, c)
		}
	}
}

func TestWhatNobodyHasLookedAtIsNotReady(t *testing.T) {
	want := metav1.Condition{
		Type: "Ready", Status: "Unknown", Reason: "NotObserved", Message: "No reconciler has looked at it yet.", ObservedGeneration: 1, LastTransitionTime: *seconds(created),
	}
	row, settings := project(""), settingsRow("", "")
	same(t, "project", readProject(row).Status.Conditions, []metav1.Condition{want})
	same(t, "settings", translator.ProjectSettings(settings, row, 0).Status.Conditions, []metav1.Condition{want})

	// Nobody reports it, so it is stored nowhere, and goes with the first report.
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Spec.Description = "d" }, "description", "annotations")
	if reserved, _ := ReadReserved(row.GetAnnotations()); len(reserved.Conditions) != 0 {
		t.Errorf("stored: %+v", reserved.Conditions)
	}
	row = updateProject(t, row, func(p *v1alpha1.Project) { p.Status.Conditions[0].Status, p.Status.Conditions[0].Reason = "True", "R" }, "annotations")
	if got := readProject(row).Status.Conditions; len(got) != 1 || got[0].Reason != "R" {
		t.Errorf("shown: %+v", got)
	}
}

func TestComputedConditionsStandInForThoseOfTheUpstream(t *testing.T) {
	held := `[{"type":"Ready","status":"Unknown","reason":"Theirs"},{"type":"Stalled","status":"True"},{"type":"Translated","status":"False"},{"type":"NameConflict","status":"True"}]`
	row := session(func(s *ambientv1.Session) { s.Conditions = &held; s.Phase = proto.String("Running") })
	got := read(row)
	if len(got.Status.Conditions) != 1 || got.Status.Conditions[0].Reason != "Running" {
		t.Fatalf("shown: %v", got.Status.Conditions)
	}
	_, status := update(t, row, func(s *v1alpha1.Session) {
		s.Status.Conditions = append(s.Status.Conditions, metav1.Condition{Type: "Projected", Status: "True", Reason: "R"},
			metav1.Condition{Type: "Stalled", Status: "False"})
	})
	want := held[:len(held)-1] + `,{"type":"Projected","status":"True","reason":"R"}]`
	if got := status.GetConditions(); got != want {
		t.Errorf("written:\n%s\nwant:\n%s", got, want)
	}
}

func TestANameConflictIsTold(t *testing.T) {
	row := session()
	name := translator.SessionName(row)
	loser := translator.Session(row, Placement{Namespace: "team-a", Name: CollisionName(name, sessionID), NameConflict: true})
	c := condition(loser.Status.Conditions, "NameConflict")
	if c.Status != "True" || c.Reason != "NameTaken" || c.Message != `An older session holds the name "`+name+`"; this one is served as "`+CollisionName(name, sessionID)+`".` {
		t.Errorf("loser: %+v", c)
	}
	holder := translator.Session(row, Placement{Namespace: "team-a", Name: name, NameConflict: true})
	if c := condition(holder.Status.Conditions, "NameConflict"); c.Message != `Another session asks for the name "`+name+`", too; it is served under a name of its own.` {
		t.Errorf("holder: %+v", c)
	}
}

func TestConditionsAreWrittenByType(t *testing.T) {
	const details = `{"type":"ambient.io/Details", "status":"True", "stoppedReason":"user", "future":[1, 2]}`
	const held = `[ {"type":"A", "status":"True", "extra":{"x" : 1}},
		"odd", {"type":"B","status":"False"}, ` + details + ` ]`
	for _, test := range []struct {
		name   string
		change func(*v1alpha1.SessionStatus)
		want   string
	}{
		{"another order is no change", func(s *v1alpha1.SessionStatus) {
			s.Conditions[1], s.Conditions[2] = s.Conditions[2], s.Conditions[1]
		}, ""},
		{"a changed one keeps its unknown members", func(s *v1alpha1.SessionStatus) { s.Conditions[1].Status = "Unknown" },
			`[ {"type":"A", "status":"Unknown", "extra":{"x" : 1}},
		"odd", {"type":"B","status":"False"}, ` + details + ` ]`},
		{"a removed one goes", func(s *v1alpha1.SessionStatus) {
			s.Conditions = append(s.Conditions[:2:2], s.Conditions[3:]...)
		}, `[ {"type":"A", "status":"True", "extra":{"x" : 1}},
		"odd",
		` + details + ` ]`},
		{"a detail changes in place", func(s *v1alpha1.SessionStatus) { s.StoppedReason = "inactivity" },
			`[ {"type":"A", "status":"True", "extra":{"x" : 1}},
		"odd", {"type":"B","status":"False"}, {"type":"ambient.io/Details", "status":"True", "stoppedReason":"inactivity", "future":[1, 2]} ]`},
		{"details that say nothing go", func(s *v1alpha1.SessionStatus) { s.StoppedReason = "" },
			`[ {"type":"A", "status":"True", "extra":{"x" : 1}},
		"odd", {"type":"B","status":"False"} ]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			row := session(func(s *ambientv1.Session) { text := held; s.Conditions = &text })
			spec, status := update(t, row, func(s *v1alpha1.Session) { test.change(&s.Status) })
			if spec != nil {
				t.Errorf("a spec was sent: %v", spec)
			}
			if got := status.GetConditions(); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
			if columns := columns(status); test.want != "" && len(columns) != 1 {
				t.Errorf("columns sent: %v", columns)
			}
		})
	}
}

func TestOnlyTheLastOfSeveralConditionsOfATypeChanges(t *testing.T) {
	held := `[{"type":"A","status":"True","n":1},{"type":"B","status":"True"},{"type":"A","status":"True","n":2}]`
	row := session(func(s *ambientv1.Session) { s.Conditions = &held })
	_, status := update(t, row, func(s *v1alpha1.Session) { s.Status.Conditions[1].Status = "False" })
	want := `[{"type":"A","status":"True","n":1},{"type":"B","status":"True"},{"type":"A","status":"False","n":2}]`
	if got := status.GetConditions(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDetailsAreMadeWhenNeeded(t *testing.T) {
	for _, held := range []string{"", "null", "[]", "not json"} {
		row := session(func(s *ambientv1.Session) { s.Conditions = &held })
		_, status := update(t, row, func(s *v1alpha1.Session) {
			s.Status.ObservedGeneration = 4
			s.Status.LastActivityTime = seconds(completed)
		})
		want := `[{"type":"ambient.io/Details","status":"True","lastActivityTime":"2026-03-04T07:00:00Z","observedGeneration":4}]`
		if got := status.GetConditions(); got != want {
			t.Errorf("over %q: %s", held, got)
		}
		got := read(apply(row, status))
		if got.Status.ObservedGeneration != 4 || !got.Status.LastActivityTime.Time.Equal(completed) {
			t.Errorf("over %q, read back: %+v", held, got.Status)
		}
	}
}
