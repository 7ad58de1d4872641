package replicas

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// failurePause is the pause after a failed request.
const failurePause = 50 * time.Millisecond

// writer creates, changes and deletes sessions of one project through kube-apiserver,
// one request after the other, and remembers what was acknowledged.
type writer struct {
	project string
	// want are the acknowledged display names by the names of sessions; an empty one
	// is of an acknowledged deletion.
	want map[string]string
	// open are the sessions of which the last request failed: it may have been
	// carried out, or not.
	open map[string]bool

	acknowledged, failed atomic.Int64
	// failure is why the last request failed that did.
	failure error
	faults  []string
}

// newProject creates a project as soon as kube-apiserver reaches who serves.
func newProject(t *testing.T) string {
	t.Helper()
	name := stand.Name(t)
	harness.Eventually(t, "a project can be created", func() error {
		_, err := stand.Ambient.AmbientV1alpha1().Projects().Create(t.Context(), &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	})
	return name
}

// startWriters starts writers that write until stop is called.
func startWriters(t *testing.T, count int) (writers []*writer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for range count {
		w := &writer{project: newProject(t), want: map[string]string{}, open: map[string]bool{}}
		writers = append(writers, w)
		writing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// A request that has begun is to end, so that its outcome is known.
				if !w.turn(context.WithoutCancel(ctx), i) {
					w.rest(ctx)
				}
			}
		})
	}
	return writers, func() {
		cancel()
		writing.Wait()
	}
}

// rest waits a little after a failure.
func (w *writer) rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(failurePause):
	}
}

// turn is the life of one session, of which every third one is deleted; false means
// that a request failed.
func (w *writer) turn(ctx context.Context, number int) bool {
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(w.project)
	name := "session-" + strconv.Itoa(number)
	session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SessionSpec{Prompt: "Say hello", DisplayName: "0"}}
	_, err := sessions.Create(ctx, session, metav1.CreateOptions{})
	if !w.note(name, "0", err) {
		return false
	}
	for i := 1; i <= 3; i++ {
		display := strconv.Itoa(i)
		_, err := sessions.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"displayName":%q}}`, display), metav1.PatchOptions{})
		if !w.note(name, display, err) {
			return false
		}
		// What was acknowledged is there for whoever serves now.
		read, err := sessions.Get(ctx, name, metav1.GetOptions{})
		if err == nil && read.Spec.DisplayName != display {
			w.faults = append(w.faults, fmt.Sprintf("%s/%s reads %q after %q was acknowledged", w.project, name, read.Spec.DisplayName, display))
		}
	}
	return number%3 != 0 || w.note(name, "", sessions.Delete(ctx, name, metav1.DeleteOptions{}))
}

// note remembers the outcome of a request that gives the session a display name.
func (w *writer) note(name, display string, err error) (acknowledged bool) {
	if err != nil {
		w.failed.Add(1)
		w.failure = err
		w.open[name] = true
		return false
	}
	w.acknowledged.Add(1)
	w.want[name] = display
	return true
}

// verify compares what was acknowledged with the upstream.
func (w *writer) verify(t *testing.T) {
	t.Helper()
	for _, fault := range w.faults {
		t.Error(fault)
	}
	sessions, err := stand.Ambient.AmbientV1alpha1().Sessions(w.project).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for i := range sessions.Items {
		names[sessions.Items[i].Status.SessionID] = sessions.Items[i].Name
	}
	rows := map[string][]*ambientv1.Session{}
	for _, row := range stand.Upstream.SessionsIn(t, w.project) {
		name := names[row.GetMetadata().GetId()]
		rows[name] = append(rows[name], row)
	}
	for name, display := range w.want {
		found := rows[name]
		switch {
		case w.open[name]:
		case display == "" && len(found) > 0:
			t.Errorf("%s/%s is there although its deletion was acknowledged", w.project, name)
		case display != "" && len(found) != 1:
			t.Errorf("%s/%s was acknowledged and has %d rows", w.project, name, len(found))
		case display != "" && found[0].GetName() != display:
			t.Errorf("%s/%s is %q, acknowledged was %q", w.project, name, found[0].GetName(), display)
		}
	}
	for i := range sessions.Items {
		// A second row of a name is shown under one of its own.
		if conditions := sessions.Items[i].Status.Conditions; meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionNameConflict) {
			t.Errorf("%s/%s was made twice", w.project, sessions.Items[i].Name)
		}
	}
}

// awaitProgress waits until each writer was told of some more successes.
func awaitProgress(t *testing.T, writers []*writer) {
	t.Helper()
	before := map[*writer]int64{}
	for _, w := range writers {
		before[w] = w.acknowledged.Load()
	}
	harness.Eventually(t, "everybody writes", func() error {
		for _, w := range writers {
			if made := w.acknowledged.Load() - before[w]; made < 5 {
				return fmt.Errorf("%s has made %d writes", w.project, made)
			}
		}
		return nil
	})
}

// awaitWrite waits until a session can be created through kube-apiserver.
func awaitWrite(t *testing.T, project, name string) {
	t.Helper()
	harness.Eventually(t, "a session can be created", func() error {
		session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SessionSpec{Prompt: "Say hello"}}
		_, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Create(t.Context(), session, metav1.CreateOptions{})
		return err
	})
}
