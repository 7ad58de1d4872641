package api

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

const writers = 20

// together runs the function for each writer at the same time and waits for all.
func together(run func(writer int)) {
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { run(i) })
	}
	group.Wait()
}

// The upstream loses every second of two writes that meet. Through us none is
// lost, neither of the same kind nor a status beside a spec.
func TestConcurrentWritersLoseNothing(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	id := newSession(t, project, "busy").Status.SessionID
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	together(func(writer int) {
		patch, subresources := fmt.Sprintf(`{"spec":{"environment":{"W%d":"x"}}}`, writer), []string(nil)
		if writer%2 == 1 {
			patch, subresources = fmt.Sprintf(`{"status":{"sdkRestartCount":%d,"phase":"Running"}}`, writer), []string{"status"}
		}
		if _, err := sessions.Patch(t.Context(), "busy", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...); err != nil {
			t.Errorf("writer %d: %v", writer, err)
		}
	})
	session, row := getSession(t, project, "busy"), stand.Upstream.Session(t, id)
	if got := len(session.Spec.Environment); got != writers/2 {
		t.Errorf("%d of %d variables are there: %v", got, writers/2, session.Spec.Environment)
	}
	if session.Status.Phase != v1alpha1.SessionRunning || row.GetPhase() != "Running" || row.SdkRestartCount == nil {
		t.Errorf("the status is %+v, the row %v", session.Status, row)
	}
}

// Of many who replace what they all read, one wins; the others are told.
func TestOfManyReplacementsOneWins(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	read := newSession(t, project, "wanted")
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	var won, lost atomic.Int32
	var winner atomic.Value
	together(func(writer int) {
		mine := read.DeepCopy()
		mine.Spec.Prompt = fmt.Sprintf("prompt of %d", writer)
		_, err := sessions.Update(t.Context(), mine, metav1.UpdateOptions{})
		switch {
		case err == nil:
			won.Add(1)
			winner.Store(mine.Spec.Prompt)
		case apierrors.IsConflict(err):
			lost.Add(1)
		default:
			t.Errorf("writer %d: %v", writer, err)
		}
	})
	if won.Load() != 1 || lost.Load() != writers-1 {
		t.Fatalf("%d won and %d lost", won.Load(), lost.Load())
	}
	if prompt := stand.Upstream.Session(t, read.Status.SessionID).GetPrompt(); prompt != winner.Load() {
		t.Errorf("the upstream holds %q, the winner wrote %q", prompt, winner.Load())
	}
}

// Of many who create the same session, one wins, and there is one row.
func TestOfManyCreationsOneWins(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	var won atomic.Int32
	together(func(writer int) {
		_, err := sessions.Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "same"}}, metav1.CreateOptions{})
		switch {
		case err == nil:
			won.Add(1)
		case !apierrors.IsAlreadyExists(err):
			t.Errorf("writer %d: %v", writer, err)
		}
	})
	if rows := stand.Upstream.SessionsIn(t, project); won.Load() != 1 || len(rows) != 1 {
		t.Errorf("%d won, there are %d rows", won.Load(), len(rows))
	}
}

// What a client wrote it reads back at once, on every verb.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	for i := range 30 {
		name := fmt.Sprintf("s-%d", i)
		created, err := sessions.Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"number": name}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := getSession(t, project, name); got.ResourceVersion != created.ResourceVersion || got.UID != created.UID {
			t.Fatalf("%s was created at version %s with UID %s and is read at %s with %s", name, created.ResourceVersion, created.UID, got.ResourceVersion, got.UID)
		}
		for _, options := range []metav1.ListOptions{
			{LabelSelector: "number=" + name},
			{FieldSelector: "metadata.name=" + name},
			{LabelSelector: "number=" + name, ResourceVersion: created.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
			{LabelSelector: "number=" + name, ResourceVersion: created.ResourceVersion, ResourceVersionMatch: metav1.ResourceVersionMatchExact},
		} {
			list, err := sessions.List(t.Context(), options)
			if err != nil || len(list.Items) != 1 {
				t.Fatalf("%+v: %d items, %v", options, len(list.Items), err)
			}
		}
		if i%2 == 0 {
			continue
		}
		if err := sessions.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := sessions.Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Fatalf("%s was deleted and is read: %v", name, err)
		}
	}
	if names, err := namesIn(t.Context(), project); err != nil || len(names) != 15 {
		t.Errorf("%d sessions are left: %v", len(names), err)
	}
}

// An informer sees what many do, on both sides, and ends equal to the upstream.
func TestAnInformerEndsEqualToTheUpstream(t *testing.T) {
	project := newProject(t)
	mirror := stand.NewMirror(t)
	together(func(writer int) {
		name := fmt.Sprintf("s-%d", writer)
		session := newSession(t, project, name)
		stand.Upstream.SetPhase(t, session.Status.SessionID, v1alpha1.SessionRunning)
		switch writer % 3 {
		case 0:
			stand.Upstream.DeleteSession(t, session.Status.SessionID)
		case 1:
			patch := []byte(`{"spec":{"prompt":"changed"}}`)
			if _, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				t.Errorf("changing %s: %v", name, err)
			}
		}
	})
	mirror.AwaitEqual(t)
	if got := len(stand.Upstream.SessionsIn(t, project)); got != writers-(writers+2)/3 {
		t.Errorf("%d rows are left", got)
	}
	harness.Eventually(t, "the API lists the same", func() error {
		names, err := namesIn(t.Context(), project)
		if err == nil && len(names) != writers-(writers+2)/3 {
			err = fmt.Errorf("%d sessions", len(names))
		}
		return err
	})
}
