package docs

import (
	"testing"

	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// TestTheAuditPolicyKeepsContentsOut asks the library, as kube-apiserver does, what the
// example has written down of each object that may hold a token.
func TestTheAuditPolicyKeepsContentsOut(t *testing.T) {
	example, err := policy.LoadPolicyFromFile("examples/audit-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What a cluster may have behind it.
	example.Rules = append(example.Rules, audit.PolicyRule{Level: audit.LevelRequestResponse})
	evaluator := policy.NewPolicyRuleEvaluator(example)
	for _, test := range []struct {
		group, resource, subresource string
		want                         audit.Level
	}{
		{"ambient.io", "sessions", "", audit.LevelMetadata},
		{"ambient.io", "sessions", "status", audit.LevelMetadata},
		{"ambient.io", "sessions", "start", audit.LevelMetadata},
		{"ambient.io", "projects", "", audit.LevelMetadata},
		{"vteam.ambient-code", "agenticsessions", "", audit.LevelMetadata},
		{"vteam.ambient-code", "agenticsessions", "status", audit.LevelMetadata},
		{"", "secrets", "", audit.LevelMetadata},
		{"", "serviceaccounts", "token", audit.LevelMetadata},
		{"authentication.k8s.io", "tokenreviews", "", audit.LevelMetadata},
		{"", "serviceaccounts", "", audit.LevelRequestResponse},
		{"apps", "deployments", "", audit.LevelRequestResponse},
	} {
		for _, verb := range []string{"create", "update", "patch", "delete", "get"} {
			got := evaluator.EvaluatePolicyRule(authorizer.AttributesRecord{
				ResourceRequest: true, Verb: verb, APIGroup: test.group, APIVersion: "v1", Resource: test.resource, Subresource: test.subresource, Namespace: "payments", Name: "any",
			})
			if got.Level != test.want {
				t.Errorf("%s of %s/%s %s is written down at level %s, want %s", verb, test.group, test.resource, test.subresource, got.Level, test.want)
			}
		}
	}
}
