package apiserver

import (
	"errors"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestAdmissionSeesTheNamespaceThatIsAboutToBeMade(t *testing.T) {
	present := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "present", Labels: map[string]string{"own": "label"}}}
	client := admissionClient{fake.NewSimpleClientset(present), "ambient-unassigned"}
	for name, want := range map[string]map[string]string{
		"present": {"own": "label"},
		"absent": {
			"kubernetes.io/metadata.name": "absent", "ambient-code.io/managed": "true", "ambient-code.io/project-id": "absent",
		},
		"ambient-unassigned": {"kubernetes.io/metadata.name": "ambient-unassigned"},
	} {
		namespace, err := client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || namespace.Name != name || !maps.Equal(namespace.Labels, want) {
			t.Errorf("%s: %v, %v; want the labels %v", name, namespace, err, want)
		}
	}
}

func TestAdmissionLearnsThatTheClusterDoesNotAnswer(t *testing.T) {
	failing := fake.NewSimpleClientset()
	outage := errors.New("nobody is there")
	failing.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, outage })
	client := admissionClient{failing, "ambient-unassigned"}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), "any", metav1.GetOptions{}); !errors.Is(err, outage) {
		t.Errorf("got %v, want the cluster's failure", err)
	}
}
