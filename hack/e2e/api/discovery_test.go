package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// ourModels begins the name of every schema of ours.
const ourModels = "com.github.ambient-code.ambient-kube.apiserver.apis.ambient.v1alpha1."

func TestAPIResources(t *testing.T) {
	t.Parallel()
	output := stand.Kubectl(t, "api-resources", "--api-group=ambient.io", "-o", "wide", "--no-headers").Stdout
	want := map[string][]string{
		"sessions":        {"sess", "ambient.io/v1alpha1", "true", "Session", "create,delete,deletecollection,get,list,patch,update,watch", "ambient"},
		"projects":        {"proj", "ambient.io/v1alpha1", "false", "Project", "create,delete,deletecollection,get,list,patch,update,watch", "ambient"},
		"projectsettings": {"ambient.io/v1alpha1", "true", "ProjectSettings", "create,delete,deletecollection,get,list,patch,update,watch", "ambient"},
	}
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if len(lines) != len(want) {
		t.Errorf("%d resources, want %d:\n%s", len(lines), len(want), output)
	}
	for _, line := range lines {
		fields := strings.Fields(line)
		if got, expected := strings.Join(fields[1:], " "), strings.Join(want[fields[0]], " "); got != expected {
			t.Errorf("%s: got %q, want %q", fields[0], got, expected)
		}
	}
}

func TestSubresourcesInDiscovery(t *testing.T) {
	t.Parallel()
	answer := stand.Do(t, harness.Request{Method: "GET", Path: "/apis/ambient.io/v1alpha1"})
	var list struct {
		Resources []struct {
			Name  string   `json:"name"`
			Kind  string   `json:"kind"`
			Verbs []string `json:"verbs"`
		} `json:"resources"`
	}
	if err := json.Unmarshal([]byte(answer.Body), &list); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, resource := range list.Resources {
		got[resource.Name] = resource.Kind + " " + strings.Join(resource.Verbs, ",")
	}
	for name, want := range map[string]string{
		"sessions/status":        "Session get,patch,update",
		"projects/status":        "Project get,patch,update",
		"projectsettings/status": "ProjectSettings get,patch,update",
		"sessions/start":         "SessionRequest create",
		"sessions/stop":          "SessionRequest create",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

func TestExplainTeachesEveryField(t *testing.T) {
	t.Parallel()
	explain := []string{"explain", "session.spec", "--recursive", "--api-version=ambient.io/v1alpha1"}
	// kube-apiserver learns of our kinds in the background.
	harness.Eventually(t, "kubectl explain knows our kinds", func() error {
		if answer := stand.TryKubectl(t, "", explain...); answer.ExitCode != 0 {
			return errors.New(answer.Stderr)
		}
		return nil
	})
	fields := stand.Kubectl(t, explain...).Stdout
	harness.Contains(t, fields, "What the session is asked to do",
		"agentID", "assignedUserID", "botAccountName", "createdBy", "displayName", "environment", "llm", "maxTokens",
		"model", "temperature", "parentSessionID", "prompt", "repositories", "autoPush", "branch", "url", "repositoryURL",
		"resourceOverrides", "cpu", "memory", "priorityClassName", "storageClassName", "timeoutSeconds", "workflow", "gitURL", "path")
	harness.Contains(t, stand.Kubectl(t, "explain", "sessions.ambient.io.spec.llm.temperature").Stdout, "0 is a value, not an absence")
	harness.Contains(t, stand.Kubectl(t, "explain", "projectsettings.spec.groupAccess.role", "--api-version=ambient.io/v1alpha1").Stdout, "admin, edit or view")
	harness.Contains(t, stand.Kubectl(t, "explain", "projects.ambient.io").Stdout, "a name can be used once")
}

// Every field that is served has a description, in both forms of OpenAPI.
func TestOpenAPIDescribesEveryField(t *testing.T) {
	t.Parallel()
	type schema struct {
		Description string                     `json:"description"`
		Properties  map[string]json.RawMessage `json:"properties"`
	}
	check := func(t *testing.T, schemas map[string]json.RawMessage, kind string) {
		t.Helper()
		ours := 0
		for name, raw := range schemas {
			if !strings.HasPrefix(name, ourModels) {
				continue
			}
			ours++
			var found schema
			if err := json.Unmarshal(raw, &found); err != nil {
				t.Fatal(err)
			}
			for property, raw := range found.Properties {
				var described schema
				if err := json.Unmarshal(raw, &described); err != nil {
					t.Fatal(err)
				}
				if described.Description == "" {
					t.Errorf("%s: %s.%s has no description", kind, name, property)
				}
			}
		}
		if ours < 10 {
			t.Errorf("%s describes %d types of ours only", kind, ours)
		}
	}
	var third struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(stand.Do(t, harness.Request{Method: "GET", Path: "/openapi/v3/apis/ambient.io/v1alpha1"}).Body), &third); err != nil {
		t.Fatal(err)
	}
	check(t, third.Components.Schemas, "OpenAPI v3")
	// The aggregator downloads the second version in the background.
	harness.Eventually(t, "the aggregated OpenAPI v2 holds our types", func() error {
		var second struct {
			Definitions map[string]json.RawMessage `json:"definitions"`
		}
		body := stand.Do(t, harness.Request{Method: "GET", Path: "/openapi/v2"}).Body
		if err := json.Unmarshal([]byte(body), &second); err != nil {
			return err
		}
		if !strings.Contains(body, ourModels) {
			return errNotYet
		}
		check(t, second.Definitions, "OpenAPI v2")
		return nil
	})
}
