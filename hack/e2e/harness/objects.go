package harness

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// NewProject creates a project that no other test uses and returns its name,
// which is the namespace of its sessions, too.
func (s *Stand) NewProject(t testing.TB) string {
	t.Helper()
	name := s.Name(t)
	project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := s.Ambient.AmbientV1alpha1().Projects().Create(t.Context(), project, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating project %s: %v", name, err)
	}
	return name
}

// NewSession creates a session by client-go.
func (s *Stand) NewSession(t testing.TB, project, name string) *v1alpha1.Session {
	t.Helper()
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: project, Name: name},
		Spec:       v1alpha1.SessionSpec{Prompt: "Say hello"},
	}
	created, err := s.Ambient.AmbientV1alpha1().Sessions(project).Create(t.Context(), session, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating session %s/%s: %v", project, name, err)
	}
	return created
}

// CreateSession creates a session as a user of the upstream does.
func (u *Upstream) CreateSession(t testing.TB, request *ambientv1.CreateSessionRequest) *ambientv1.Session {
	t.Helper()
	row, err := u.Sessions.CreateSession(t.Context(), request)
	if err != nil {
		t.Fatalf("creating a session upstream: %v", err)
	}
	return row
}

// SetPhase sets the phase of a session as the upstream's users do.
func (u *Upstream) SetPhase(t testing.TB, id string, phase v1alpha1.SessionPhase) {
	t.Helper()
	text := string(phase)
	if _, err := u.Sessions.UpdateSessionStatus(t.Context(), &ambientv1.UpdateSessionStatusRequest{Id: id, Phase: &text}); err != nil {
		t.Fatalf("setting the phase of %s upstream: %v", id, err)
	}
}

// DeleteSession deletes a session as the upstream's users do.
func (u *Upstream) DeleteSession(t testing.TB, id string) {
	t.Helper()
	if _, err := u.Sessions.DeleteSession(t.Context(), &ambientv1.DeleteSessionRequest{Id: id}); err != nil {
		t.Fatalf("deleting session %s upstream: %v", id, err)
	}
}
