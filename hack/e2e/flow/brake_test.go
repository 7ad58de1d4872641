package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const (
	// many is more than a reconciler may remove unasked for an absence, and few is
	// not.
	many, few = 55, 5
	// ignored is longer than the reconciler takes to look for an answer twice.
	ignored = 5 * time.Second

	leaseName       = "ambient-kube-reconciler"
	heldAnnotation  = "ambient.io/removals-held.agenticsessions"
	allowAnnotation = "ambient.io/allow-mass-delete"
)

// Sessions that vanished while the reconciler was away keep their AgenticSessions
// if they are many, until a person who was shown which lets them go.
func TestManyAbsencesWaitForAPerson(t *testing.T) {
	project := stand.NewProject(t)
	var ids []string
	for i := range many + 2 {
		ids = append(ids, newUpstreamSession(t, project, fmt.Sprintf("Session %d", i)))
	}
	awaitResources(t, project, ids)
	gone, kept, deleted := ids[:many], ids[many], ids[many+1]

	terminate(t, stand.Stack.Reconciler)
	for _, id := range gone {
		stand.Upstream.DeleteSession(t, id)
	}
	for _, id := range gone {
		awaitNotShown(t, project, id)
	}
	harness.Restart(t, stand.Stack.Reconciler)
	shown := awaitHeld(t, many)
	awaitEvent(t, stack.Namespace, allowAnnotation+"="+shown)
	awaitEvent(t, stack.Namespace, fmt.Sprintf("%d agenticsessions are without their source", many))

	// A deletion that is received as an event is proof.
	stand.Upstream.DeleteSession(t, deleted)
	awaitNoResource(t, deleted)
	awaitResources(t, project, append([]string{kept}, gone...))

	// So few would not have tripped it.
	terminate(t, stand.Stack.Reconciler)
	for _, id := range gone[few:] {
		stand.Kubectl(t, "delete", "agenticsessions.vteam.ambient-code", strings.ToLower(id), "-n", project, "--wait=false")
	}
	left := gone[:few]
	harness.Restart(t, stand.Stack.Reconciler)
	now := awaitHeld(t, few)
	running(t, newUpstreamSession(t, project, "Witness of passes"))

	// Who was shown another set has not allowed this one.
	allow(t, shown)
	<-time.After(ignored)
	if got := awaitHeld(t, few); got != now {
		t.Errorf("what is held back changed from %s to %s", now, got)
	}
	for _, id := range append([]string{kept}, left...) {
		if items, err := resourcesOf(t, id); err != nil || len(items) != 1 {
			t.Errorf("session %s has %d AgenticSessions: %v", id, len(items), err)
		}
	}

	allow(t, now)
	for _, id := range left {
		awaitNoResource(t, id)
	}
	awaitHeld(t, 0)
	awaitEvent(t, stack.Namespace, fmt.Sprintf("Removing %d agenticsessions, as allowed", few))
	running(t, kept)
}

// awaitResources waits until each of the sessions, and no other of the project, has
// an AgenticSession.
func awaitResources(t *testing.T, project string, ids []string) {
	t.Helper()
	harness.Eventually(t, "each session has its AgenticSession", func() error {
		list, err := dynamicClient.Resource(agenticSessions).Namespace(project).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing AgenticSessions: %w", err)
		}
		found := map[string]bool{}
		for _, resource := range list.Items {
			found[resource.GetLabels()[sessionIDLabel]] = true
		}
		for _, id := range ids {
			if !found[id] {
				return fmt.Errorf("session %s has none", id)
			}
		}
		if len(found) != len(ids) {
			return fmt.Errorf("there are %d for %d sessions", len(found), len(ids))
		}
		return nil
	})
}

// awaitNotShown waits until our API does not show the session any more.
func awaitNotShown(t *testing.T, project, id string) {
	t.Helper()
	harness.Eventually(t, "our API does not show session "+id, func() error {
		list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(t.Context(), metav1.ListOptions{LabelSelector: sessionIDLabel + "=" + id})
		if err != nil {
			return fmt.Errorf("listing sessions: %w", err)
		}
		if len(list.Items) != 0 {
			return fmt.Errorf("it shows %s", list.Items[0].Name)
		}
		return nil
	})
}

// awaitHeld waits until the Lease and the metric say that so many removals are held
// back, and returns the hash of the set.
func awaitHeld(t *testing.T, number int) (hash string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("%d removals are held back", number), func() error {
		lease, err := stand.Kubernetes.CoordinationV1().Leases(stack.Namespace).Get(t.Context(), leaseName, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading the lease: %w", err)
		}
		said := lease.Annotations[heldAnnotation]
		set, count, _ := strings.Cut(said, " ")
		hash = set
		if want := map[bool]string{true: fmt.Sprint(number), false: ""}[number > 0]; count != want {
			return fmt.Errorf("the lease says %q", said)
		}
		return hasMetric(t, fmt.Sprintf(`ambient_kube_reconciler_removals_held{kind="agenticsessions"} %d`, number))
	})
	if number > 0 {
		harness.Eventually(t, "a person is told what to type", func() error {
			if told := stand.Kubectl(t, "describe", "lease", leaseName, "-n", stack.Namespace).Stdout; !strings.Contains(told, "ambient.io/allow-mass-delete="+hash) {
				return fmt.Errorf("kubectl describe says %s", told)
			}
			return nil
		})
	}
	return hash
}

// hasMetric returns an error unless the reconciler's metrics have the line.
func hasMetric(t *testing.T, line string) error {
	t.Helper()
	text, err := stand.ReconcilerMetrics(t.Context())
	if err != nil {
		return err
	}
	if !strings.Contains(text, line+"\n") {
		return fmt.Errorf("the metrics lack %s", line)
	}
	return nil
}

// allow answers as the event tells.
func allow(t *testing.T, hash string) {
	t.Helper()
	stand.Kubectl(t, "-n", stack.Namespace, "annotate", "lease", leaseName, allowAnnotation+"="+hash, "--overwrite")
}
