package flow

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
)

// The reconciler is killed at each point of a request's way at which the whole can
// be held: while the request stands because the operator is away, and when the
// operator has acted, but our API server is away and nothing can be reported.
func TestKilledWhileARequestIsUnderWay(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	resources := record(t, agenticSessions, project)
	for _, request := range []struct {
		action, desired string
		end             v1alpha1.SessionPhase
	}{
		{"stop", "Stopped", v1alpha1.SessionStopped},
		{"start", "Running", v1alpha1.SessionRunning},
	} {
		t.Run(request.action, func(t *testing.T) {
			terminate(t, stand.Stack.Operator)
			mustAct(t, project, "worker", request.action)
			awaitResourceState(t, id, "bears the request", func(resource *unstructured.Unstructured) bool { return desired(resource) == request.desired })
			harness.Kill(t, stand.Stack.Reconciler)
			harness.Restart(t, stand.Stack.Reconciler)
			// It works again, and has seen the request that stands.
			witness := newUpstreamSession(t, project, "Witness of passes")
			awaitResource(t, witness, "")

			harness.Kill(t, stand.Stack.Extension)
			harness.Restart(t, stand.Stack.Operator)
			awaitResource(t, id, request.end)
			harness.Kill(t, stand.Stack.Reconciler)
			harness.Restart(t, stand.Stack.Extension)
			harness.Restart(t, stand.Stack.Reconciler)
			awaitPhase(t, id, request.end)
			awaitSettled(t, id, request.end)
			if times := resources.requests(resource.GetName(), request.desired); times != 1 {
				t.Errorf("the operator was asked %d times", times)
			}
			stand.Upstream.DeleteSession(t, witness)
		})
	}
	launched, err := standin.ReadLaunches(t.Context(), dynamicClient, project)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range launched {
		if entry.Session == resource.GetName() && (entry.Prompts != 1 || entry.Runners != 2) {
			t.Errorf("it was launched %+v", entry)
		}
	}
}
