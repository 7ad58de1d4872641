package backend

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// PushSessionMessage stores a message, and then loses the answer if answers are lost.
func (f *fakeSessions) PushSessionMessage(_ context.Context, in *ambientv1.PushSessionMessageRequest, _ ...grpc.CallOption) (*ambientv1.SessionMessage, error) {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls["PushSessionMessage"]++
	if f.refusePush != nil {
		return nil, f.refusePush
	}
	f.messages = append(f.messages, in.GetSessionId()+" "+in.GetEventType()+": "+in.GetPayload())
	return &ambientv1.SessionMessage{}, f.lost
}

// push makes the upstream's answer to messages the error, or lets them be stored.
func (w *world) push(refuse error) {
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	w.sessions.refusePush = refuse
}

// prompted creates a session with a prompt.
func (w *world) prompted(name, prompt string) {
	w.t.Helper()
	err := w.Sessions.Create(w.t.Context(), SessionsPrefix+"/team/"+name, &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name},
		Spec:       v1alpha1.SessionSpec{Prompt: prompt},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// expectMessages fails the test unless exactly these messages are stored, and so many
// calls were made for them.
func (w *world) expectMessages(calls int, want ...string) {
	w.t.Helper()
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	if !slices.Equal(w.sessions.messages, want) || w.sessions.calls["PushSessionMessage"] != calls {
		w.t.Errorf("stored are %q after %d calls, want %q after %d", w.sessions.messages, w.sessions.calls["PushSessionMessage"], want, calls)
	}
}

func TestDecision30ThePromptIsTheFirstMessage(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.prompted("fix", "Fix it")
		w.expectMessages(1, "made-fix user: Fix it")
		w.prompted("silent", "")
		w.pass(time.Hour)
		w.expectMessages(1, "made-fix user: Fix it")
	})
}

// Whether a message was stored is not known when the answer is lost, and two are worse
// than none.
func TestDecision30APromptIsNotStoredTwice(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.loseAnswers()
		w.prompted("fix", "Fix it")
		w.pass(time.Hour)
		w.expectMessages(1, "made-fix user: Fix it")
	})
}

func TestDecision30APromptThatWasRefusedIsStoredLater(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.push(status.Error(codes.PermissionDenied, "not yet"))
		w.prompted("fix", "Fix it")
		w.expectMessages(1)
		w.push(nil)
		w.pass(10 * time.Second)
		w.expectMessages(2, "made-fix user: Fix it")
		// It is tried for a minute.
		w.push(status.Error(codes.PermissionDenied, "no"))
		w.prompted("later", "And this")
		w.pass(2 * time.Minute)
		w.push(nil)
		w.pass(time.Hour)
		w.sessions.mu.Lock()
		defer w.sessions.mu.Unlock()
		if len(w.sessions.messages) != 1 {
			w.t.Errorf("stored are %q", w.sessions.messages)
		}
	})
}

// The platform's servers of before know no messages.
func TestDecision30AnUpstreamWithoutMessagesIsAskedOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.push(status.Error(codes.Unimplemented, "unknown method"))
		w.prompted("one", "Do this")
		w.prompted("two", "Do that")
		w.pass(time.Hour)
		w.expectMessages(1)
	})
}
