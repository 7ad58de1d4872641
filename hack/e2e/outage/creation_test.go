package outage

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// A client that left the name to the server and hears nothing of the outcome makes one
// try: the next one would bear another name.
func TestDecision5AGeneratedNameMakesOneRow(t *testing.T) {
	project := stand.NewProject(t)
	sessions := stand.Ambient.AmbientV1alpha1().Sessions(project)
	// The answers that would tell are lost, too, for longer than the request waits.
	stand.Upstream.Fault(t, `{"methods":["CreateSession","ListSessions"],"loseReplyOneIn":1}`)
	before := stand.Upstream.Calls(t)["CreateSession"]
	_, err := sessions.Create(t.Context(), &v1alpha1.Session{ObjectMeta: metav1.ObjectMeta{GenerateName: "fix-"}}, metav1.CreateOptions{})
	if err == nil {
		t.Fatal("a creation of which nobody knows was answered")
	}
	if tries := stand.Upstream.Calls(t)["CreateSession"] - before; tries != 1 {
		t.Errorf("%d tries, want 1", tries)
	}
	stand.Upstream.Heal(t)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 1 {
		t.Errorf("%d rows, want 1", len(rows))
	}
	harness.Eventually(t, "the session is there under the name in the message", func() error {
		list, listErr := sessions.List(t.Context(), metav1.ListOptions{})
		switch {
		case listErr != nil:
			return listErr
		case len(list.Items) != 1:
			return fmt.Errorf("%d sessions", len(list.Items))
		case !strings.Contains(err.Error(), list.Items[0].Name):
			t.Errorf("the failure of the creation of %s: %v", list.Items[0].Name, err)
		}
		return nil
	})
}
