package api

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// A quota bounds the sessions of a namespace as it bounds any other objects.
func TestDecision23AQuotaBoundsSessions(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: project, Annotations: map[string]string{v1alpha1.AdoptAnnotation: "true"}}}
	if _, err := stand.Kubernetes.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const counted = corev1.ResourceName("count/sessions.ambient.io")
	quotas := stand.Kubernetes.CoreV1().ResourceQuotas(project)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "sessions"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{counted: resource.MustParse("1")}}}
	if _, err := quotas.Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	used := func(want string) {
		t.Helper()
		harness.Eventually(t, "the quota counts "+want, func() error {
			quota, err := quotas.Get(t.Context(), "sessions", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if used, known := quota.Status.Used[counted]; !known || used.String() != want {
				return fmt.Errorf("used are %v", quota.Status.Used)
			}
			return nil
		})
	}
	used("0")

	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	create := func(name string) error {
		_, err := sessions.Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: project}}, metav1.CreateOptions{})
		return err
	}
	if err := create("first"); err != nil {
		t.Fatal(err)
	}
	used("1")
	before := len(stand.Upstream.SessionsIn(t, project))
	err := create("second")
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: sessions, requested: count/sessions.ambient.io=1") {
		t.Errorf("a session more than the quota allows: %v", err)
	}
	if rows := len(stand.Upstream.SessionsIn(t, project)); rows != before {
		t.Errorf("the upstream has %d rows, had %d", rows, before)
	}
	if err := sessions.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	used("0")
	if err := create("second"); err != nil {
		t.Error(err)
	}
}
