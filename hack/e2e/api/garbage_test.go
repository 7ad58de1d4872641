package api

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

func newConfigMap(t *testing.T, namespace, name string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
	t.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: owners}}
	created, err := stand.Kubernetes.CoreV1().ConfigMaps(namespace).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func configMapGone(t *testing.T, namespace, name string) func() error {
	return func() error {
		_, err := stand.Kubernetes.CoreV1().ConfigMaps(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("the ConfigMap is there: %w", err)
	}
}

// The cluster's garbage collector knows our kinds, as owners and as owned.
func TestGarbageCollection(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newNamespace(t, project, nil)
	ownedBy := func(session *v1alpha1.Session) metav1.OwnerReference {
		yes := true
		return metav1.OwnerReference{APIVersion: "ambient.io/v1alpha1", Kind: "Session", Name: session.Name, UID: session.UID, BlockOwnerDeletion: &yes}
	}

	t.Run("what a session owns goes after it", func(t *testing.T) {
		newConfigMap(t, project, "background", ownedBy(newSession(t, project, "background")))
		stand.Kubectl(t, "delete", "sessions.ambient.io", "background", "-n", project)
		harness.Eventually(t, "the ConfigMap goes", configMapGone(t, project, "background"))
	})
	t.Run("or before it, when asked in the foreground", func(t *testing.T) {
		owner := newSession(t, project, "foreground")
		newConfigMap(t, project, "foreground", ownedBy(owner))
		stand.Kubectl(t, "delete", "sessions.ambient.io", "foreground", "-n", project, "--cascade=foreground")
		if err := configMapGone(t, project, "foreground")(); err != nil {
			t.Error(err)
		}
		for _, row := range stand.Upstream.SessionsIn(t, project) {
			if row.GetMetadata().GetId() == owner.Status.SessionID {
				t.Error("the session's row is left")
			}
		}
	})
	t.Run("or stays, when it is to be orphaned", func(t *testing.T) {
		newConfigMap(t, project, "orphan", ownedBy(newSession(t, project, "orphan")))
		stand.Kubectl(t, "delete", "sessions.ambient.io", "orphan", "-n", project, "--cascade=orphan")
		orphan, err := stand.Kubernetes.CoreV1().ConfigMaps(project).Get(t.Context(), "orphan", metav1.GetOptions{})
		if err != nil || len(orphan.OwnerReferences) != 0 {
			t.Errorf("%v, %v", orphan, err)
		}
	})
	t.Run("a session goes with what owns it, upstream too", func(t *testing.T) {
		owner := newConfigMap(t, project, "owner")
		session := &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID},
		}}}
		if _, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Create(t.Context(), session, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		stand.Kubectl(t, "delete", "configmap", "owner", "-n", project)
		harness.Eventually(t, "the session's row goes", func() error {
			if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
				return fmt.Errorf("%d rows", len(rows))
			}
			return nil
		})
	})
}

// A start is told to people, with its reason and who asked.
func TestAStartIsAnEvent(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	newNamespace(t, project, nil)
	newSession(t, project, "told")
	if answer := act(t, project, "told", "start", "", `,"reason":"because I can"`); answer.Code/100 != 2 {
		t.Fatalf("a start: %d %s", answer.Code, answer.Body)
	}
	harness.Eventually(t, "the event is described", func() error {
		output := stand.Kubectl(t, "describe", "sessions.ambient.io", "told", "-n", project).Stdout
		if !strings.Contains(output, "asked for a start: because I can") {
			return fmt.Errorf("%s", output)
		}
		return nil
	})
}
