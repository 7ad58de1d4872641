package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// Somebody wipes the annotations upstream, our record with them, while no API server
// is there that would keep it.
func TestDecision13ALostNameIsRestoredFromTheAgenticSession(t *testing.T) {
	project := stand.NewProject(t)
	named := stand.NewSession(t, project, "named")
	id := named.Status.SessionID
	before := running(t, id)

	nothing := "{}"
	harness.Kill(t, stand.Stack.Extension)
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: id, Annotations: &nothing}); err != nil {
		t.Error(err)
	}
	harness.Restart(t, stand.Stack.Extension)
	awaitRow(t, id, "the name is recorded again", func(row *ambientv1.Session) error {
		if row.GetAnnotations() == nothing {
			return fmt.Errorf("the annotations are still empty")
		}
		return nil
	})
	harness.Eventually(t, "the session goes by its name alone", func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(t.Context(), metav1.ListOptions{LabelSelector: v1alpha1.SessionIDLabel + "=" + id})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Name != "named" || list.Items[0].UID != named.UID {
			return fmt.Errorf("there are %v", list.Items)
		}
		return nil
	})
	resources, err := resourcesOf(t, id)
	if err != nil || len(resources) != 1 || resources[0].GetUID() != before.GetUID() {
		t.Errorf("there are %d AgenticSessions (%v), want the one of before", len(resources), err)
	}
	edited := getSession(t, project, "named")
	metav1.SetMetaDataAnnotation(&edited.ObjectMeta, v1alpha1.RestoreNameAnnotation, "other")
	if _, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Update(t.Context(), edited, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("another name by an update: %v, want 422", err)
	}
}

// What has no column upstream outlives both at once: an edit of the annotations by
// somebody who does not know of our record, and a restart of our server.
func TestMetadataOutlivesAnEditOfTheAnnotationsAndARestart(t *testing.T) {
	project := stand.NewProject(t)
	session := stand.NewSession(t, project, "kept")
	held := []byte(`{"metadata":{"finalizers":["example.com/held"]}}`)
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	if _, err := sessions.Patch(t.Context(), "kept", types.MergePatchType, held, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	id, theirs := session.Status.SessionID, `{"note":"theirs"}`
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: id, Annotations: &theirs}); err != nil {
		t.Fatal(err)
	}
	awaitRow(t, id, "the record is there again", func(row *ambientv1.Session) error {
		if !strings.Contains(row.GetAnnotations(), "example.com/held") || !strings.Contains(row.GetAnnotations(), `"note":"theirs"`) {
			return fmt.Errorf("the annotations are %s", row.GetAnnotations())
		}
		return nil
	})
	harness.Kill(t, stand.Stack.Extension)
	harness.Restart(t, stand.Stack.Extension)
	after := getSession(t, project, "kept")
	if after.UID != session.UID || !slices.Equal(after.Finalizers, []string{"example.com/held"}) || len(after.ManagedFields) == 0 || after.Annotations["note"] != "theirs" {
		t.Errorf("after the restart: %+v", after.ObjectMeta)
	}
	if _, err := sessions.Patch(t.Context(), "kept", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
}
