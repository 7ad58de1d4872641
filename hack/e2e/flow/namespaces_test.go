package flow

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// unassigned shows the sessions that can't be shown in a project's namespace.
const unassigned = "ambient-unassigned"

func newUpstreamProject(t *testing.T, name string) {
	t.Helper()
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), &ambientv1.CreateProjectRequest{Name: name}); err != nil {
		t.Fatalf("creating project %s upstream: %v", name, err)
	}
}

func getNamespace(t *testing.T, name string) *corev1.Namespace {
	t.Helper()
	namespace, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading namespace %s: %v", name, err)
	}
	return namespace
}

// awaitProject waits until a project says whether and why it is projected.
func awaitProject(t *testing.T, name string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("project %s says %s for %s", name, status, reason), func() error {
		project, err := stand.Ambient.AmbientV1alpha1().Projects().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return hasCondition(project.Status.Conditions, "Projected", status, reason)
	})
}

// awaitOpen waits until the namespace is the project's, with its secret.
func awaitOpen(t *testing.T, project string) *corev1.Namespace {
	t.Helper()
	var namespace *corev1.Namespace
	harness.Eventually(t, "namespace "+project+" is the project's", func() (err error) {
		if namespace, err = stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{}); err != nil {
			return err
		}
		if namespace.DeletionTimestamp != nil || namespace.Labels["ambient-code.io/managed"] != "true" || namespace.Labels["ambient-code.io/project-id"] != project {
			return fmt.Errorf("it is %+v", namespace.ObjectMeta)
		}
		_, err = stand.Kubernetes.CoreV1().Secrets(project).Get(t.Context(), "ambient-runner-secrets", metav1.GetOptions{})
		return err
	})
	return namespace
}

func TestReservedNamespacesAreNeverUsed(t *testing.T) {
	before := getNamespace(t, "default")
	made := "kube-" + stand.Name(t)
	// A session of the first is shown among those without a usable project: the
	// namespace is somebody else's.
	for project, reason := range map[string]string{"default": "NoProject", made: "NamespaceReserved"} {
		newUpstreamProject(t, project)
		id := newUpstreamSession(t, project, "Intruder")
		awaitProject(t, project, metav1.ConditionFalse, "NamespaceReserved")
		harness.Eventually(t, "the session says that it is not projected", func() error {
			list, err := stand.Ambient.AmbientV1alpha1().Sessions(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{LabelSelector: sessionIDLabel + "=" + id})
			if err != nil {
				return err
			}
			if len(list.Items) != 1 || reasonNotProjected(&list.Items[0]) != reason {
				return fmt.Errorf("found are %+v", list.Items)
			}
			return nil
		})
		awaitNoResource(t, id)
	}
	if after := getNamespace(t, "default"); !maps.Equal(after.Labels, before.Labels) || !maps.Equal(after.Annotations, before.Annotations) {
		t.Errorf("namespace default is now %+v", after.ObjectMeta)
	}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), made, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a reserved namespace: %v, want that it does not exist", err)
	}
	if _, err := stand.Kubernetes.CoreV1().Secrets("default").Get(t.Context(), "ambient-runner-secrets", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a secret in namespace default: %v", err)
	}
}

func TestAForeignNamespaceIsUsedWhenItIsGiven(t *testing.T) {
	project := stand.Name(t)
	foreign := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Labels: map[string]string{"owner": "somebody"}}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	newUpstreamProject(t, project)
	id := newUpstreamSession(t, project, "Waiting")
	name := strings.ToLower(id)
	awaitProject(t, project, metav1.ConditionFalse, "NamespaceNotAdopted")
	harness.Eventually(t, "the session waits outside", func() error {
		session, err := stand.Ambient.AmbientV1alpha1().Sessions(unassigned).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return hasCondition(session.Status.Conditions, "NamespaceNotAdopted", metav1.ConditionTrue, "NamespaceExists")
	})
	awaitNoResource(t, id)
	if held := getNamespace(t, project); held.Labels["ambient-code.io/managed"] != "" || held.Labels["ambient-code.io/project-id"] != "" {
		t.Errorf("the labels are %v", held.Labels)
	}

	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/adopt=true")
	resource := running(t, id)
	if resource.GetNamespace() != project {
		t.Errorf("the AgenticSession is in namespace %s", resource.GetNamespace())
	}
	awaitProject(t, project, metav1.ConditionTrue, "NamespaceReady")
	if held := awaitOpen(t, project); held.Labels["owner"] != "somebody" {
		t.Errorf("the labels are %v", held.Labels)
	}
	checkLaunches(t, project, map[string]launches{name: {Prompts: 1, Runners: 1}})
}

// Whoever takes a namespace from its project deletes no session by that, and what runs
// goes on.
func TestANamespaceThatIsTakenFromItsProjectTakesNothingAlong(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "taken-along").Status.SessionID
	before := running(t, id)
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-by-")
	awaitCondition(t, unassigned, "taken-along", "Projected", metav1.ConditionFalse, "NamespaceNotAdopted")

	stand.Kubectl(t, "label", "namespace", project, "ambient-code.io/managed-by=ambient-kube-reconciler")
	awaitCondition(t, project, "taken-along", "Projected", metav1.ConditionTrue, "Projected")
	if after := running(t, id); after.GetUID() != before.GetUID() {
		t.Errorf("AgenticSession %s became %s", before.GetUID(), after.GetUID())
	}
	checkLaunches(t, project, map[string]launches{before.GetName(): {Prompts: 1, Runners: 1}})
}

func TestASessionWithoutAProjectIsNotProjected(t *testing.T) {
	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "Homeless"})
	id := row.GetMetadata().GetId()
	awaitCondition(t, unassigned, strings.ToLower(id), "Projected", metav1.ConditionFalse, "NoProject")
	awaitNoResource(t, id)

	// A project gives it a home.
	project := stand.NewProject(t)
	if _, err := stand.Upstream.Sessions.UpdateSession(t.Context(), &ambientv1.UpdateSessionRequest{Id: id, ProjectId: &project}); err != nil {
		t.Fatal(err)
	}
	if resource := running(t, id); resource.GetNamespace() != project {
		t.Errorf("the AgenticSession is in namespace %s", resource.GetNamespace())
	}
}

func TestDecision16DeletingANamespaceDeletesNothingUnasked(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "precious").Status.SessionID
	running(t, id)
	before := awaitOpen(t, project)

	refusal := stand.KubectlFails(t, "", "delete", "namespace", project)
	harness.Contains(t, refusal.Stderr, "belongs to the project "+project, "ambient.io/allow-cascade=true")
	refusal = stand.KubectlFails(t, "", "label", "namespace", project, "ambient-code.io/project-id-")
	harness.Contains(t, refusal.Stderr, "guards the project's sessions")
	refusal = stand.KubectlFails(t, "", "label", "namespace", project, "--overwrite", "ambient-code.io/managed-by=somebody")
	harness.Contains(t, refusal.Stderr, "was made for its project")
	checkNoDetour(t, before)
	if row := stand.Upstream.Session(t, id); row.GetPhase() != string(v1alpha1.SessionRunning) {
		t.Errorf("the session is %s", row.GetPhase())
	}

	// Who allows it gets it, and the project, which stays, a new namespace.
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	stand.Kubectl(t, "delete", "namespace", project, "--wait=false")
	awaitGone(t, id)
	awaitNoResource(t, id)
	harness.Eventually(t, "there is a new namespace", func() error {
		namespace, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if namespace.UID == before.UID {
			return fmt.Errorf("it is the old one, %+v", namespace.Status)
		}
		return nil
	})
	awaitOpen(t, project)
	awaitProject(t, project, metav1.ConditionTrue, "NamespaceReady")
	next := stand.NewSession(t, project, "next").Status.SessionID
	running(t, next)
	checkLaunches(t, project, map[string]launches{strings.ToLower(next): {Prompts: 1, Runners: 1}})
}

// checkNoDetour checks that no subresource of a project's namespace, which can write
// metadata, too, takes the labels off that guard it, and that what subresources are for
// goes on.
func checkNoDetour(t *testing.T, namespace *corev1.Namespace) {
	t.Helper()
	name, namespaces := namespace.Name, stand.Kubernetes.CoreV1().Namespaces()
	for label, refusal := range map[string]string{projectLabel: "guards the project's sessions", "ambient-code.io/managed-by": "was made for its project"} {
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, label)
		harness.Contains(t, stand.KubectlFails(t, "", "patch", "namespace", name, "--subresource=status", "--type=merge", "-p", patch).Stderr, refusal)
		bare := getNamespace(t, name)
		// Whatever was written to it meanwhile.
		bare.ResourceVersion = ""
		delete(bare.Labels, label)
		if _, err := namespaces.UpdateStatus(t.Context(), bare, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), refusal) {
			t.Errorf("an update of the status without %s: %v", label, err)
		}
		if _, err := namespaces.Finalize(t.Context(), bare, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), refusal) {
			t.Errorf("a finalization without %s: %v", label, err)
		}
	}
	if held := getNamespace(t, name); !maps.Equal(held.Labels, namespace.Labels) {
		t.Errorf("the labels are %v, and were %v", held.Labels, namespace.Labels)
	}

	stand.Kubectl(t, "patch", "namespace", name, "--subresource=status", "--type=merge", "-p",
		`{"status":{"conditions":[{"type":"Example","status":"True","reason":"ByHand","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`)
	held := getNamespace(t, name)
	if len(held.Status.Conditions) != 1 {
		t.Errorf("the conditions are %v", held.Status.Conditions)
	}
	held.ResourceVersion = ""
	if _, err := namespaces.Finalize(t.Context(), held, metav1.UpdateOptions{}); err != nil {
		t.Errorf("a finalization that keeps the labels: %v", err)
	}
}

// A namespace can begin to end without the guard, as under an older version: the
// sessions are kept, and nothing of theirs is healed into it.
func TestDecision16ATerminatingNamespaceKeepsTheSessions(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "precious").Status.SessionID
	resource := running(t, id)
	awaitOpen(t, project)
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	// The permission is taken back while the namespace ends: a finalizer of ours
	// holds it until then.
	stand.Kubectl(t, "patch", "agenticsessions.vteam.ambient-code", resource.GetName(), "-n", project, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
	stand.Upstream.Fault(t, `{"methods":["DeleteSession"],"failOneIn":1,"failCode":"Unavailable"}`)
	stand.Kubectl(t, "delete", "namespace", project, "--wait=false")
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade-")
	awaitProject(t, project, metav1.ConditionFalse, "NamespaceTerminating")
	awaitCondition(t, project, "precious", "Projected", metav1.ConditionFalse, "NamespaceTerminating")
	harness.Eventually(t, "the namespace says why it stays", func() error {
		for _, condition := range getNamespace(t, project).Status.Conditions {
			if strings.Contains(condition.Message, "ambient.io/allow-cascade=true") {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", getNamespace(t, project).Status.Conditions)
	})
	// Not before: a deletion that was allowed may be on its way.
	stand.Upstream.Heal(t)
	if row := stand.Upstream.Session(t, id); row.GetName() != "precious" {
		t.Errorf("the row is %v", row)
	}

	// The way out that the message names.
	if _, err := dynamicClient.Resource(agenticSessions).Namespace(project).Patch(t.Context(), resource.GetName(), types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	stand.Kubectl(t, "annotate", "namespace", project, "ambient.io/allow-cascade=true")
	awaitGone(t, id)
	awaitOpen(t, project)
}

func TestTheNamespaceOfADeletedProjectIsRetainedAndMayGo(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "last").Status.SessionID
	running(t, id)
	stand.Kubectl(t, "delete", "sessions.ambient.io", "last", "-n", project)
	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	harness.Eventually(t, "the namespace is marked", func() error {
		if held := getNamespace(t, project); held.Annotations["ambient.io/project-gone"] != "true" || held.DeletionTimestamp != nil {
			return fmt.Errorf("it is %+v", held.ObjectMeta)
		}
		return nil
	})
	awaitNoResource(t, id)
	stand.Kubectl(t, "delete", "namespace", project, "--timeout=60s")
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v", err)
	}
}
