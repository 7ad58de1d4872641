package flow

import (
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// claimedBy is what another cluster writes into a project that it projects.
func claimedBy(t *testing.T, cluster types.UID) *string {
	t.Helper()
	annotations, err := translate.WithReserved("", translate.Reserved{ProjectedBy: cluster})
	if err != nil {
		t.Fatal(err)
	}
	return &annotations
}

func TestDecision10AProjectOfAnotherClusterIsLeftAlone(t *testing.T) {
	t.Parallel()
	const elsewhere = "ProjectedByAnotherCluster"
	project, witness := stand.Name(t), stand.NewProject(t)
	other := newUpstreamSession(t, witness, "Witness")
	request := &ambientv1.CreateProjectRequest{Name: project, Annotations: claimedBy(t, "another-cluster")}
	if _, err := stand.Upstream.Projects.CreateProject(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	id := newUpstreamSession(t, project, "Theirs")
	awaitProject(t, project, metav1.ConditionFalse, elsewhere)
	harness.Eventually(t, "an event says that nothing is done", func() error {
		events, err := stand.Kubernetes.CoreV1().Events(metav1.NamespaceDefault).List(t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.kind=Project,reason=" + elsewhere + ",involvedObject.name=" + project,
		})
		if err == nil && len(events.Items) == 0 {
			err = fmt.Errorf("there is none")
		}
		return err
	})
	running(t, other)
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Get(t.Context(), project, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace of another cluster's project: %v, want that there is none", err)
	}
	awaitNoResource(t, id)

	// A person hands it over.
	cluster := getNamespace(t, metav1.NamespaceSystem).UID
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.ProjectIntoAnnotation, cluster)
	if _, err := stand.Ambient.AmbientV1alpha1().Projects().Patch(t.Context(), project, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitOpen(t, project)
	running(t, id)
	if reserved, _ := translate.ReadReserved(stand.Upstream.Project(t, project).GetAnnotations()); reserved.ProjectedBy != cluster {
		t.Errorf("upstream the project is claimed by %q, want %q", reserved.ProjectedBy, cluster)
	}

	// A third cluster takes it: what stands here stands, whatever happens upstream.
	update := &ambientv1.UpdateProjectRequest{Id: project, Annotations: claimedBy(t, "a-third-cluster")}
	if _, err := stand.Upstream.Projects.UpdateProject(t.Context(), update); err != nil {
		t.Fatal(err)
	}
	awaitProject(t, project, metav1.ConditionFalse, elsewhere)
	for _, deleted := range []string{id, other} {
		if _, err := stand.Upstream.Sessions.DeleteSession(t.Context(), &ambientv1.DeleteSessionRequest{Id: deleted}); err != nil {
			t.Fatal(err)
		}
	}
	awaitNoResource(t, other)
	if items, err := resourcesOf(t, id); err != nil || len(items) != 1 {
		t.Errorf("%d AgenticSessions of a session of another cluster's project (%v), want the one that was there", len(items), err)
	}
}
