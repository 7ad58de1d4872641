package gitops

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// elsewhere gives a project to another cluster, so that nothing is done for it here:
// what a test writes stays.
const elsewhere = `, annotations: {ambient.io/project-into: another-cluster}`

// judge returns an object's health as kstatus computes it, and fails the test if Argo
// CD, with the script of the documentation, comes to another judgement.
func judge(t *testing.T, object *unstructured.Unstructured) status.Status {
	t.Helper()
	result, err := status.Compute(object)
	if err != nil {
		t.Fatalf("computing the status of %s: %v", utils.FmtUnstructured(object), err)
	}
	health, message := argoHealth(t, object)
	want := map[status.Status]string{
		status.InProgressStatus: "Progressing", status.TerminatingStatus: "Progressing", status.CurrentStatus: "Healthy", status.FailedStatus: "Degraded",
	}[result.Status]
	if health != want {
		t.Errorf("%s is %s for kstatus and %s (%s) for Argo CD, want %s", utils.FmtUnstructured(object), result.Status, health, message, want)
	}
	if message == "" {
		t.Errorf("Argo CD shows %s as %s without a message", utils.FmtUnstructured(object), health)
	}
	return result.Status
}

// expect fails the test unless the object is judged so now.
func expect(t *testing.T, object *unstructured.Unstructured, want status.Status) {
	t.Helper()
	if now := read(t, object); judge(t, now) != want {
		t.Errorf("%s is %s, want %s: generation %d, status %v", utils.FmtUnstructured(now), judge(t, now), want, now.GetGeneration(), now.Object["status"])
	}
}

// await waits until the object is judged so.
func await(t *testing.T, object *unstructured.Unstructured, want status.Status) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %s", utils.FmtUnstructured(object), want), func() error {
		if now := read(t, object); judge(t, now) != want {
			return fmt.Errorf("it is %s: generation %d, status %v", judge(t, now), now.GetGeneration(), now.Object["status"])
		}
		return nil
	})
}

func TestEveryPhaseHasItsHealth(t *testing.T) {
	const name = "every-phase"
	create(t, project(name, elsewhere))
	for phase, want := range map[string]status.Status{
		"": status.InProgressStatus, "Pending": status.InProgressStatus, "Creating": status.InProgressStatus, "Stopping": status.InProgressStatus,
		"Running": status.CurrentStatus, "Stopped": status.CurrentStatus, "Completed": status.CurrentStatus,
		"Failed": status.FailedStatus,
	} {
		object := create(t, session(name, "phase"+strings.ToLower(phase)))[0]
		if phase != "" {
			report(t, object, "status: {phase: "+phase+"}")
		}
		expect(t, object, want)
		// What was changed and not looked at yet is on its way, whatever its phase.
		report(t, object, "status: {observedGeneration: 1}")
		expect(t, object, want)
		patch(t, object, "spec: {displayName: changed}")
		expect(t, object, status.InProgressStatus)
		report(t, object, "status: {observedGeneration: 2}")
		expect(t, object, want)
	}
}

func TestWhatNobodyHasLookedAtIsInProgress(t *testing.T) {
	const name = "not-looked-at"
	for _, object := range create(t, project(name, elsewhere)+settings(name)) {
		expect(t, object, status.InProgressStatus)
	}
}

func TestWhatIsProjectedIsCurrent(t *testing.T) {
	const name = "projected"
	objects := create(t, project(name, "")+settings(name)+session(name, "runs"))
	for _, object := range objects {
		await(t, object, status.CurrentStatus)
	}
	// A change is Current again once it has been looked at.
	patch(t, objects[0], "spec: {displayName: changed}")
	patch(t, objects[1], "spec: {groupAccess: [{groupName: dev, role: edit}]}")
	patch(t, objects[2], "spec: {displayName: changed}")
	for _, object := range objects {
		if object.GetGeneration() != 2 {
			t.Errorf("%s has generation %d after a change", utils.FmtUnstructured(object), object.GetGeneration())
		}
		await(t, object, status.CurrentStatus)
	}
	// So is a change of a session that has ended, which its operator looks at no more.
	ended := create(t, session(name, "ends"))[0]
	await(t, ended, status.CurrentStatus)
	request := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "ambient.io/v1alpha1", "kind": "SessionRequest"}}
	if err := kube.SubResource("stop").Create(t.Context(), ended, request); err != nil {
		t.Fatalf("stopping a session: %v", err)
	}
	eventually(t, "the session has stopped", func() error {
		if phase := field[string](t, read(t, ended), "status", "phase"); phase != "Stopped" {
			return fmt.Errorf("its phase is %q", phase)
		}
		return nil
	})
	if observed := field[int64](t, read(t, ended), "status", "observedGeneration"); observed != 1 {
		t.Fatalf("generation %d is observed of a session that has run, want 1", observed)
	}
	patch(t, ended, "spec: {displayName: changed}")
	await(t, ended, status.CurrentStatus)
	if observed := field[int64](t, read(t, ended), "status", "observedGeneration"); observed != 2 {
		t.Errorf("generation %d is observed, want 2", observed)
	}
}

func TestWhatIsRefusedFailsAtOnce(t *testing.T) {
	const name = "refused"
	namespace := create(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+name+"}\n")[0]
	objects := create(t, project(name, "")+settings(name))
	for _, object := range append(create(t, project("kube-refused", "")), objects...) {
		await(t, object, status.FailedStatus)
	}
	// Flux gives up at once, not when its patience is at an end.
	err := manager.Wait(objects, ssa.WaitOptions{Interval: interval, Timeout: 10 * patience, FailFast: true})
	if err == nil || !strings.Contains(err.Error(), "Project/"+name+" status: 'Failed'") {
		t.Errorf("waiting for what is refused ended with %v", err)
	}
	// A person allows it.
	patch(t, namespace, `metadata: {annotations: {ambient.io/adopt: "true"}}`)
	for _, object := range objects {
		await(t, object, status.CurrentStatus)
	}
}

func TestWhatIsBeingDeletedIsTerminating(t *testing.T) {
	const name = "terminating"
	objects := create(t, project(name, elsewhere)+settings(name)+session(name, "held"))
	for _, object := range objects {
		patch(t, object, "metadata: {finalizers: [example.com/held]}")
	}
	for i := len(objects) - 1; i >= 0; i-- {
		if err := kube.Delete(t.Context(), objects[i]); err != nil {
			t.Fatalf("deleting %s: %v", utils.FmtUnstructured(objects[i]), err)
		}
		expect(t, objects[i], status.TerminatingStatus)
		patch(t, objects[i], "metadata: {finalizers: null}")
		gone(t, objects[i])
	}
}

// gone waits until there is no such object.
func gone(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	eventually(t, utils.FmtUnstructured(object)+" is gone", func() error {
		now := object.DeepCopy()
		err := kube.Get(t.Context(), client.ObjectKeyFromObject(object), now)
		if err == nil {
			return errors.New("it is there")
		}
		return client.IgnoreNotFound(err)
	})
}
