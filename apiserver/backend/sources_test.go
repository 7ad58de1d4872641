package backend

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// The answer to a write carries nanoseconds, what is read later carries
// microseconds, rounded: both are the same state.
func TestAnAnswerAndTheRowThatIsReadLaterAreTheSame(t *testing.T) {
	row := func(nanoseconds time.Duration) *ambientv1.Session {
		at := func() *timestamppb.Timestamp { return timestamppb.New(time.Unix(7, 0).Add(nanoseconds)) }
		return roundSession(&ambientv1.Session{Metadata: &ambientv1.ObjectReference{Id: "1", CreatedAt: at(), UpdatedAt: at()}, StartTime: at(), Phase: proto.String("Running")})
	}
	facts := rowFacts[*ambientv1.Session]{}
	for answered, stored := range map[time.Duration]time.Duration{1499: 1000, 1501: 2000, 999_999_700: time.Second} {
		after, later := row(answered), row(stored)
		if !proto.Equal(after, later) || !facts.UpdatedAt(after).Equal(facts.UpdatedAt(later)) {
			t.Errorf("an answer with %d ns is %v, what is read later %v", answered, after, later)
		}
	}
	moved := row(2000)
	moved.Metadata.UpdatedAt = timestamppb.New(time.Unix(9, 0))
	if !facts.Equal(row(2000), moved) {
		t.Error("a row that differs only in the time of its last change is another state")
	}
}
