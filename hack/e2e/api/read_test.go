package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

var errNotYet = errors.New("not yet")

// cells cuts a table of kubectl into its cells, the header first.
func cells(output string) [][]string {
	var rows [][]string
	for line := range strings.Lines(output) {
		rows = append(rows, strings.Fields(line))
	}
	return rows
}

func TestGetShowsTables(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	stand.KubectlWithInput(t, sessionManifest(project, "full", "displayName: Full",
		"repositories:", "- url: https://example.com/a/one", "- url: https://example.com/a/two", "llm: {model: opus}"), "create", "-f", "-")
	created := getSession(t, project, "full")
	stand.Upstream.SetPhase(t, created.Status.SessionID, v1alpha1.SessionRunning)
	harness.Eventually(t, "the phase is shown", func() error {
		if phase := getSession(t, project, "full").Status.Phase; phase != v1alpha1.SessionRunning {
			return fmt.Errorf("the phase is %q", phase)
		}
		return nil
	})

	t.Run("of sessions", func(t *testing.T) {
		rows := cells(stand.Kubectl(t, "get", "sess", "-n", project).Stdout)
		if got, want := strings.Join(rows[0], " "), "NAME PHASE MODEL PROJECT AGE"; got != want {
			t.Errorf("columns %q, want %q", got, want)
		}
		if got, want := strings.Join(rows[1][:4], " "), "full Running opus "+project; got != want {
			t.Errorf("row %q, want %q", got, want)
		}
	})
	t.Run("of sessions of all namespaces", func(t *testing.T) {
		output := stand.Kubectl(t, "get", "sessions.ambient.io", "-A").Stdout
		if header := cells(output)[0]; header[0] != "NAMESPACE" {
			t.Errorf("columns %v", header)
		}
		if !slices.ContainsFunc(cells(output), func(row []string) bool { return row[0] == project && row[1] == "full" }) {
			t.Errorf("no row of %s/full in:\n%s", project, output)
		}
	})
	t.Run("wide", func(t *testing.T) {
		output := stand.Kubectl(t, "get", "sessions.ambient.io", "-n", project, "-o", "wide").Stdout
		harness.Contains(t, output, "DISPLAY NAME", "REPO", "CR", "ID", "Full", "https://example.com/a/one + 1 more", created.Status.SessionID)
	})
	t.Run("of projects and settings", func(t *testing.T) {
		harness.Contains(t, stand.Kubectl(t, "get", "proj", project, "-o", "wide").Stdout, "DISPLAY NAME", "PHASE", "AGE", "NAMESPACE", project)
		stand.KubectlWithInput(t, settingsManifest(project, "developers", "edit"), "create", "-f", "-")
		harness.Contains(t, stand.Kubectl(t, "get", "projectsettings.ambient.io", "-n", project).Stdout, "GROUPS", "REPOSITORIES", "settings", "developers=edit")
	})
	t.Run("of the category", func(t *testing.T) {
		harness.Contains(t, stand.Kubectl(t, "get", "ambient", "-n", project).Stdout,
			"session.ambient.io/full", "project.ambient.io/"+project, "projectsettings.ambient.io/settings")
	})
	t.Run("described", func(t *testing.T) {
		harness.Contains(t, stand.Kubectl(t, "describe", "sessions.ambient.io", "full", "-n", project).Stdout,
			"Name:         full", "Namespace:    "+project, "Kind:         Session", "Display Name:", "Model:        opus", "Phase:", "Session ID:")
	})
}

func TestGetYAMLIsWhatWasMade(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	stand.KubectlWithInput(t, sessionManifest(project, "exact", "timeoutSeconds: 90", "environment: {A: b}", "llm: {temperature: 0}",
		"workflow: {gitURL: 'https://example.com/w', branch: main, path: flows}", "resourceOverrides: {cpu: 500m}"), "create", "-f", "-")
	var session v1alpha1.Session
	if err := json.Unmarshal([]byte(stand.Kubectl(t, "get", "sessions.ambient.io", "exact", "-n", project, "-o", "json").Stdout), &session); err != nil {
		t.Fatal(err)
	}
	harness.Contains(t, stand.Kubectl(t, "get", "sessions.ambient.io", "exact", "-n", project, "-o", "yaml").Stdout,
		"apiVersion: ambient.io/v1alpha1", "kind: Session", "temperature: 0", "timeoutSeconds: 90", "A: b", "gitURL: https://example.com/w", "cpu: 500m", "uid: ", "resourceVersion: ", "generation: 1")
	row := rowOf(t, project, "exact")
	if session.Status.SessionID != row.GetMetadata().GetId() || session.Labels[v1alpha1.SessionIDLabel] != row.GetMetadata().GetId() {
		t.Errorf("the upstream's id is %q, shown is %q", row.GetMetadata().GetId(), session.Status.SessionID)
	}
	if row.GetPrompt() != "Say hello" || row.GetTimeout() != 90 || row.LlmTemperature == nil || row.GetLlmTemperature() != 0 || row.GetEnvironmentVariables() != `{"A":"b"}` {
		t.Errorf("the row upstream is %v", row)
	}
}

func TestSelectorsAndPages(t *testing.T) {
	t.Parallel()
	project := newProject(t)
	for i := range 5 {
		labels := fmt.Sprintf(`{"parity":"%d"}`, i%2)
		row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: fmt.Sprintf("number %d", i), ProjectId: &project, Labels: &labels})
		if i < 3 {
			stand.Upstream.SetPhase(t, row.GetMetadata().GetId(), v1alpha1.SessionRunning)
		}
	}
	count := func(arguments ...string) int {
		output := stand.Kubectl(t, append([]string{"get", "sessions.ambient.io", "-n", project, "-o", "name"}, arguments...)...).Stdout
		return len(cells(output))
	}
	harness.Eventually(t, "all sessions are shown", func() error {
		if all, running := count(), count("--field-selector=status.phase=Running"); all != 5 || running != 3 {
			return fmt.Errorf("%d sessions, %d of them run", all, running)
		}
		return nil
	})
	for _, test := range []struct {
		arguments []string
		want      int
	}{
		{[]string{"--field-selector=status.phase!=Running"}, 2},
		{[]string{"--field-selector=spec.displayName=number 3"}, 1},
		{[]string{"--field-selector=metadata.namespace=" + project}, 5},
		{[]string{"--field-selector=metadata.name=nobody"}, 0},
		{[]string{"-l", "parity=1"}, 2},
		{[]string{"-l", "parity!=1"}, 3},
		{[]string{"-l", "parity=0", "--field-selector=status.phase=Running"}, 2},
		{[]string{"--chunk-size=2"}, 5},
		{[]string{"--chunk-size=2", "-l", "parity"}, 5},
	} {
		if got := count(test.arguments...); got != test.want {
			t.Errorf("%v: %d sessions, want %d", test.arguments, got, test.want)
		}
	}

	t.Run("pages hold together", func(t *testing.T) {
		seen := map[string]bool{}
		next, version, pages := "", "", 0
		for {
			list := page(t, project, next)
			if version == "" {
				version = list.ResourceVersion
			}
			if list.ResourceVersion != version || len(list.Items) > 2 {
				t.Errorf("page %d has %d items at version %s, the first one was at %s", pages, len(list.Items), list.ResourceVersion, version)
			}
			if pages == 0 {
				// What comes later is no part of the picture.
				newSession(t, project, "a-late-one")
			}
			for _, session := range list.Items {
				seen[session.Name] = true
			}
			pages++
			if next = list.Continue; next == "" {
				break
			}
		}
		if pages != 3 || len(seen) != 5 || seen["a-late-one"] {
			t.Errorf("%d pages with %d different sessions", pages, len(seen))
		}
	})
}

func page(t *testing.T, project, next string) v1alpha1.SessionList {
	t.Helper()
	path := "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions?limit=2"
	if next != "" {
		path += "&continue=" + next
	}
	var list v1alpha1.SessionList
	if err := json.Unmarshal([]byte(stand.Do(t, harness.Request{Method: "GET", Path: path}).Body), &list); err != nil {
		t.Fatal(err)
	}
	return list
}
