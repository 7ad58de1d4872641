package backend

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// prompted is a session born upstream with a prompt.
func prompted(row *ambientv1.Session) {
	row.ProjectId, row.Name, row.Prompt = proto.String("team"), "Theirs", proto.String("old")
}

// asked is a world in which we have just written a prompt.
func asked(t *testing.T, test func(w *world)) {
	t.Helper()
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": prompted}, func(w *world) {
		w.update("1abc", func(session *v1alpha1.Session) { session.Spec.Prompt = "new" })
		test(w)
	})
}

// saveOver stores the columns as a save does that read the row before our write, with
// a phase that it brings.
func saveOver(prompt, phase string) func(*ambientv1.Session) {
	return func(row *ambientv1.Session) { row.Prompt, row.Phase, row.Annotations = &prompt, &phase, nil }
}

func (w *world) expectPrompt(want string) {
	w.t.Helper()
	if held := w.sessions.held("1AbC").GetPrompt(); held != want {
		w.t.Errorf("upstream stands %q, want %q", held, want)
	}
	if shown := w.session("1abc").Spec.Prompt; shown != want {
		w.t.Errorf("shown is %q, want %q", shown, want)
	}
}

func TestDecision7AWriteThatARacingSaveUndidIsMadeAgain(t *testing.T) {
	asked(t, func(w *world) {
		w.sessions.save("1AbC", saveOver("old", "Running"))
		w.pass(5 * time.Second)
		w.expectPrompt("new")
		if phase := w.sessions.held("1AbC").GetPhase(); phase != "Running" {
			t.Errorf("the other side's phase became %q", phase)
		}
		w.expectReports(RepairRewritten)
		// Once: what undoes the repair, too, stands.
		w.sessions.save("1AbC", func(row *ambientv1.Session) { row.Prompt, row.Phase = proto.String("old"), proto.String("Stopping") })
		w.pass(time.Minute)
		w.expectPrompt("old")
		w.expectReports(RepairRewritten)
	})
}

// The same for a row whose record somebody had wiped before we wrote: what the racing
// save brings back is the row without it.
func TestDecision7AWriteBesideAWipedRecordIsMadeAgain(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded}, func(w *world) {
		w.sessions.save("1AbC", wipe(""))
		w.pass(1500 * time.Millisecond)
		w.update("mine", func(session *v1alpha1.Session) { session.Spec.Prompt = "new" })
		w.sessions.save("1AbC", func(row *ambientv1.Session) {
			row.Prompt, row.Phase, row.Annotations = nil, proto.String("Running"), proto.String("")
		})
		w.pass(5 * time.Second)
		if prompt := w.sessions.held("1AbC").GetPrompt(); prompt != "new" {
			t.Errorf("upstream stands %q", prompt)
		}
	})
}

func TestDecision7ADecisionOfSomebodyElseStands(t *testing.T) {
	for why, theirs := range map[string]struct {
		after  time.Duration
		save   func(*ambientv1.Session)
		prompt string
	}{
		"only our field went back":     {0, func(row *ambientv1.Session) { row.Prompt = proto.String("old") }, "old"},
		"our field has another value":  {0, saveOver("theirs", "Running"), "theirs"},
		"long after our write":         {11 * time.Second, saveOver("old", "Running"), "old"},
		"nothing of ours was touched":  {0, func(row *ambientv1.Session) { row.Phase = proto.String("Running") }, "new"},
		"our field, and it was put so": {11 * time.Second, func(row *ambientv1.Session) { row.Prompt = proto.String("new") }, "new"},
	} {
		t.Run(why, func(t *testing.T) {
			asked(t, func(w *world) {
				w.pass(theirs.after)
				writes := w.sessions.written("UpdateSession")
				w.sessions.save("1AbC", theirs.save)
				w.pass(time.Second)
				w.pass(500 * time.Millisecond)
				w.expectPrompt(theirs.prompt)
				w.pass(time.Minute)
				w.expectPrompt(theirs.prompt)
				if again := w.sessions.written("UpdateSession") - writes; again > 1 {
					t.Errorf("%d writes", again)
				}
			})
		})
	}
}

// started is a world in which we have just asked for another run of a failed session.
func started(t *testing.T, test func(w *world)) {
	t.Helper()
	failed := func(row *ambientv1.Session) { prompted(row); row.Phase = proto.String("Failed") }
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": failed}, func(w *world) {
		w.update("1abc", func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionPending })
		test(w)
	})
}

// The end of the second run shows in a listing before its answer is here, and looks like
// a save that raced with its start.
func TestDecision7OurOwnLaterWriteIsNoRacingSave(t *testing.T) {
	for why, answer := range map[string]struct {
		late time.Duration
		lost error
	}{
		"its answer is late": {late: 3 * time.Second},
		"its answer is lost": {lost: errCut},
	} {
		t.Run(why, func(t *testing.T) {
			started(t, func(w *world) {
				w.sessions.late, w.sessions.lost = answer.late, answer.lost
				unlock, err := w.Sessions.Lock(w.t.Context(), SessionsPrefix+"/team/1abc")
				if err != nil {
					t.Fatal(err)
				}
				current := w.session("1abc")
				desired := current.DeepCopy()
				ended := metav1.Now()
				desired.Status.Phase, desired.Status.CompletionTime = v1alpha1.SessionFailed, &ended
				err = w.Sessions.Update(w.t.Context(), SessionsPrefix+"/team/1abc", current, desired)
				unlock()
				if (err != nil) != (answer.lost != nil) {
					t.Fatal(err)
				}
				w.pass(time.Minute)
				if phase := w.sessions.held("1AbC").GetPhase(); phase != "Failed" {
					t.Errorf("the session that has ended is %s", phase)
				}
				w.expectReports()
			})
		})
	}
}

// undone is a world in which the upstream can't be written any more after a racing save
// brought back, with a phase of its own, the row as it was before our last write.
func undone(t *testing.T, test func(w *world)) {
	t.Helper()
	asked(t, func(w *world) {
		before := w.sessions.held("1AbC")
		w.update("1abc", func(session *v1alpha1.Session) { session.Spec.Prompt = "newest" })
		w.refuse(status.Error(codes.Unavailable, "no"))
		w.revive(before, func(row *ambientv1.Session) { row.Phase = proto.String("Running") })
		test(w)
	})
}

func TestDecision7ARepairOutlastsAShortFailureOfTheUpstream(t *testing.T) {
	undone(t, func(w *world) {
		w.pass(30 * time.Second)
		w.expectPrompt("new")
		w.expectReports()
		w.refuse(nil)
		w.pass(time.Minute)
		w.expectPrompt("newest")
		w.expectReports(RepairRewritten)
	})
}

// What stands upstream for long is somebody's truth.
func TestDecision7ARepairThatFailsForLongIsGivenUpAndTold(t *testing.T) {
	undone(t, func(w *world) {
		w.pass(2 * time.Minute)
		w.refuse(nil)
		tries := w.sessions.written("UpdateSession")
		w.pass(time.Hour)
		w.expectPrompt("new")
		w.expectReports(RepairFailed)
		if more := w.sessions.written("UpdateSession") - tries; more != 0 {
			t.Errorf("%d more writes", more)
		}
	})
}

func TestDecision6ARevivedProjectWithSessionsIsLeftAlone(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": prompted}, func(w *world) {
		w.Projects.repairs.memory.Deleted("team", team())
		w.Projects.repairs.add(repairJob{id: "team"})
		w.pass(2 * time.Minute)
		w.expectReports(RepairLeft)
	})
}

func TestDecision6ARevivedRowIsDeletedOnceTheUpstreamCanBeWritten(t *testing.T) {
	deleted(t, func(w *world, row *ambientv1.Session) {
		w.refuse(status.Error(codes.Unavailable, "no"))
		w.revive(row, func(*ambientv1.Session) {})
		w.pass(20 * time.Second)
		w.expectReports()
		w.refuse(nil)
		w.pass(30 * time.Second)
		if w.sessions.held("1AbC") != nil || w.session("1abc") != nil {
			t.Error("a revived row is alive")
		}
		w.expectReports(RepairDeleted)
	})
}

// deleted is a world in which we have just deleted the session; it returns the row as
// it was.
func deleted(t *testing.T, test func(w *world, row *ambientv1.Session)) {
	t.Helper()
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": prompted, "2DeF": prompted}, func(w *world) {
		row := w.sessions.held("1AbC")
		if err := w.Sessions.Delete(w.t.Context(), SessionsPrefix+"/team/1abc", nil); err != nil {
			t.Fatal(err)
		}
		if w.session("1abc") != nil {
			t.Fatal("a deleted session is shown")
		}
		test(w, row)
	})
}

// revive stores a former state of a row again, changed.
func (w *world) revive(row *ambientv1.Session, change func(*ambientv1.Session)) {
	w.sessions.save("1AbC", func(next *ambientv1.Session) {
		proto.Reset(next)
		proto.Merge(next, row)
		change(next)
	})
}

func TestDecision6ARevivedRowIsDeletedAgainOnce(t *testing.T) {
	deleted(t, func(w *world, row *ambientv1.Session) {
		w.pass(50 * time.Second)
		running := func(next *ambientv1.Session) { next.Phase = proto.String("Running") }
		w.revive(row, running)
		w.pass(5 * time.Second)
		if w.sessions.held("1AbC") != nil || w.session("1abc") != nil {
			t.Error("a revived row is alive")
		}
		w.expectReports(RepairDeleted)
		w.revive(row, running)
		w.pass(time.Minute)
		if w.sessions.held("1AbC") == nil || w.session("1abc") == nil {
			t.Error("a row that is back a second time was deleted again")
		}
		w.expectReports(RepairDeleted, RepairLeft)
	})
}

func TestDecision6ARowThatIsSomebodysDecisionIsLeftAlone(t *testing.T) {
	for why, test := range map[string]struct {
		after   time.Duration
		change  func(*ambientv1.Session)
		reports []string
	}{
		"its specification has changed": {0, func(row *ambientv1.Session) { row.Prompt = proto.String("again") }, []string{RepairLeft}},
		"long after the deletion":       {61 * time.Second, func(*ambientv1.Session) {}, nil},
	} {
		t.Run(why, func(t *testing.T) {
			deleted(t, func(w *world, row *ambientv1.Session) {
				w.pass(test.after)
				w.revive(row, test.change)
				w.pass(time.Minute)
				if w.sessions.held("1AbC") == nil || w.session("1abc") == nil {
					t.Error("it was deleted again")
				}
				w.expectReports(test.reports...)
			})
		})
	}
}
