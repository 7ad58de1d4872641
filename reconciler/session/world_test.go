package session

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

const (
	namespace = "payments"
	id        = "2AbC"
)

var theKey = Key{Namespace: namespace, ID: id}

// world holds Sessions and AgenticSessions as their API servers would, and plays
// both for a Controller. It keeps the rules that the controller leans on:
// resource versions, refused writes, ownership of applied fields, and that the
// upstream can forget neither a phase nor a time.
type world struct {
	t   *testing.T
	now time.Time

	version   int
	sessions  map[string]*v1alpha1.Session
	resources map[string]*unstructured.Unstructured
	// fault, if set, is asked before and after each request whether it fails
	// there.
	fault func(after bool) error
	// writes counts the writes by what they wrote.
	writes map[string]int

	obstacle  Obstacle
	unstarted Obstacle
	held      bool
	// absences counts how often the brake was told that a session is absent.
	absences int
	// obstacles are those of further namespaces.
	obstacles map[string]Obstacle
	// refusal, if set, is the answer to writes of AgenticSessions.
	refusal error
	// refuseNames refuses to give names back.
	refuseNames bool
	// fill, if set, fills in what the definition of AgenticSessions does.
	fill func(resource *unstructured.Unstructured)
	// outage, if set, is the answer to writes of a Session's status.
	outage error
	// made counts the AgenticSessions that were made, and told holds those that the
	// present controller was told of by an answer.
	made int
	told map[types.UID]bool
	// sessionReads counts how often a single Session was read.
	sessionReads int
	// freshness and busy are those of the controllers.
	freshness Freshness
	busy      func() bool

	sessionStore, resourceStore cache.Indexer
	events                      *record.FakeRecorder
	controller                  *Controller
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC),
		sessions: map[string]*v1alpha1.Session{}, resources: map[string]*unstructured.Unstructured{},
		writes: map[string]int{},
	}
	w.restart()
	return w
}

// restart replaces the controller by one without memory, whose informers have
// just listed.
func (w *world) restart() {
	w.sessionStore = cache.NewIndexer(cache.MetaNamespaceKeyFunc, Indexers())
	w.resourceStore = cache.NewIndexer(cache.MetaNamespaceKeyFunc, Indexers())
	w.told = map[types.UID]bool{}
	w.events = record.NewFakeRecorder(500)
	w.controller = New(Options{
		Client: w, Sessions: w.sessionStore, Resources: w.resourceStore,
		Gate: w, Starts: w, Brake: w, Events: w.events, Freshness: w.freshness, Busy: w.busy, Coalesce: 0, Now: func() time.Time { return w.now },
	})
	w.sync()
}

// Obstacle implements Gate.
func (w *world) Obstacle(namespace string) Obstacle {
	if obstacle, found := w.obstacles[namespace]; found {
		return obstacle
	}
	return w.obstacle
}

// Unstarted implements Starts.
func (w *world) Unstarted(*v1alpha1.Session) (string, string) {
	return w.unstarted.Reason, w.unstarted.Message
}

// Absent implements Brake.
func (w *world) Absent(string) (bool, time.Duration) {
	w.absences++
	return !w.held, time.Second
}

// Present implements Brake.
func (w *world) Present(string) {}

// sync lets the informers catch up.
func (w *world) sync() {
	w.syncSessions()
	w.syncResources()
}

func (w *world) syncSessions() {
	for _, object := range w.sessionStore.List() {
		session := object.(*v1alpha1.Session)
		if live := w.sessions[session.Name]; live == nil || live.UID != session.UID {
			w.check(w.sessionStore.Delete(session))
			w.controller.SessionDeleted(session, true)
		}
	}
	for _, live := range w.sessions {
		w.check(w.sessionStore.Add(live.DeepCopy()))
	}
}

func (w *world) syncResources() {
	for _, object := range w.resourceStore.List() {
		resource := object.(*unstructured.Unstructured)
		if live := w.resources[resource.GetName()]; live == nil || live.GetUID() != resource.GetUID() || live.GetLabels()[v1alpha1.SessionIDLabel] == "" {
			w.check(w.resourceStore.Delete(resource))
			w.controller.ResourceDeleted(resource)
		}
	}
	for _, live := range w.resources {
		// The informer selects by label.
		if live.GetLabels()[v1alpha1.SessionIDLabel] != "" {
			w.check(w.resourceStore.Add(live.DeepCopy()))
		}
	}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) next() string {
	w.version++
	return strconv.Itoa(w.version)
}

// addSession adds a session with the phase, as if created upstream.
func (w *world) addSession(name, id string, phase v1alpha1.SessionPhase) *v1alpha1.Session {
	session := &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID("session-" + name), Generation: 1, ResourceVersion: w.next(),
			CreationTimestamp: metav1.NewTime(w.now), Labels: map[string]string{v1alpha1.SessionIDLabel: id},
		},
		Spec: v1alpha1.SessionSpec{DisplayName: name, Prompt: "hello"},
		Status: v1alpha1.SessionStatus{
			SessionID: id, ProjectID: namespace, Phase: phase,
			AgenticSession: &v1alpha1.AgenticSessionReference{Name: strings.ToLower(id)},
		},
	}
	w.sessions[name] = session
	return session
}

// changeSession changes a session as others do.
func (w *world) changeSession(name string, change func(session *v1alpha1.Session)) {
	session := w.sessions[name].DeepCopy()
	change(session)
	session.ResourceVersion = w.next()
	w.sessions[name] = session
}

// changeResource changes an AgenticSession as others do.
func (w *world) changeResource(name string, change func(resource *unstructured.Unstructured)) {
	resource := w.resources[name].DeepCopy()
	change(resource)
	resource.SetResourceVersion(w.next())
	w.resources[name] = resource
}

// pass lets the informers catch up and makes one pass.
func (w *world) pass() error {
	w.sync()
	_, err := w.controller.Reconcile(context.Background(), theKey)
	return err
}

// settle makes passes until two change nothing.
func (w *world) settle() {
	w.t.Helper()
	for quiet, passes := 0, 0; quiet < 2; passes++ {
		before := w.version
		if err := w.pass(); err != nil && !apierrors.IsConflict(err) {
			w.t.Fatalf("pass failed: %v", err)
		}
		if w.version == before {
			quiet++
		} else {
			quiet = 0
		}
		if passes > 50 {
			w.t.Fatal("passes never come to rest")
		}
	}
}

func (w *world) request(write string, answer func() error) error {
	if w.fault != nil {
		if err := w.fault(false); err != nil {
			return err
		}
	}
	if err := answer(); err != nil {
		return err
	}
	if write != "" {
		w.writes[write]++
	}
	if w.fault != nil {
		return w.fault(true)
	}
	return nil
}

func (w *world) GetSession(_ context.Context, _, name string) (session *v1alpha1.Session, err error) {
	w.sessionReads++
	err = w.request("", func() error {
		if w.sessions[name] == nil {
			return apierrors.NewNotFound(v1alpha1.Resource("sessions"), name)
		}
		session = w.sessions[name].DeepCopy()
		return nil
	})
	return session, err
}

func (w *world) ListSessions(_ context.Context, id string) (list []v1alpha1.Session, err error) {
	err = w.request("", func() error {
		for _, session := range w.sessions {
			if KeyOfSession(session).ID == id {
				list = append(list, *session.DeepCopy())
			}
		}
		return nil
	})
	return list, err
}

func (w *world) ApplySessionStatus(_ context.Context, configuration *applyv1alpha1.SessionApplyConfiguration) (applied *v1alpha1.Session, err error) {
	err = w.request("status", func() error {
		live := w.sessions[*configuration.Name]
		if w.outage != nil {
			return w.outage
		}
		if live == nil || live.UID != *configuration.UID {
			return apierrors.NewNotFound(v1alpha1.Resource("sessions"), *configuration.Name)
		}
		if live.ResourceVersion != *configuration.ResourceVersion {
			return apierrors.NewConflict(v1alpha1.Resource("sessions"), live.Name, errors.New("changed"))
		}
		text, err := json.Marshal(configuration.Status)
		if err != nil {
			return err
		}
		var status v1alpha1.SessionStatus
		if err := json.Unmarshal(text, &status); err != nil {
			return err
		}
		if name := agenticSessionName(live.Status); name != agenticSessionName(status) {
			return apierrors.NewInvalid(v1alpha1.Kind("Session"), live.Name, nil)
		}
		if status.Phase == "" {
			status.Phase = live.Status.Phase
		}
		if status.StartTime == nil {
			status.StartTime = live.Status.StartTime
		}
		if status.CompletionTime == nil {
			status.CompletionTime = live.Status.CompletionTime
		}
		for _, condition := range status.Conditions {
			if condition.Type == v1alpha1.ConditionReady {
				return errors.New("Ready is computed by the server")
			}
		}
		status.Conditions = append(status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: "Unknown", Reason: "Computed"})
		next := live.DeepCopy()
		next.Status = status
		if !equality.Semantic.DeepEqual(next.Status, live.Status) {
			next.ResourceVersion = w.next()
			w.sessions[live.Name] = next
		}
		applied = w.sessions[live.Name].DeepCopy()
		return nil
	})
	return applied, err
}

// named returns the UID of the AgenticSession that session "a" names.
func (w *world) named() types.UID {
	if reference := w.sessions["a"].Status.AgenticSession; reference != nil {
		return reference.UID
	}
	return ""
}

// agenticSessionName is what the upstream assigned and lets nobody change.
func agenticSessionName(status v1alpha1.SessionStatus) string {
	if status.AgenticSession == nil {
		return ""
	}
	return status.AgenticSession.Name
}

// RestoreName implements Client: the Session is another object afterwards.
func (w *world) RestoreName(_ context.Context, session *v1alpha1.Session, name string) error {
	return w.request("name", func() error {
		live := w.sessions[session.Name]
		switch {
		case live == nil || live.UID != session.UID:
			return apierrors.NewNotFound(v1alpha1.Resource("sessions"), session.Name)
		case live.ResourceVersion != session.ResourceVersion:
			return apierrors.NewConflict(v1alpha1.Resource("sessions"), live.Name, errors.New("changed"))
		case w.refuseNames:
			return apierrors.NewInvalid(v1alpha1.Kind("Session"), live.Name, nil)
		}
		w.rename(session.Name, name)
		return nil
	})
}

// rename makes a session go by another name.
func (w *world) rename(from, to string) {
	next := w.sessions[from].DeepCopy()
	next.Name, next.ResourceVersion = to, w.next()
	delete(w.sessions, from)
	w.sessions[to] = next
}

// setStatus writes a status as the operator does.
func (w *world) setStatus(name string, status agenticsession.Status) {
	w.t.Helper()
	text, err := json.Marshal(status)
	w.check(err)
	var content map[string]any
	w.check(json.Unmarshal(text, &content))
	if generation, ok := content["observedGeneration"].(float64); ok {
		content["observedGeneration"] = int64(generation)
	}
	w.changeResource(name, func(resource *unstructured.Unstructured) { resource.Object["status"] = content })
}

// projected returns reason and message of condition Projected.
func projected(session *v1alpha1.Session) (metav1.ConditionStatus, string) {
	for _, condition := range session.Status.Conditions {
		if condition.Type == v1alpha1.ConditionProjected {
			return condition.Status, condition.Reason
		}
	}
	return "", ""
}
