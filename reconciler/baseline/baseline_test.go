package baseline

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/reconciler/phase"
)

const namespace = "ambient-system"

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func session(id string, created time.Time) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: "p", Name: id, CreationTimestamp: metav1.NewTime(created)},
		Status:     v1alpha1.SessionStatus{SessionID: id},
	}
}

func load(t *testing.T, b *Baseline, projectedBefore bool) bool {
	t.Helper()
	found, err := b.Load(context.Background(), projectedBefore)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func expect(t *testing.T, b *Baseline, of *v1alpha1.Session, want string) {
	t.Helper()
	if got, _ := b.Unstarted(of); got != want {
		t.Errorf("session %s of %s: %q, want %q", of.Name, of.CreationTimestamp, got, want)
	}
}

func TestWhatWasThereBeforeIsNotStarted(t *testing.T) {
	kube := fake.NewClientset()
	sessions := ambientfake.NewClientset(session("old", noon.Add(-time.Hour)), session("newest", noon))
	first := New(kube, sessions, namespace, OnCreate)
	if !load(t, first, false) {
		t.Fatal("no record was made")
	}
	// A later start reads the record; it does not list again.
	later := New(kube, ambientfake.NewClientset(session("much later", noon.Add(24*time.Hour))), namespace, OnCreate)
	if !load(t, later, true) {
		t.Fatal("the record was not found")
	}
	for _, b := range []*Baseline{first, later} {
		expect(t, b, session("old", noon.Add(-time.Hour)), phase.ReasonBeforeInstall)
		expect(t, b, session("newest", noon), phase.ReasonBeforeInstall)
		expect(t, b, session("of the same second", noon), "")
		expect(t, b, session("new", noon.Add(time.Second)), "")
	}
	record, err := kube.CoreV1().ConfigMaps(namespace).Get(context.Background(), ConfigMapName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if record.Immutable == nil || !*record.Immutable {
		t.Error("the record can be changed")
	}
}

func TestAnEmptyUpstreamHasNoHistory(t *testing.T) {
	b := New(fake.NewClientset(), ambientfake.NewClientset(), namespace, OnCreate)
	load(t, b, false)
	expect(t, b, session("first", noon), "")
}

func TestALostRecordStartsNothing(t *testing.T) {
	kube := fake.NewClientset()
	b := New(kube, ambientfake.NewClientset(), namespace, OnCreate)
	if load(t, b, true) {
		t.Fatal("a record was made although sessions were projected before")
	}
	expect(t, b, session("any", noon), phase.ReasonBaselineMissing)

	// A person restores it, without the ids.
	if _, err := New(kube, ambientfake.NewClientset(session("x", noon)), namespace, OnCreate).record(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !load(t, b, true) {
		t.Fatal("the restored record was not found")
	}
	expect(t, b, session("old", noon.Add(-time.Second)), phase.ReasonBeforeInstall)
	expect(t, b, session("new", noon.Add(time.Second)), "")
}

func TestOnRequestStartsNothingUnasked(t *testing.T) {
	b := New(fake.NewClientset(), ambientfake.NewClientset(), namespace, OnRequest)
	load(t, b, false)
	expect(t, b, session("new", noon), phase.ReasonNotRequested)
}

func TestTheFirstListingIsCompleteOrThereIsNoRecord(t *testing.T) {
	kube := fake.NewClientset()
	sessions := ambientfake.NewClientset(session("a", noon))
	sessions.PrependReactor("list", "sessions", refuse)
	b := New(kube, sessions, namespace, OnCreate)
	if _, err := b.Load(context.Background(), false); err == nil {
		t.Fatal("loaded without a listing")
	}
	if b.Loaded() {
		t.Error("loaded all the same")
	}
	records, err := kube.CoreV1().ConfigMaps(namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil || len(records.Items) != 0 {
		t.Errorf("%d records were made (%v)", len(records.Items), err)
	}
}
