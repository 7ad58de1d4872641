package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// AuditLog is the file in which kube-apiserver writes down what our accounts ask,
// without what the requests hold: one audit event a line, as JSON.
func (s *Stack) AuditLog() string { return filepath.Join(s.options.Directory, "audit.log") }

func (s *Stack) auditPolicy() string { return filepath.Join(s.options.Directory, "audit-policy.json") }

func (s *Stack) prepareAudit() error {
	policy := auditv1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages: []auditv1.Stage{auditv1.StageRequestReceived},
		Rules:      []auditv1.PolicyRule{{Level: auditv1.LevelMetadata, Users: []string{UserName(APIServerName), UserName(ReconcilerName)}}},
	}
	text, err := json.Marshal(policy)
	if err != nil {
		return fmt.Errorf("encoding the audit policy: %w", err)
	}
	if err := os.WriteFile(s.auditPolicy(), text, 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	return nil
}

func (s *Stack) auditArguments() []string {
	if !s.options.Audit {
		return nil
	}
	return []string{"--audit-policy-file=" + s.auditPolicy(), "--audit-log-path=" + s.AuditLog()}
}
