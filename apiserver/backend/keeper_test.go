package backend

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
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

const malformed = `{"note":`

// held is a session that was created through us under the name "mine", with a finalizer.
func held(row *ambientv1.Session) {
	recorded(row)
	row.Annotations = proto.String(`{"ambient.io/kubernetes":"{\"name\":\"mine\",\"cluster\":\"cluster\",\"finalizers\":[\"example.com/hold\"]}"}`)
}

// expectHeld fails the test unless the session goes by its name, with its finalizer,
// and says whether its annotations can be read.
func (w *world) expectHeld(readable bool) {
	w.t.Helper()
	session := w.session("mine")
	if session == nil || w.session("1abc") != nil {
		w.t.Fatal("the session goes by another name")
	}
	if !slices.Equal(session.Finalizers, []string{"example.com/hold"}) {
		w.t.Errorf("its finalizers are %q", session.Finalizers)
	}
	translated := meta.FindStatusCondition(session.Status.Conditions, v1alpha1.ConditionTranslated)
	if (translated == nil) != readable || translated != nil && !strings.Contains(translated.Message, "annotations is not a JSON object") {
		w.t.Errorf("Translated: %+v", translated)
	}
}

// Annotations that are no JSON object are somebody's, and are left alone; what was
// recorded in them is not forgotten meanwhile, and written when there is a place for it.
func TestARecordOutlivesAnnotationsThatCannotBeRead(t *testing.T) {
	for _, repaired := range []string{`{}`, ``, `null`, `{"note":"theirs"}`} {
		t.Run(repaired, func(t *testing.T) {
			inWorld(t, map[string]func(*ambientv1.Session){"1AbC": held}, func(w *world) {
				for _, text := range []string{"not json", malformed} {
					w.sessions.save("1AbC", wipe(text))
					w.pass(time.Hour)
					w.expectHeld(false)
					if times := w.sessions.written("UpdateSession"); times != 0 || w.sessions.held("1AbC").GetAnnotations() != text {
						t.Errorf("%d writes; upstream stands %s", times, w.sessions.held("1AbC").GetAnnotations())
					}
				}
				w.expectReports()
				w.sessions.save("1AbC", wipe(repaired))
				w.pass(10 * time.Second)
				w.expectHeld(true)
				w.expectRecord(true)
				w.expectReports(RepairRestored)
			})
		})
	}
}

func TestAnnotationsThatBecomeMalformedMeanwhileAreLeftAlone(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": held}, func(w *world) {
		w.sessions.save("1AbC", wipe(""))
		w.pass(1500 * time.Millisecond)
		w.sessions.save("1AbC", wipe(malformed))
		w.pass(time.Hour)
		w.expectHeld(false)
		if times := w.sessions.written("UpdateSession"); times != 0 {
			t.Errorf("%d writes; upstream stands %s", times, w.sessions.held("1AbC").GetAnnotations())
		}
	})
}

func TestMalformedAnnotationsAreReplacedByAChangeOfMetadataOnly(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": held}, func(w *world) {
		w.sessions.save("1AbC", wipe(malformed))
		w.pass(5 * time.Second)
		w.update("mine", func(session *v1alpha1.Session) { session.Spec.Prompt = "new" })
		w.expectHeld(false)
		if row := w.sessions.held("1AbC"); row.GetPrompt() != "new" || row.GetAnnotations() != malformed {
			t.Errorf("upstream stands %v", row)
		}
		w.update("mine", func(session *v1alpha1.Session) { session.Labels["x"], session.Finalizers = "y", nil })
		w.expectRecord(true)
		if session := w.session("mine"); session == nil || len(session.Finalizers) > 0 {
			t.Errorf("shown is %+v", session)
		}
		w.pass(time.Hour)
		w.expectReports()
	})
}

// What is compared with a revived row is what the upstream held, not what was carried on.
func TestDecision6ARevivedRowWithMalformedAnnotationsIsDeletedAgain(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": recorded, "2DeF": prompted}, func(w *world) {
		row := w.sessions.save("1AbC", wipe(malformed))
		w.pass(5 * time.Second)
		if err := w.Sessions.Delete(w.t.Context(), SessionsPrefix+"/team/mine", nil); err != nil {
			t.Fatal(err)
		}
		w.revive(row, func(next *ambientv1.Session) { next.Phase = proto.String("Running") })
		w.pass(5 * time.Second)
		if w.sessions.held("1AbC") != nil {
			t.Error("a revived row is alive")
		}
		w.expectReports(RepairDeleted)
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
