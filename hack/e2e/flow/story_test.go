package flow

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// chapter is a step that somebody would ask about, and how kubectl describe tells
// it.
type chapter struct{ reason, message string }

// Whatever happens to a session is told by kubectl describe of the Session, of its
// Project and of its AgenticSession, each step by one event.
func TestDescribeTellsTheStory(t *testing.T) {
	project := stand.NewProject(t)
	id := stand.NewSession(t, project, "worker").Status.SessionID
	resource := running(t, id)
	stand.Kubectl(t, "patch", "sessions.ambient.io", "worker", "-n", project, "--type=merge", "--patch", `{"spec":{"prompt":"Say goodbye"}}`)
	awaitPrompt(t, id, "Say goodbye")
	ambient(t, project, "stop", "worker", "--wait", "--reason=the story has a turn")
	awaitSettled(t, id, v1alpha1.SessionStopped)
	ambient(t, project, "start", "worker", "--wait", "--reason=all is well again")
	awaitSettled(t, id, v1alpha1.SessionRunning)
	patchResource(t, resource, `{"spec":{"initialPrompt":"Buy me a coffee"}}`)
	awaitPrompt(t, id, "Say goodbye")

	awaitStory(t, []string{"sessions.ambient.io", "worker", "-n", project}, []chapter{
		{"Projected", "Made AgenticSession " + resource.GetName()},
		{"PhaseChanged", "Phase Running, as the operator reports"},
		{"Updated", "Brought AgenticSession " + resource.GetName() + " in line with the Session"},
		{"Requested", "asked for a stop: the story has a turn"},
		{"StopRequested", "Asked the operator for phase Stopped"},
		{"PhaseChanged", "Phase Stopped, as the operator reports"},
		{"Requested", "asked for a start: all is well again"},
		{"StartRequested", "Asked the operator for phase Running"},
		{"Healed", "AgenticSession " + resource.GetName() + " had been changed by others and was set back"},
	})
	awaitStory(t, []string{"agenticsessions.vteam.ambient-code", resource.GetName(), "-n", project}, []chapter{
		{"Projected", "Made for Session worker"},
		{"Updated", "Brought in line with Session worker"},
		{"StopRequested", "Session worker asks for phase Stopped"},
		{"StartRequested", "Session worker asks for phase Running"},
		{"Healed", "Fields that belong to Session worker had been changed and were set back"},
	})
	awaitStory(t, []string{"projects.ambient.io", project}, []chapter{{"NamespaceCreated", "Made namespace " + project}})

	// An end is kept, and so is the word that what ran it is gone.
	ambient(t, project, "stop", "worker", "--wait")
	awaitSettled(t, id, v1alpha1.SessionStopped)
	stand.Kubectl(t, "delete", "agenticsessions.vteam.ambient-code", resource.GetName(), "-n", project)
	awaitStory(t, []string{"sessions.ambient.io", "worker", "-n", project}, []chapter{{"CustomResourceLost", "The AgenticSession is gone"}})
}

// awaitPrompt waits until the AgenticSession has the prompt.
func awaitPrompt(t *testing.T, id, prompt string) {
	t.Helper()
	awaitResourceState(t, id, fmt.Sprintf("has prompt %q", prompt), func(resource *unstructured.Unstructured) bool {
		return text(resource, "spec", "initialPrompt") == prompt
	})
}

// awaitStory waits until kubectl describe shows each chapter in one line of its
// events.
func awaitStory(t *testing.T, object []string, story []chapter) {
	t.Helper()
	harness.Eventually(t, "kubectl describe "+strings.Join(object, " ")+" tells the story", func() error {
		output := stand.Kubectl(t, append([]string{"describe"}, object...)...).Stdout
		_, events, _ := strings.Cut(output, "\nEvents:")
		for _, chapter := range story {
			lines := 0
			for line := range strings.Lines(events) {
				if fields := strings.Fields(line); len(fields) > 1 && fields[1] == chapter.reason && strings.Contains(line, chapter.message) {
					lines++
				}
			}
			if lines != 1 {
				return fmt.Errorf("%d lines tell %s, %q:\n%s", lines, chapter.reason, chapter.message, events)
			}
		}
		return nil
	})
}
