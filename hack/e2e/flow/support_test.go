package flow

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
)

const sessionIDLabel = "ambient.io/session-id"

// newUpstreamSession creates a session as a user of the upstream does and returns
// its id.
func newUpstreamSession(t *testing.T, project, name string) string {
	t.Helper()
	prompt := "Say hello"
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: name, Prompt: &prompt, ProjectId: &project})
	return row.GetMetadata().GetId()
}

// resourcesOf returns the AgenticSessions of the session with the id, wherever
// they are.
func resourcesOf(t *testing.T, id string) ([]unstructured.Unstructured, error) {
	t.Helper()
	list, err := dynamicClient.Resource(agenticSessions).List(t.Context(), metav1.ListOptions{LabelSelector: sessionIDLabel + "=" + id})
	if err != nil {
		return nil, fmt.Errorf("listing AgenticSessions: %w", err)
	}
	return list.Items, nil
}

// awaitResource waits for the AgenticSession of the session with the id, and for
// the phase that the operator gives it.
func awaitResource(t *testing.T, id string, phase v1alpha1.SessionPhase) *unstructured.Unstructured {
	t.Helper()
	var found *unstructured.Unstructured
	harness.Eventually(t, fmt.Sprintf("session %s has one AgenticSession in phase %q", id, phase), func() error {
		items, err := resourcesOf(t, id)
		if err != nil {
			return err
		}
		if len(items) != 1 {
			return fmt.Errorf("it has %d", len(items))
		}
		found = &items[0]
		if now := phaseOf(found); now != string(phase) {
			return fmt.Errorf("the phase is %q", now)
		}
		return nil
	})
	return found
}

// awaitNoResource waits until the session with the id has no AgenticSession.
func awaitNoResource(t *testing.T, id string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("session %s has no AgenticSession", id), func() error {
		items, err := resourcesOf(t, id)
		if err != nil {
			return err
		}
		if len(items) != 0 {
			return fmt.Errorf("it has %d", len(items))
		}
		return nil
	})
}

// awaitRow waits until the upstream's row of a session is as it should be.
func awaitRow(t *testing.T, id, what string, check func(*ambientv1.Session) error) *ambientv1.Session {
	t.Helper()
	var row *ambientv1.Session
	harness.Eventually(t, fmt.Sprintf("the row of session %s %s", id, what), func() error {
		row = stand.Upstream.Session(t, id)
		return check(row)
	})
	return row
}

// awaitPhase waits until the upstream says that the session is in the phase.
func awaitPhase(t *testing.T, id string, phase v1alpha1.SessionPhase) *ambientv1.Session {
	t.Helper()
	return awaitRow(t, id, "says "+string(phase), func(row *ambientv1.Session) error {
		if row.GetPhase() != string(phase) {
			return fmt.Errorf("it says %q", row.GetPhase())
		}
		return nil
	})
}

// running waits until the session with the id runs, and the upstream knows, and
// returns its AgenticSession.
func running(t *testing.T, id string) *unstructured.Unstructured {
	t.Helper()
	awaitPhase(t, id, v1alpha1.SessionRunning)
	return awaitResource(t, id, v1alpha1.SessionRunning)
}

// awaitGone waits until the upstream has no row of the session.
func awaitGone(t *testing.T, id string) {
	t.Helper()
	harness.Eventually(t, "session "+id+" is gone upstream", func() error {
		_, err := stand.Upstream.Sessions.GetSession(t.Context(), &ambientv1.GetSessionRequest{Id: id})
		if status.Code(err) != codes.NotFound {
			return fmt.Errorf("reading it: %w", err)
		}
		return nil
	})
}

// getSession reads a session through Kubernetes.
func getSession(t *testing.T, namespace, name string) *v1alpha1.Session {
	t.Helper()
	session, err := stand.Ambient.AmbientV1alpha1().Sessions(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading session %s/%s: %v", namespace, name, err)
	}
	return session
}

// awaitCondition waits until a session's condition has the status and reason.
func awaitCondition(t *testing.T, namespace, name, kind string, status metav1.ConditionStatus, reason string) *v1alpha1.Session {
	t.Helper()
	var session *v1alpha1.Session
	harness.Eventually(t, fmt.Sprintf("condition %s of %s/%s is %s for %s", kind, namespace, name, status, reason), func() (err error) {
		session, err = stand.Ambient.AmbientV1alpha1().Sessions(namespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return hasCondition(session.Status.Conditions, kind, status, reason)
	})
	return session
}

func hasCondition(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) error {
	if found := meta.FindStatusCondition(conditions, kind); found == nil || found.Status != status || found.Reason != reason {
		return fmt.Errorf("the conditions are %+v", conditions)
	}
	return nil
}

// act asks for a start or stop of a session.
func act(t *testing.T, namespace, name, action string) harness.Answer {
	t.Helper()
	return stand.Do(t, harness.Request{
		Method: "POST", Path: fmt.Sprintf("/apis/ambient.io/v1alpha1/namespaces/%s/sessions/%s/%s", namespace, name, action),
		Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"SessionRequest","reason":"a test"}`,
	})
}

// mustAct is act for a request that is to be granted.
func mustAct(t *testing.T, namespace, name, action string) {
	t.Helper()
	if answer := act(t, namespace, name, action); answer.Code != 201 && answer.Code != 200 {
		t.Fatalf("asking for a %s of %s/%s: %d %s", action, namespace, name, answer.Code, answer.Body)
	}
}

// launches is how often something was done with a session.
type launches struct{ Prompts, Runners int }

// checkLaunches fails the test unless the AgenticSessions that the namespace ever
// had were launched as often as given, by name.
func checkLaunches(t *testing.T, namespace string, want map[string]launches) {
	t.Helper()
	record, err := standin.ReadLaunches(t.Context(), dynamicClient, namespace)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]launches{}
	for _, entry := range record {
		got[entry.Session] = append(got[entry.Session], launches{entry.Prompts, entry.Runners})
	}
	for name, expected := range want {
		if !slices.Equal(got[name], []launches{expected}) {
			t.Errorf("the AgenticSessions %s/%s had launches %+v, want one with %+v", namespace, name, got[name], expected)
		}
	}
	for name, entries := range got {
		if _, expected := want[name]; !expected {
			t.Errorf("AgenticSession %s/%s was launched: %+v", namespace, name, entries)
		}
	}
}

// script says what becomes of all runners of a namespace, which is made if it is
// missing.
func script(t *testing.T, namespace string, outcome standin.Outcome) {
	t.Helper()
	harness.Eventually(t, "namespace "+namespace+" is there", func() error {
		_, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), namespace, metav1.GetOptions{})
		return err
	})
	_, err := stand.Kubernetes.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: standin.ScriptName},
		Data:       map[string]string{"default": string(outcome)},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("writing the operator's script: %v", err)
	}
}
