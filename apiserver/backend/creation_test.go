package backend

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

// createSession creates a session under the name, which was generated if a prefix is
// given.
func (w *world) createSession(name, prefix string) error {
	return w.Sessions.Create(w.t.Context(), SessionsPrefix+"/team/"+name, &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, GenerateName: prefix},
		Spec:       v1alpha1.SessionSpec{DisplayName: name},
	})
}

// loseAnswers makes the upstream do what it is asked, and the answers go astray.
func (w *world) loseAnswers() {
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	w.sessions.lost = errCut
}

// goAway makes listings fail, or no more.
func (w *world) goAway(err error) {
	w.sessions.mu.Lock()
	defer w.sessions.mu.Unlock()
	w.sessions.away = err
}

// expectNoHint fails the test if a client would try again by itself, or if the message
// does not name the object.
func expectNoHint(t *testing.T, err error, name string) {
	t.Helper()
	if !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "kubectl get ") {
		t.Errorf("the failure is %v, want 503 with the name and what to do", err)
	}
	if after, given := apierrors.SuggestsClientDelay(err); given {
		t.Errorf("it is to be tried again after %d s", after)
	}
}

// Clients try again by themselves when they are told after which time. The next try of
// one that left the name to us bears another name, and would make a second row.
func TestDecision5AGeneratedNameIsNotTriedAgainWhileTheOutcomeIsUnknown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.loseAnswers()
		w.goAway(errCut)
		expectNoHint(w.t, w.createSession("fix-x7k2p", "fix-"), "sessions.ambient.io fix-x7k2p --namespace=team")
		expectUnavailable(w.t, "a creation under a name of the client's own", w.createSession("mine", ""))
		w.goAway(nil)
		w.pass(10 * time.Second)
		if w.session("fix-x7k2p") == nil || w.session("mine") == nil {
			w.t.Error("what was created is not shown under its name")
		}
		if times := w.sessions.written("CreateSession"); times != 2 {
			w.t.Errorf("%d rows, want 2", times)
		}
	})
}

func TestDecision5AGeneratedNameIsFoundByTheListingThatTells(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.loseAnswers()
		if err := w.createSession("fix-x7k2p", "fix-"); err != nil {
			w.t.Errorf("it was created, and the answer is %v", err)
		}
		// Nothing was made, and a listing tells.
		w.refuse(status.Error(codes.Unavailable, "no"))
		expectUnavailable(w.t, "a creation that failed", w.createSession("fix-9d2ld", "fix-"))
	})
}

// The same for a project, whose name is its id.
func TestDecision5AGeneratedProjectIsNotTriedAgainWhileTheOutcomeIsUnknown(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		create := func(name, prefix string) error {
			return w.Projects.Create(w.t.Context(), ProjectsPrefix+"/"+name, &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name, GenerateName: prefix}})
		}
		expectNoHint(w.t, create("group-x7k2p", "group-"), "projects.ambient.io group-x7k2p)")
		expectUnavailable(w.t, "a creation under a name of the client's own", create("group", ""))
	})
}
