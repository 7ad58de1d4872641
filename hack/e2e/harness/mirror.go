package harness

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/informers/externalversions"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// Mirror is an ordinary informer on all sessions. It also watches over what it is
// told: no object may go back to an older state.
type Mirror struct {
	stand *Stand
	store cache.Store

	mutex    sync.Mutex
	versions map[string]uint64
	deleted  []string
	faults   []string
}

// NewMirror starts an informer that runs until the test ends, and waits until it
// has seen everything once.
func (s *Stand) NewMirror(t testing.TB) *Mirror {
	t.Helper()
	factory := externalversions.NewSharedInformerFactory(s.Ambient, 0)
	informer := factory.Ambient().V1alpha1().Sessions().Informer()
	mirror := &Mirror{stand: s, store: informer.GetStore(), versions: map[string]uint64{}}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    mirror.saw,
		UpdateFunc: func(_, next interface{}) { mirror.saw(next) },
		DeleteFunc: mirror.lost,
	}); err != nil {
		t.Fatalf("adding a handler: %v", err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	t.Cleanup(func() {
		close(stop)
		factory.Shutdown()
	})
	Eventually(t, "the informer has synchronised", func() error {
		if !informer.HasSynced() {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	return mirror
}

func (m *Mirror) saw(object interface{}) {
	session, ok := object.(*v1alpha1.Session)
	if !ok {
		return
	}
	version, err := strconv.ParseUint(session.ResourceVersion, 10, 64)
	m.mutex.Lock()
	defer m.mutex.Unlock()
	key := string(session.UID)
	if before := m.versions[key]; err != nil || version < before {
		m.faults = append(m.faults, fmt.Sprintf("%s/%s went from version %d to %s", session.Namespace, session.Name, before, session.ResourceVersion))
	}
	m.versions[key] = version
}

func (m *Mirror) lost(object interface{}) {
	if gone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = gone.Obj
	}
	session, ok := object.(*v1alpha1.Session)
	if !ok {
		return
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.deleted = append(m.deleted, session.Status.SessionID)
}

// Deleted returns the upstream ids of the sessions that were seen to go.
func (m *Mirror) Deleted() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.deleted)
}

// AwaitEqual waits until the informer holds what the upstream holds, session for
// session, and fails the test if it was ever told an older state.
func (m *Mirror) AwaitEqual(t testing.TB) {
	t.Helper()
	// An informer whose server was away again and again pauses for up to a minute.
	Within(t, 2*Patience, "the informer equals the upstream", func() error {
		want := map[string]string{}
		for _, row := range m.stand.Upstream.AllSessions(t) {
			want[row.GetMetadata().GetId()] = describeRow(row)
		}
		got := map[string]string{}
		for _, object := range m.store.List() {
			session := object.(*v1alpha1.Session)
			got[session.Status.SessionID] = describe(session)
		}
		return difference(got, want)
	})
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for _, fault := range m.faults {
		t.Error(fault)
	}
}

// Session returns the session with the upstream's id as the informer holds it;
// nil if it does not.
func (m *Mirror) Session(id string) *v1alpha1.Session {
	for _, object := range m.store.List() {
		if session := object.(*v1alpha1.Session); session.Status.SessionID == id {
			return session
		}
	}
	return nil
}

func describe(session *v1alpha1.Session) string {
	return strings.Join([]string{session.Status.ProjectID, session.Spec.DisplayName, string(session.Status.Phase), session.Spec.Prompt}, " | ")
}

func describeRow(row *ambientv1.Session) string {
	return strings.Join([]string{row.GetProjectId(), row.GetName(), row.GetPhase(), row.GetPrompt()}, " | ")
}

func difference(got, want map[string]string) error {
	if maps.Equal(got, want) {
		return nil
	}
	var texts []string
	for id, text := range want {
		if got[id] != text {
			texts = append(texts, fmt.Sprintf("%s is %q instead of %q", id, got[id], text))
		}
	}
	for id, text := range got {
		if _, found := want[id]; !found {
			texts = append(texts, fmt.Sprintf("%s (%q) is gone upstream", id, text))
		}
	}
	return fmt.Errorf("%d differences: %s", len(texts), strings.Join(texts[:min(len(texts), 5)], "; "))
}
