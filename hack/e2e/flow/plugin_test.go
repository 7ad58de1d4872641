package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

func ambient(t *testing.T, project string, arguments ...string) harness.Output {
	t.Helper()
	return stand.Kubectl(t, slices.Concat([]string{"ambient"}, arguments, []string{"-n", project})...)
}

func ambientFails(t *testing.T, project string, arguments ...string) harness.Output {
	t.Helper()
	output := stand.KubectlFails(t, "", slices.Concat([]string{"ambient"}, arguments, []string{"-n", project})...)
	if output.ExitCode != 1 {
		t.Errorf("kubectl ambient %s ended with exit code %d", strings.Join(arguments, " "), output.ExitCode)
	}
	return output
}

func TestThePluginStopsAndStarts(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)

	output := ambient(t, project, "stop", "worker", "--wait", "--reason=a try of the plugin")
	if want := "session.ambient.io/worker stop requested\nsession.ambient.io/worker is Stopped\n"; output.Stdout != want || output.Stderr != "" {
		t.Errorf("a stop prints %q and %q, want %q", output.Stdout, output.Stderr, want)
	}
	if phase := getSession(t, project, "worker").Status.Phase; phase != v1alpha1.SessionStopped {
		t.Errorf("after a stop that was waited for it is %s", phase)
	}
	awaitEvent(t, project, "asked for a stop: a try of the plugin")

	output = ambient(t, project, "status", "worker")
	harness.Contains(t, output.Stdout, project+"/worker", "Stopped", "Stopped by:", "user", "Started:", "Ended:", "agenticsession/"+resource.GetName(), id,
		"CONDITION", "Ready", "Projected")

	output = ambientFails(t, project, "stop", "worker")
	harness.Contains(t, output.Stderr, "Error from server (Conflict)", `"worker"`, "Stopped cannot be stopped")
	output = ambientFails(t, project, "stop", "worker", "--dry-run=server")
	harness.Contains(t, output.Stderr, "Error from server (Conflict)")

	output = ambient(t, project, "start", "worker", "--dry-run=server")
	harness.Contains(t, output.Stdout, "start requested (server dry run)")
	if phase := getSession(t, project, "worker").Status.Phase; phase != v1alpha1.SessionStopped {
		t.Errorf("after a dry run it is %s", phase)
	}

	output = ambient(t, project, "start", "worker", "--wait")
	harness.Contains(t, output.Stdout, "is Running")
	harness.Contains(t, ambient(t, project, "status", "worker", "--wait").Stdout, "Running")
	checkLaunches(t, project, map[string]launches{resource.GetName(): {Prompts: 1, Runners: 2}})
}

func TestThePluginTellsWhatIsRefused(t *testing.T) {
	project := stand.NewProject(t)
	for _, action := range []string{"start", "stop", "status"} {
		harness.Contains(t, ambientFails(t, project, action, "nobody").Stderr, "Error from server (NotFound)", `"nobody" not found`)
		harness.Contains(t, ambientFails(t, project, action, "nobody", "--as=a-stranger").Stderr, "Error from server (Forbidden)", "a-stranger")
		harness.Contains(t, ambientFails(t, project, action).Stderr, "error: name one session")
	}
}

// A wait outlives the server that it watches.
func TestThePluginWaitsOverARestart(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	running(t, id)
	terminate(t, stand.Stack.Operator)
	stop := stand.StartKubectl(t, "ambient", "stop", "worker", "-n", project, "--wait", "--timeout=0")
	stop.AwaitLine(t, "stop requested")
	terminate(t, stand.Stack.Extension)
	harness.Restart(t, stand.Stack.Extension)
	harness.Restart(t, stand.Stack.Operator)
	stop.AwaitLine(t, "is Stopped")
}

// kubectl completes what is typed behind kubectl ambient by a program of ours.
func TestThePluginCompletes(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	running(t, id)
	script(t, project, "crash")
	failed := stand.NewSession(t, project, "wreck").Status.SessionID
	awaitPhase(t, failed, v1alpha1.SessionFailed)
	for _, test := range []struct {
		typed []string
		want  []string
	}{
		{[]string{"ambient", "st"}, []string{"start", "status", "stop"}},
		{[]string{"ambient", "stop", "-n", project, ""}, []string{"worker"}},
		{[]string{"ambient", "start", "-n", project, ""}, []string{"wreck"}},
		{[]string{"ambient", "status", "-n", project, ""}, []string{"worker", "wreck"}},
		{[]string{"ambient", "stop", "worker", "--dry-run", ""}, []string{"none", "server"}},
		{[]string{"ambient", "stop", "worker", "-n", project[:len(project)-1]}, []string{project}},
		{[]string{"ambient", "stop", "-n", project, "worker", ""}, nil},
	} {
		// Whoever waits for a word is not kept waiting: an answer that is late is left out.
		harness.Eventually(t, "words behind kubectl "+strings.Join(test.typed, " "), func() error {
			var got []string
			for line := range strings.Lines(stand.Kubectl(t, append([]string{"__complete"}, test.typed...)...).Stdout) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				if word != "" && !strings.HasPrefix(word, ":") {
					got = append(got, word)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				return fmt.Errorf("got %q, want %q", got, test.want)
			}
			return nil
		})
	}
}

// Whoever may edit in a project may start and stop its sessions by the plugin.
func TestThePluginNeedsTheRightsOfEditors(t *testing.T) {
	project := stand.NewProject(t)
	running(t, stand.NewSession(t, project, "worker").Status.SessionID)
	for role, user := range map[string]string{"edit": "an-editor", "view": "a-viewer"} {
		stand.Kubectl(t, "create", "rolebinding", user, "--clusterrole="+role, "--user="+user, "-n", project)
	}
	harness.Contains(t, ambientFails(t, project, "stop", "worker", "--as=a-viewer").Stderr, "Error from server (Forbidden)")
	harness.Eventually(t, "kube-apiserver knows of the editor", func() error {
		if output := stand.TryKubectl(t, "", "auth", "can-i", "create", "sessions.ambient.io/stop", "-n", project, "--as=an-editor"); output.ExitCode != 0 {
			return fmt.Errorf("it says %q", output.Stdout)
		}
		return nil
	})
	harness.Contains(t, ambient(t, project, "stop", "worker", "--wait", "--as=an-editor").Stdout, "is Stopped")
	awaitEvent(t, project, "an-editor asked for a stop")
}

// awaitEvent waits for an event of the namespace with the text in its message.
func awaitEvent(t *testing.T, namespace, text string) {
	t.Helper()
	harness.Eventually(t, fmt.Sprintf("an event in %s says %q", namespace, text), func() error {
		output := stand.Kubectl(t, "get", "events", "-n", namespace, "--output=jsonpath={range .items[*]}{.message}{\"\\n\"}{end}")
		if !strings.Contains(output.Stdout, text) {
			return fmt.Errorf("they say\n%s", output.Stdout)
		}
		return nil
	})
}
