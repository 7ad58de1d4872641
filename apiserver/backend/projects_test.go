package backend

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// When the last finalizer of a project goes, nobody asks a second time whether it has
// sessions: they may have come after the deletion was asked for.
func TestAProjectIsNotDeletedUnderItsSessions(t *testing.T) {
	inWorld(t, map[string]func(*ambientv1.Session){"1AbC": prompted}, func(w *world) {
		project, err := w.Projects.Find(w.t.Context(), "team")
		if err != nil || project == nil {
			w.t.Fatalf("the project is %v, %v", project, err)
		}
		remove := func() error {
			return w.Projects.Delete(w.t.Context(), ProjectsPrefix+"/team", project)
		}
		if err := remove(); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "still has 1 sessions") {
			w.t.Errorf("with a session: %v", err)
		}
		project = project.DeepCopy()
		project.Annotations = map[string]string{v1alpha1.AllowCascadeAnnotation: "true"}
		// Somebody makes another one while those that were there are deleted.
		w.sessions.deleting = func() { w.sessions.save("2DeF", prompted); w.pass(5 * time.Second) }
		if err := remove(); !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "new sessions") {
			w.t.Errorf("with a session that came meanwhile: %v", err)
		}
		w.sessions.deleting = nil
		if err := remove(); err != nil {
			w.t.Errorf("with its sessions: %v", err)
		}
		if left := w.Sessions.InProject("team"); len(left) != 0 {
			w.t.Errorf("%v outlived their project", left)
		}
	})
}
