// Package api tests the aggregated API server against a real control plane and
// the embedded upstream, by kubectl, client-go, plain HTTP and gRPC. Reconciler
// and operator do not run: nothing but the tests and our server acts.
package api

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// stand is the system that all tests of the package share. Each test has a
// project of its own.
var stand *harness.Stand

var malformedSelector = regexp.MustCompile(`requestinfo\.go.*Couldn't parse request.*a===b`)

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, harness.Options{
		Stack: stack.Options{Without: []string{stack.OperatorName, stack.ReconcilerName}},
		Allowed: []harness.Allowed{
			{
				Process: controlplane.ControllerManagerName,
				Pattern: regexp.MustCompile(`namespace_controller\.go.*Deletion of namespace failed.*ambient\.io/allow-cascade=true`),
				Why:     "tests delete namespaces that hold sessions",
			},
			{
				Process: controlplane.ControllerManagerName,
				Pattern: regexp.MustCompile(`resource_quota_controller\.go.*Operation cannot be fulfilled on resourcequotas.*the object has been modified`),
				Why:     "an accepted object is counted at the same moment, and the controller tries again",
			},
			{Process: controlplane.APIServerName, Pattern: malformedSelector, Why: "the table of bad input has a malformed selector"},
			{Process: stack.APIServerName, Pattern: regexp.MustCompile(`authentication\.go.*Unable to authenticate the request.*invalid bearer token`), Why: "a test sends such a token"},
			{Process: stack.APIServerName, Pattern: malformedSelector, Why: "the table of bad input has a malformed selector"},
		},
	}, func(s *harness.Stand) { stand = s }))
}

// newProject creates a project that no other test uses.
func newProject(t *testing.T) string {
	t.Helper()
	return stand.NewProject(t)
}

// newSession creates a session by client-go.
func newSession(t *testing.T, project, name string) *v1alpha1.Session {
	t.Helper()
	return stand.NewSession(t, project, name)
}

// getSession reads a session by client-go.
func getSession(t *testing.T, project, name string) *v1alpha1.Session {
	t.Helper()
	session, err := stand.Ambient.AmbientV1alpha1().Sessions(project).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading session %s/%s: %v", project, name, err)
	}
	return session
}

// rowOf returns the only row of the project's sessions with the display name.
func rowOf(t *testing.T, project, displayName string) *ambientv1.Session {
	t.Helper()
	var found []*ambientv1.Session
	for _, row := range stand.Upstream.SessionsIn(t, project) {
		if row.GetName() == displayName {
			found = append(found, row)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d rows of project %s have the name %q, want 1", len(found), project, displayName)
	}
	return found[0]
}

// namesIn returns the names of the project's sessions, sorted as the API lists
// them.
func namesIn(ctx context.Context, project string) ([]string, error) {
	list, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing sessions of %s: %w", project, err)
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, nil
}

// sessionManifest is the YAML of a session; further lines stand below spec.
func sessionManifest(project, name string, specLines ...string) string {
	var spec strings.Builder
	for _, line := range append([]string{"prompt: Say hello"}, specLines...) {
		fmt.Fprintf(&spec, "  %s\n", line)
	}
	return fmt.Sprintf("apiVersion: ambient.io/v1alpha1\nkind: Session\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n%s", name, project, spec.String())
}

func projectManifest(name, displayName string) string {
	return fmt.Sprintf("apiVersion: ambient.io/v1alpha1\nkind: Project\nmetadata:\n  name: %s\nspec:\n  displayName: %s\n", name, displayName)
}

func settingsManifest(project, group, role string) string {
	return fmt.Sprintf("apiVersion: ambient.io/v1alpha1\nkind: ProjectSettings\nmetadata:\n  name: settings\n  namespace: %s\nspec:\n  groupAccess:\n  - groupName: %s\n    role: %s\n", project, group, role)
}
