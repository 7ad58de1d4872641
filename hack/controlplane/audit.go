package controlplane

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// AuditLog is the file in which kube-apiserver of a control plane in the directory
// writes down what the audited users ask, without what the requests hold: one audit
// event a line, as JSON.
func AuditLog(directory string) string { return filepath.Join(directory, "audit.log") }

func (s *starter) auditPolicy() string {
	return filepath.Join(s.options.Directory, "audit-policy.json")
}

func (s *starter) prepareAudit() error {
	if len(s.options.Audited) == 0 {
		return nil
	}
	policy := auditv1.Policy{
		TypeMeta:   metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
		OmitStages: []auditv1.Stage{auditv1.StageRequestReceived},
		Rules:      []auditv1.PolicyRule{{Level: auditv1.LevelMetadata, Users: s.options.Audited}},
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

func (s *starter) auditArguments() []string {
	if len(s.options.Audited) == 0 {
		return nil
	}
	return []string{"--audit-policy-file=" + s.auditPolicy(), "--audit-log-path=" + AuditLog(s.options.Directory)}
}
