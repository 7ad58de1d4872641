package repair_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/repair"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func row(prompt, model, phase string) *ambientv1.Session {
	return &ambientv1.Session{Name: "fix", Prompt: proto.String(prompt), LlmModel: proto.String(model), Phase: proto.String(phase)}
}

// promptWrite is our change of the prompt from old to new.
func promptWrite() repair.Write {
	return repair.Write{
		Request: &ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("new")},
		Before:  row("old", "m", "Running"), After: row("new", "m", "Running"),
	}
}

func TestWhatCountsAsLost(t *testing.T) {
	for name, test := range map[string]struct {
		now  *ambientv1.Session
		lost bool
	}{
		"our value stands":                          {row("new", "m", "Stopped"), false},
		"ours went back beside another's change":    {row("old", "m", "Stopped"), true},
		"ours alone went back: somebody's decision": {row("old", "m", "Running"), false},
		"ours became something third":               {row("third", "m", "Stopped"), false},
	} {
		t.Run(name, func(t *testing.T) {
			memory := repair.NewMemory(time.Now)
			memory.Wrote("1", promptWrite())
			if _, lost := memory.Lost("1", test.now); lost != test.lost {
				t.Errorf("lost is %t, want %t", lost, test.lost)
			}
		})
	}
}

func TestALostWriteIsRepairedOnceAndInTime(t *testing.T) {
	now := time.Unix(0, 0)
	memory := repair.NewMemory(func() time.Time { return now })
	lost := row("old", "m", "Stopped")

	memory.Wrote("1", promptWrite())
	if _, found := memory.Lost("2", lost); found {
		t.Error("another row's write was found")
	}
	if _, found := memory.Lost("1", lost); !found {
		t.Error("the lost write was not found")
	}
	if _, found := memory.Lost("1", lost); found {
		t.Error("the write would be repaired twice")
	}
	memory.Wrote("1", promptWrite())
	now = now.Add(11 * time.Second)
	if _, found := memory.Lost("1", lost); found {
		t.Error("a row that went back after 11 s counts as a race")
	}
}

func TestOurOwnLaterWriteIsOurLastWord(t *testing.T) {
	memory := repair.NewMemory(time.Now)
	memory.Wrote("1", promptWrite())
	memory.Wrote("1", repair.Write{
		Request: &ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("old")},
		Before:  row("new", "m", "Running"), After: row("old", "m", "Running"),
	})
	if _, lost := memory.Lost("1", row("old", "m", "Stopped")); lost {
		t.Error("a value that we took back ourselves counts as lost")
	}
}

// Another write of ours may come before the repair; it carries the annotations on.
func TestWhatIsOutstandingAfterALaterWrite(t *testing.T) {
	annotated := func(r *ambientv1.Session, annotations string) *ambientv1.Session {
		r.Annotations = proto.String(annotations)
		return r
	}
	first := repair.Write{
		Request: &ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("new"), Annotations: proto.String("first")},
		Before:  annotated(row("old", "m", "Running"), "none"), After: annotated(row("new", "m", "Running"), "first"),
	}
	for name, test := range map[string]struct {
		later *ambientv1.UpdateSessionRequest
		now   *ambientv1.Session
		want  *ambientv1.UpdateSessionRequest
	}{
		"nothing was written since": {nil, annotated(row("old", "m", "Stopped"), "none"), &ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("new"), Annotations: proto.String("first")}},
		"another column was written": {
			&ambientv1.UpdateSessionRequest{Id: "1", LlmModel: proto.String("n"), Annotations: proto.String("second")},
			annotated(row("old", "n", "Stopped"), "second"), &ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("new")},
		},
		"the column was written back": {
			&ambientv1.UpdateSessionRequest{Id: "1", Prompt: proto.String("old"), Annotations: proto.String("second")},
			annotated(row("old", "m", "Stopped"), "second"), nil,
		},
		"the value is there again": {nil, annotated(row("new", "m", "Stopped"), "none"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			memory := repair.NewMemory(time.Now)
			if test.later != nil {
				memory.Wrote("1", repair.Write{Request: test.later, Before: first.After, After: test.now})
			}
			got, outstanding := memory.Outstanding("1", first, test.now)
			if outstanding != (test.want != nil) || outstanding && !proto.Equal(got.Request, test.want) {
				t.Errorf("outstanding is %v, %t; want %v", got.Request, outstanding, test.want)
			}
		})
	}
}

// A later write of ours shows before we know that it was made: it brings back the former
// value and changes another column, as a racing save does.
func TestWhatALaterWriteOfOursBroughtBackIsNotOutstanding(t *testing.T) {
	now := time.Unix(0, 0)
	memory := repair.NewMemory(func() time.Time { return now })
	report := func(phase string, before, after *ambientv1.Session) repair.Write {
		return repair.Write{Request: &ambientv1.UpdateSessionStatusRequest{Id: "1", Phase: &phase}, Before: before, After: after}
	}
	failed, pending, again := row("p", "m", "Failed"), row("p", "m", "Pending"), row("p", "m", "Failed")
	again.CompletionTime = &timestamppb.Timestamp{Seconds: 1}
	memory.Wrote("1", report("Pending", failed, pending))
	lost, found := memory.Lost("1", again)
	if !found {
		t.Fatal("the later write does not look like a racing save")
	}
	if _, outstanding := memory.Outstanding("1", lost, again); !outstanding {
		t.Error("nothing is outstanding although nothing was written since")
	}
	memory.Wrote("1", report("Failed", pending, again))
	expect := func(when string) {
		t.Helper()
		if _, outstanding := memory.Outstanding("1", lost, again); outstanding {
			t.Errorf("%s the former write would undo the later one", when)
		}
	}
	expect("at once")
	// A repair may wait for long, and other rows are written meanwhile.
	now = now.Add(time.Minute)
	memory.Wrote("2", promptWrite())
	expect("after a minute")
	memory.Repaired("1")
	memory.Wrote("2", promptWrite())
	if _, outstanding := memory.Outstanding("1", lost, again); !outstanding {
		t.Error("the later write is remembered for ever")
	}
}

func status(column string) bool { return column == "phase" }

func TestWhichRevivedRowsAreDeletedAgain(t *testing.T) {
	now := time.Unix(0, 0)
	memory := repair.NewMemory(func() time.Time { return now })
	expect := func(what, id string, back proto.Message, want repair.Revival) {
		t.Helper()
		if got := memory.Revived(id, back, status); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	memory.Deleted("1", row("p", "m", "Running"))
	expect("a row with other content", "1", row("other", "m", "Running"), repair.LeaveAlone)
	expect("a row that we never deleted", "2", row("p", "m", "Running"), repair.NotRevived)
	expect("a revived row that differs in its status", "1", row("p", "m", "Stopped"), repair.DeleteAgain)
	if !memory.StillDeleted("1", row("p", "m", "Stopped"), status) || memory.StillDeleted("1", row("edited", "m", "Stopped"), status) || memory.StillDeleted("2", row("p", "m", "Stopped"), status) {
		t.Error("what was deleted is mistaken")
	}
	expect("the same row a second time", "1", row("p", "m", "Stopped"), repair.LeaveAlone)
	memory.Deleted("1", row("p", "m", "Stopped"))
	expect("a row back after its repair", "1", row("p", "m", "Stopped"), repair.LeaveAlone)
	memory.Deleted("3", row("p", "m", "Running"))
	now = now.Add(61 * time.Second)
	expect("a row that came back after 61 s", "3", row("p", "m", "Running"), repair.NotRevived)
}

// Another database may have a row of the same id and content.
func TestARowOfAnotherTimeIsNoRevivedRow(t *testing.T) {
	memory := repair.NewMemory(time.Now)
	born := func(second int64) *ambientv1.Project {
		return &ambientv1.Project{Metadata: &ambientv1.ObjectReference{Id: "team", CreatedAt: &timestamppb.Timestamp{Seconds: second}}, Name: "team"}
	}
	memory.Deleted("team", born(1))
	if memory.Revived("team", born(2), status) == repair.DeleteAgain {
		t.Error("a namesake would be deleted")
	}
	if memory.Revived("team", born(1), status) != repair.DeleteAgain {
		t.Error("the deleted row was not recognised")
	}
}

func TestAtMostTenRevivedRowsAMinuteAreDeletedAgain(t *testing.T) {
	now := time.Unix(0, 0)
	memory := repair.NewMemory(func() time.Time { return now })
	counts := map[repair.Revival]int{}
	for i := range 15 {
		id := fmt.Sprint(i)
		memory.Deleted(id, row("p", "m", ""))
		counts[memory.Revived(id, row("p", "m", ""), status)]++
	}
	if counts[repair.DeleteAgain] != 10 || counts[repair.LeaveAlone] != 5 {
		t.Errorf("of 15 within a minute, %d would be deleted again, want 10, and %d left alone", counts[repair.DeleteAgain], counts[repair.LeaveAlone])
	}
}
