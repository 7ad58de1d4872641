package reconciler

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	ambientfake "github.com/ambient-code/ambient-kube/apiserver/client/versioned/fake"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/settings"
)

// The deletion of a project that was received as an event needs no second look at
// those who had access to it; one that was inferred does.
func TestTheDeletionOfAProjectIsProofForItsSettings(t *testing.T) {
	for name, test := range map[string]struct {
		event   func(*v1alpha1.Project) any
		revoked bool
	}{
		"received": {func(project *v1alpha1.Project) any { return project }, true},
		"inferred": {func(project *v1alpha1.Project) any { return cache.DeletedFinalStateUnknown{Obj: project} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "access", Labels: map[string]string{
				settings.ProjectionLabel: settings.ProjectionValue, agenticsession.ManagedByLabel: agenticsession.FieldManager,
			}}}
			kube := fake.NewClientset(binding)
			r := newRun(NewOptions(), &clients{kube: kube, ambient: ambientfake.NewSimpleClientset()}, "cluster", prometheus.NewRegistry(), newProbes())
			if err := r.informers.roleBindings.GetStore().Add(binding); err != nil {
				t.Fatal(err)
			}
			project := &v1alpha1.Project{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Status: v1alpha1.ProjectStatus{Cluster: "cluster"}}
			r.handlers()["projects"].OnDelete(test.event(project))
			if _, err := r.settingsPasses.Reconcile(ctx, "team"); err != nil {
				t.Fatal(err)
			}
			_, err := kube.RbacV1().RoleBindings("team").Get(ctx, "access", metav1.GetOptions{})
			if apierrors.IsNotFound(err) != test.revoked {
				t.Errorf("the binding: %v", err)
			}
		})
	}
}
