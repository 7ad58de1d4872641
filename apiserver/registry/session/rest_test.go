package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
)

var dryRun = []string{metav1.DryRunAll}

func existing(name string, phase v1alpha1.SessionPhase) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "team-a", UID: "uid-" + "1", Generation: 3,
			CreationTimestamp: metav1.Now(), Labels: map[string]string{v1alpha1.SessionIDLabel: "2Abc"}},
		Spec:   v1alpha1.SessionSpec{DisplayName: name, CreatedBy: "ann", LLM: &v1alpha1.LLMSettings{Model: "m"}},
		Status: v1alpha1.SessionStatus{Phase: phase, SessionID: "2Abc", ProjectID: "team-a"},
	}
}

func create(s *stand, session *v1alpha1.Session, options *metav1.CreateOptions) (*v1alpha1.Session, error) {
	created, err := s.Session.Create(s.ctx, session, nil, options)
	if err != nil {
		return nil, err
	}
	return created.(*v1alpha1.Session), nil
}

// update changes a session through one of the storages.
func update(s *stand, storage rest.Storage, name string, change func(*v1alpha1.Session)) error {
	info := rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		session := old.DeepCopyObject().(*v1alpha1.Session)
		change(session)
		return session, nil
	})
	_, _, err := storage.(rest.Updater).Update(s.ctx, name, info, nil, nil, false, &metav1.UpdateOptions{})
	return err
}

func TestACreatedSessionBelongsToWhoeverAskedForIt(t *testing.T) {
	s := newStand(t, Hooks{})
	session, err := create(s, &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "fix-", Labels: map[string]string{v1alpha1.SessionIDLabel: "old", "a": "b"}},
		Spec:       v1alpha1.SessionSpec{LLM: &v1alpha1.LLMSettings{}, Workflow: &v1alpha1.Workflow{}, Environment: map[string]string{}},
		Status:     v1alpha1.SessionStatus{Phase: v1alpha1.SessionRunning, SessionID: "forged"},
	}, &metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(session.Name, "fix-") || session.Namespace != "team-a" || session.Generation != 1 {
		t.Errorf("metadata is %+v", session.ObjectMeta)
	}
	if _, labelled := session.Labels[v1alpha1.SessionIDLabel]; labelled || session.Labels["a"] != "b" {
		t.Errorf("labels are %v", session.Labels)
	}
	if session.Spec.CreatedBy != "ann" || session.Spec.DisplayName != session.Name {
		t.Errorf("created by %q, named %q", session.Spec.CreatedBy, session.Spec.DisplayName)
	}
	if session.Spec.LLM != nil || session.Spec.Workflow != nil || session.Spec.Environment != nil {
		t.Errorf("what says nothing is kept: %+v", session.Spec)
	}
	if session.Status.Phase != "" || session.Status.SessionID != "" {
		t.Errorf("the status of the request is kept: %+v", session.Status)
	}
	_, err = create(s, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.SessionSpec{CreatedBy: "bob"}}, &metav1.CreateOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.createdBy") {
		t.Errorf("another creator: %v", err)
	}
	if _, err = create(s, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: v1alpha1.SessionSpec{CreatedBy: "ann"}}, &metav1.CreateOptions{}); err != nil {
		t.Errorf("the same creator: %v", err)
	}
}

func TestHooksRefuseCreationsByEveryVerb(t *testing.T) {
	refusal := apierrors.NewForbidden(v1alpha1.Resource("sessions"), "a", errors.New("no project"))
	s := newStand(t, Hooks{BeforeCreate: func(_ context.Context, object runtime.Object) error {
		if session := object.(*v1alpha1.Session); session.Spec.CreatedBy == "" || session.Namespace == "" {
			t.Errorf("asked with an object that is not complete: %+v", session)
		}
		return refusal
	}})
	for name, try := range map[string]func() error{
		"create": func() error {
			_, err := create(s, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &metav1.CreateOptions{})
			return err
		},
		"dry run": func() error {
			_, err := create(s, &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &metav1.CreateOptions{DryRun: dryRun})
			return err
		},
		"apply": func() error {
			info := rest.DefaultUpdatedObjectInfo(&v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "team-a"}})
			_, _, err := s.Session.Update(s.ctx, "a", info, nil, nil, true, &metav1.UpdateOptions{})
			return err
		},
	} {
		if err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.stored(t, "a") != nil {
		t.Error("it was created all the same")
	}
}

func TestHooksRefuseDeletionsOneByOne(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	s := newStand(t, Hooks{BeforeDelete: func(_ context.Context, object runtime.Object) error {
		name := object.(*v1alpha1.Session).Name
		mu.Lock()
		asked = append(asked, name)
		mu.Unlock()
		if name == "kept" {
			return apierrors.NewForbidden(v1alpha1.Resource("sessions"), name, errors.New("kept"))
		}
		return nil
	}})
	for _, name := range []string{"gone", "kept", "dry"} {
		s.hold(existing(name, ""))
	}
	if _, _, err := s.Session.Delete(s.ctx, "kept", nil, &metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("deleting what is kept: %v", err)
	}
	if _, _, err := s.Session.Delete(s.ctx, "kept", nil, &metav1.DeleteOptions{DryRun: dryRun}); !apierrors.IsForbidden(err) {
		t.Errorf("a dry run of deleting what is kept: %v", err)
	}
	if _, _, err := s.Session.Delete(s.ctx, "dry", nil, &metav1.DeleteOptions{DryRun: dryRun}); err != nil || s.stored(t, "dry") == nil {
		t.Errorf("a dry run: %v, left %v", err, s.stored(t, "dry"))
	}
	mu.Lock()
	asked = nil
	mu.Unlock()
	if _, err := s.Session.DeleteCollection(s.ctx, nil, &metav1.DeleteOptions{}, &internalversion.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("deleting the collection: %v", err)
	}
	if s.stored(t, "kept") == nil || s.stored(t, "gone") != nil || s.stored(t, "dry") != nil {
		t.Errorf("left %v, %v, %v", s.stored(t, "kept"), s.stored(t, "gone"), s.stored(t, "dry"))
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Sort(asked); !slices.Equal(asked, []string{"dry", "gone", "kept"}) {
		t.Errorf("asked for %v", asked)
	}
}

func TestASessionWithAFinalizerWaitsForIt(t *testing.T) {
	s := newStand(t, Hooks{})
	session := existing("a", "")
	session.Finalizers = []string{"example.com/f"}
	s.hold(session)
	_, deleted, err := s.Session.Delete(s.ctx, "a", nil, &metav1.DeleteOptions{})
	if err != nil || deleted {
		t.Fatalf("deleted %t, %v", deleted, err)
	}
	if held := s.stored(t, "a"); held == nil || held.DeletionTimestamp == nil {
		t.Fatalf("held is %+v", held)
	}
	if err := update(s, s.Session, "a", func(session *v1alpha1.Session) { session.Finalizers = nil }); err != nil {
		t.Fatal(err)
	}
	if s.stored(t, "a") != nil {
		t.Error("it is still there without its finalizer")
	}
}

func TestGenerationFollowsTheSpecAlone(t *testing.T) {
	s := newStand(t, Hooks{})
	s.hold(existing("a", ""))
	for _, step := range []struct {
		name       string
		storage    rest.Storage
		change     func(*v1alpha1.Session)
		generation int64
	}{
		{"labels", s.Session, func(session *v1alpha1.Session) { session.Labels["x"] = "y" }, 3},
		{"status by the wrong path", s.Session, func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionFailed }, 3},
		{"an empty list", s.Session, func(session *v1alpha1.Session) { session.Spec.Repositories = []v1alpha1.Repository{} }, 3},
		{"the prompt", s.Session, func(session *v1alpha1.Session) { session.Spec.Prompt = "x" }, 4},
		{"status", s.Status, func(session *v1alpha1.Session) { session.Status.Phase = v1alpha1.SessionRunning }, 4},
		{"spec by the wrong path", s.Status, func(session *v1alpha1.Session) { session.Spec.Prompt = "y" }, 4},
	} {
		if err := update(s, step.storage, "a", step.change); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := s.stored(t, "a").Generation; got != step.generation {
			t.Errorf("after %s generation is %d, want %d", step.name, got, step.generation)
		}
	}
	held := s.stored(t, "a")
	if held.Status.Phase != v1alpha1.SessionRunning || held.Spec.Prompt != "x" || held.Labels["x"] != "y" {
		t.Errorf("held is %+v", held)
	}
}

func TestAStatusUpdateLeavesTheRestAlone(t *testing.T) {
	s := newStand(t, Hooks{})
	session := existing("a", v1alpha1.SessionRunning)
	session.Status.AgenticSession = &v1alpha1.AgenticSessionReference{Name: "2Abc"}
	s.hold(session)
	if err := update(s, s.Status, "a", func(session *v1alpha1.Session) {
		session.Labels, session.Annotations, session.Finalizers = nil, map[string]string{"a": "b"}, []string{"example.com/f"}
		session.Status = v1alpha1.SessionStatus{Phase: v1alpha1.SessionStopping}
	}); err != nil {
		t.Fatal(err)
	}
	held := s.stored(t, "a")
	if held.Labels[v1alpha1.SessionIDLabel] != "2Abc" || held.Annotations != nil || held.Finalizers != nil {
		t.Errorf("metadata is %+v", held.ObjectMeta)
	}
	status := held.Status
	if status.Phase != v1alpha1.SessionStopping || status.SessionID != "2Abc" || status.ProjectID != "team-a" || status.AgenticSession == nil || status.AgenticSession.Name != "2Abc" {
		t.Errorf("status is %+v", status)
	}
	err := update(s, s.Status, "a", func(session *v1alpha1.Session) { session.ResourceVersion = "1" })
	if !apierrors.IsConflict(err) {
		t.Errorf("a stale resourceVersion: %v", err)
	}
	if err := update(s, s.Status, "none", func(*v1alpha1.Session) {}); !apierrors.IsNotFound(err) {
		t.Errorf("a session that is not there: %v", err)
	}
}

func TestStartAndStopFollowThePhase(t *testing.T) {
	all := []v1alpha1.SessionPhase{"", v1alpha1.SessionPending, v1alpha1.SessionCreating, v1alpha1.SessionRunning,
		v1alpha1.SessionStopping, v1alpha1.SessionStopped, v1alpha1.SessionCompleted, v1alpha1.SessionFailed, "Unheard"}
	allowed := map[string][]v1alpha1.SessionPhase{
		"start": {"", v1alpha1.SessionStopped, v1alpha1.SessionFailed, v1alpha1.SessionCompleted},
		"stop":  {v1alpha1.SessionRunning, v1alpha1.SessionCreating, v1alpha1.SessionPending},
	}
	leads := map[string]v1alpha1.SessionPhase{"start": v1alpha1.SessionPending, "stop": v1alpha1.SessionStopping}
	type told struct{ name, action, reason string }
	var heard []told
	s := newStand(t, Hooks{AfterRequest: func(_ context.Context, session *v1alpha1.Session, action, reason string) {
		heard = append(heard, told{session.Name, action, reason})
	}})
	actions := map[string]rest.NamedCreater{"start": s.Start.(rest.NamedCreater), "stop": s.Stop.(rest.NamedCreater)}
	for action, storage := range actions {
		for _, phase := range all {
			s.hold(existing("a", phase))
			heard = nil
			request := &v1alpha1.SessionRequest{Reason: "because"}
			ok := slices.Contains(allowed[action], phase)

			_, err := storage.Create(s.ctx, "a", request, nil, &metav1.CreateOptions{DryRun: dryRun})
			if (err == nil) != ok || s.stored(t, "a").Status.Phase != phase || len(heard) != 0 {
				t.Errorf("dry run of %s in %q: %v, phase %q, heard %v", action, phase, err, s.stored(t, "a").Status.Phase, heard)
			}
			answer, err := storage.Create(s.ctx, "a", request, nil, nil)
			if !ok {
				if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), "in phase "+phaseName(phase)) || s.stored(t, "a").Status.Phase != phase {
					t.Errorf("%s in %q: %v", action, phase, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s in %q: %v", action, phase, err)
				continue
			}
			if got := answer.(*v1alpha1.Session); got.Status.Phase != leads[action] || s.stored(t, "a").Status.Phase != leads[action] || got.Generation != 3 {
				t.Errorf("%s in %q leads to %q, generation %d", action, phase, got.Status.Phase, got.Generation)
			}
			if !slices.Equal(heard, []told{{"a", action, "because"}}) {
				t.Errorf("%s in %q: heard %v", action, phase, heard)
			}
		}
	}
}

func TestStartAndStopRefuseWhatMakesNoSense(t *testing.T) {
	s := newStand(t, Hooks{})
	start, stop := s.Start.(rest.NamedCreater), s.Stop.(rest.NamedCreater)
	dying := existing("dying", v1alpha1.SessionStopped)
	now := metav1.Now()
	dying.DeletionTimestamp, dying.Finalizers = &now, []string{"example.com/f"}
	s.hold(dying)
	s.hold(existing("a", v1alpha1.SessionRunning))
	denied := errors.New("denied")
	for name, row := range map[string]struct {
		err error
		is  func(error) bool
	}{
		"no such session":         {second(start.Create(s.ctx, "none", &v1alpha1.SessionRequest{}, nil, nil)), apierrors.IsNotFound},
		"another name":            {second(stop.Create(s.ctx, "a", &v1alpha1.SessionRequest{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, nil, nil)), apierrors.IsBadRequest},
		"another kind":            {second(stop.Create(s.ctx, "a", &v1alpha1.Project{}, nil, nil)), apierrors.IsBadRequest},
		"a reason that is long":   {second(stop.Create(s.ctx, "a", &v1alpha1.SessionRequest{Reason: strings.Repeat("x", 2000)}, nil, nil)), apierrors.IsInvalid},
		"a reason with NUL":       {second(stop.Create(s.ctx, "a", &v1alpha1.SessionRequest{Reason: "\x00"}, nil, nil)), apierrors.IsInvalid},
		"starting a dying one":    {second(start.Create(s.ctx, "dying", &v1alpha1.SessionRequest{}, nil, nil)), apierrors.IsConflict},
		"what admission does not": {second(stop.Create(s.ctx, "a", &v1alpha1.SessionRequest{}, func(context.Context, runtime.Object) error { return denied }, nil)), func(err error) bool { return errors.Is(err, denied) }},
	} {
		if !row.is(row.err) {
			t.Errorf("%s: %v", name, row.err)
		}
	}
	if phase := s.stored(t, "a").Status.Phase; phase != v1alpha1.SessionRunning {
		t.Errorf("phase is %q", phase)
	}
}

func second[T any](_ T, err error) error { return err }
