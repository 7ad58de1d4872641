package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
)

// sessions guards what the reconciler owns of an AgenticSession. Without it such
// an edit is undone a moment later; with it, whoever makes it learns where to make
// it.
type sessions struct{ exempt []string }

func (s sessions) judge(_ context.Context, request *admissionv1.AdmissionRequest) (string, error) {
	// The deletion of an AgenticSession must never depend on us, and status is the
	// operator's.
	if request.Operation != admissionv1.Update || request.SubResource != "" || slices.Contains(s.exempt, request.UserInfo.Username) {
		return "", nil
	}
	before, err := decode(request.OldObject)
	if err != nil {
		return "", err
	}
	after, err := decode(request.Object)
	if err != nil {
		return "", err
	}
	changed, err := agenticsession.OwnedChanges(before, after)
	if err != nil || len(changed) == 0 {
		return "", err
	}
	namespace := before.GetNamespace()
	session := before.GetAnnotations()[agenticsession.SessionNameAnnotation]
	if session == "" {
		session = before.GetName()
	}
	return fmt.Sprintf("AgenticSession %s/%s is made from Session %s/%s, which says what %s is. Change the Session instead: kubectl edit sessions.ambient.io %s -n %s",
		namespace, before.GetName(), namespace, session, strings.Join(changed, ", "), session, namespace), nil
}

func decode(raw runtime.RawExtension) (*unstructured.Unstructured, error) {
	var object unstructured.Unstructured
	if err := json.Unmarshal(raw.Raw, &object); err != nil {
		return nil, fmt.Errorf("reading an AgenticSession: %w", err)
	}
	return &object, nil
}
