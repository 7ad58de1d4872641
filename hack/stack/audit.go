package stack

import "github.com/ambient-code/ambient-kube/hack/controlplane"

// AuditLog is the file in which kube-apiserver writes down what our accounts ask:
// see controlplane.AuditLog.
func (s *Stack) AuditLog() string { return controlplane.AuditLog(s.options.Directory) }

// audited are the users whose requests are written down.
func (s *Stack) audited() []string {
	if !s.options.Audit {
		return nil
	}
	return []string{UserName(APIServerName), UserName(ReconcilerName)}
}
