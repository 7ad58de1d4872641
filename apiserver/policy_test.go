package apiserver

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// newPolicy returns the policy of a leader that knows the projects.
func newPolicy(t *testing.T, projects ...*v1alpha1.Project) policy {
	t.Helper()
	translator := translate.New(translate.Options{Cluster: "cluster"})
	backends, err := backend.New(backend.Options{Client: &upstream.Client{}, Translator: translator})
	if err != nil {
		t.Fatal(err)
	}
	backends.Lead(backend.Term{Epoch: 1, Since: time.Now()})
	for _, project := range projects {
		request, err := translator.ProjectCreate(project, translate.Reserved{})
		if err != nil {
			t.Fatal(err)
		}
		backends.Projects.Publish(project.Name, &ambientv1.Project{
			Metadata: &ambientv1.ObjectReference{Id: project.Name}, Name: project.Name, Annotations: request.Annotations,
		})
	}
	return policy{namespaces: namespaceGuard{fake.NewClientset()}, backends: backends, foreign: func(string) bool { return false }}
}

func TestNothingIsCreatedInAProjectThatIsBeingDeleted(t *testing.T) {
	deleted := metav1.Now()
	rules := newPolicy(t,
		&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "stays"}},
		&v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "goes", DeletionTimestamp: &deleted, Finalizers: []string{"example.com/hold"}}},
	)
	for kind, object := range map[string]runtime.Object{
		"Session":         &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: "new"}},
		"ProjectSettings": &v1alpha1.ProjectSettings{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ProjectSettingsName}},
	} {
		create := rules.createInProject(v1alpha1.Resource("objects"), kind)
		if err := create(genericapirequest.WithNamespace(t.Context(), "stays"), object); err != nil {
			t.Errorf("a %s in a project that stays: %v", kind, err)
		}
		err := create(genericapirequest.WithNamespace(t.Context(), "goes"), object)
		if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || !strings.Contains(err.Error(), "project goes") {
			t.Errorf("a %s in a project that is being deleted: %v", kind, err)
		}
	}
}
