package backend

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// recorded is a session that was created through us under the name "mine".
func recorded(row *ambientv1.Session) {
	row.ProjectId, row.Name = proto.String("team"), "Mine"
	row.Annotations = proto.String(`{"ambient.io/kubernetes":"{\"name\":\"mine\",\"token\":\"t\"}"}`)
}

// wipe replaces the annotations as somebody does who does not know of our record.
func wipe(with string) func(*ambientv1.Session) {
	return func(row *ambientv1.Session) { row.Annotations = &with }
}

func (w *world) expectRecord(kept bool) {
	w.t.Helper()
	reserved, _ := translate.ReadReserved(w.sessions.held("1AbC").GetAnnotations())
	if (reserved.Name == "mine") != kept {
		w.t.Errorf("upstream stands %s", w.sessions.held("1AbC").GetAnnotations())
	}
	if w.session("mine") == nil || w.session("1abc") != nil {
		w.t.Error("the session goes by another name")
	}
}

func TestARecordThatSomebodyWipedIsWrittenAgain(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded}, func(w *world) {
		w.sessions.save("1AbC", wipe(`{"note":"theirs"}`))
		w.pass(10 * time.Second)
		w.expectRecord(true)
		if held := w.sessions.held("1AbC").GetAnnotations(); !strings.Contains(held, `"note":"theirs"`) {
			t.Errorf("their annotation is gone: %s", held)
		}
		w.expectReports(RepairRestored)
		w.pass(time.Hour)
		if times := w.sessions.written("UpdateSession"); times != 1 {
			t.Errorf("%d writes, want 1", times)
		}
	})
}

func TestAnnotationsThatCannotBeReadAreLeftAlone(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded}, func(w *world) {
		w.sessions.save("1AbC", wipe(`{"note":`))
		w.pass(time.Hour)
		if times := w.sessions.written("UpdateSession"); times != 0 || w.sessions.held("1AbC").GetAnnotations() != `{"note":` {
			t.Errorf("%d writes; upstream stands %s", times, w.sessions.held("1AbC").GetAnnotations())
		}
		w.expectReports()
	})
}

func TestWithSomebodyWhoInsistsNobodyCompetes(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded}, func(w *world) {
		for range 600 {
			w.sessions.save("1AbC", wipe(""))
			w.pass(time.Second)
		}
		// 2, 4, 8, 16, 32 s, and then every minute.
		if times := w.sessions.written("UpdateSession"); times < 8 || times > 15 {
			t.Errorf("%d writes in ten minutes, want about one a minute", times)
		}
	})
}

func TestARecordIsWrittenAgainWhenTheUpstreamCanBeWritten(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded}, func(w *world) {
		w.refuse(status.Error(codes.Unavailable, "no"))
		w.sessions.save("1AbC", wipe(""))
		w.pass(20 * time.Second)
		w.expectRecord(false)
		w.refuse(nil)
		w.pass(2 * time.Minute)
		w.expectRecord(true)
		w.expectReports(RepairRestored)
	})
}
