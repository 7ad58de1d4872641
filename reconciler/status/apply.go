package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	applyv1alpha1 "github.com/ambient-code/ambient-kube/apiserver/client/applyconfiguration/ambient/v1alpha1"
)

// Equal tells whether two states of a Session's status differ in nothing that
// the reconciler writes: conditions that the API server computes don't count,
// nor does the order of conditions.
func Equal(a, b v1alpha1.SessionStatus) bool {
	a.Conditions, b.Conditions = written(a.Conditions), written(b.Conditions)
	return equality.Semantic.DeepEqual(a, b)
}

func written(conditions []metav1.Condition) []metav1.Condition {
	var result []metav1.Condition
	for _, condition := range conditions {
		if !isComputed(condition.Type) {
			result = append(result, condition)
		}
	}
	slices.SortFunc(result, func(a, b metav1.Condition) int { return cmp.Compare(a.Type, b.Type) })
	return result
}

// Configuration returns the apply configuration that gives the session as it was
// read the status desired. It is refused if the session has changed since.
func Configuration(session *v1alpha1.Session, desired v1alpha1.SessionStatus) (*applyv1alpha1.SessionApplyConfiguration, error) {
	content, err := json.Marshal(desired)
	if err != nil {
		return nil, fmt.Errorf("encoding the status of session %s/%s: %w", session.Namespace, session.Name, err)
	}
	to := applyv1alpha1.SessionStatus()
	if err := json.Unmarshal(content, to); err != nil {
		return nil, fmt.Errorf("decoding the status of session %s/%s: %w", session.Namespace, session.Name, err)
	}
	return applyv1alpha1.Session(session.Name, session.Namespace).
		WithUID(session.UID).
		WithResourceVersion(session.ResourceVersion).
		WithStatus(to), nil
}
