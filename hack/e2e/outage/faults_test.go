package outage

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// The credential loses its rights: the upstream shows an empty world, without an
// error. Nothing is believed to be deleted.
func TestAnUpstreamThatShowsNothingDeletesNothing(t *testing.T) {
	project := stand.NewProject(t)
	for i := range 12 {
		stand.NewSession(t, project, fmt.Sprintf("s-%d", i))
	}
	mirror := stand.NewMirror(t)
	mirror.AwaitEqual(t)
	listed(t, 2)
	stand.Upstream.Fault(t, `{"loseRights":true}`)
	listed(t, 5)
	if deleted := mirror.Deleted(); len(deleted) != 0 {
		t.Errorf("the informer was told that %d sessions went", len(deleted))
	}
	stand.Upstream.Heal(t)
	mirror.AwaitEqual(t)
}

// A Project whose sessions cannot be deleted stays.
func TestAProjectGoesAfterItsSessions(t *testing.T) {
	project := stand.NewProject(t)
	stand.NewSession(t, project, "stubborn")
	stand.Kubectl(t, "annotate", "projects.ambient.io", project, "ambient.io/allow-cascade=true")
	stand.Upstream.Fault(t, `{"methods":["DeleteSession"],"failOneIn":1,"failCode":"Internal"}`)
	stand.KubectlFails(t, "", "delete", "projects.ambient.io", project)
	stand.Upstream.Project(t, project)
	stand.Upstream.Heal(t)
	stand.Kubectl(t, "delete", "projects.ambient.io", project)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != 0 {
		t.Errorf("%d sessions are left", len(rows))
	}
}

// Every answer to a creation is lost after the commit. Within the request's own
// time our server finds out what was made, and says so: each name is one row.
func TestDecision5LostAnswersMakeNoSecondRow(t *testing.T) {
	// More at a time, and the breaker takes the upstream for one that is down.
	const names, writers, sameName = 290, 2, 10
	project := stand.NewProject(t)
	mirror := stand.NewMirror(t)
	stand.Upstream.Fault(t, `{"methods":["CreateSession"],"loseReplyOneIn":1}`)
	var created, existed atomic.Int64
	create := func(name string) {
		harness.Eventually(t, "session "+name+" is there", func() error {
			answer := stand.Do(t, harness.Request{Method: "POST", Path: path(project), Body: body(name)})
			switch {
			case answer.Code == 201:
				created.Add(1)
				return nil
			case answer.Code == 409:
				existed.Add(1)
				return nil
			case answer.Code == 503 || answer.Code == 504:
				return apierrors.NewServiceUnavailable(answer.Body)
			default:
				t.Errorf("session %s: %d %s", name, answer.Code, answer.Body)
				return nil
			}
		})
	}
	var group errgroup.Group
	group.SetLimit(writers)
	for i := range names {
		group.Go(func() error { create(fmt.Sprintf("s-%d", i)); return nil })
	}
	for range sameName {
		group.Go(func() error { create("contested"); return nil })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if created.Load() != names+1 || existed.Load() != sameName-1 {
		t.Errorf("%d creations were answered with 201 and %d with 409, want %d and %d", created.Load(), existed.Load(), names+1, sameName-1)
	}
	stand.Upstream.Heal(t)
	if rows := stand.Upstream.SessionsIn(t, project); len(rows) != names+1 {
		t.Errorf("%d rows, want %d", len(rows), names+1)
	}
	mirror.AwaitEqual(t)
}

// The same for a project, whose name is its id.
func TestDecision5ALostAnswerToTheCreationOfAProject(t *testing.T) {
	stand.Upstream.Fault(t, `{"methods":["CreateProject"],"loseReplyOneIn":1}`)
	stand.Upstream.Project(t, stand.NewProject(t))
}

// Whoever tries again hears that the settings exist, and not that they never can.
func TestDecision5ALostAnswerToTheCreationOfSettings(t *testing.T) {
	project := stand.NewProject(t)
	stand.Upstream.Fault(t, `{"methods":["CreateProjectSettings"],"loseReplyOneIn":1}`)
	create := func() harness.Answer {
		return stand.Do(t, harness.Request{
			Method: "POST", Path: "/apis/ambient.io/v1alpha1/namespaces/" + project + "/projectsettings",
			Body: `{"apiVersion":"ambient.io/v1alpha1","kind":"ProjectSettings","metadata":{"name":"settings"}}`,
		})
	}
	if first := create(); first.Code != 503 && first.Code != 504 {
		t.Errorf("a creation whose answer is lost: %d %s", first.Code, first.Body)
	}
	stand.Upstream.Heal(t)
	if again := create(); again.Code != 409 || again.Status.Reason != metav1.StatusReasonAlreadyExists || strings.Contains(again.Status.Message, "deleted") {
		t.Errorf("the second try: %d %s", again.Code, again.Body)
	}
	if stand.Upstream.SettingsOf(t, project) == nil {
		t.Error("there are no settings")
	}
}

// The watch of the upstream falls silent without a word: listings tell the truth.
func TestASilentUpstreamIsListed(t *testing.T) {
	project := stand.NewProject(t)
	mirror := stand.NewMirror(t)
	stand.Upstream.Fault(t, `{"silent":true}`)
	made := rows(t, project)
	stand.Upstream.DeleteSession(t, made[0])
	mirror.AwaitEqual(t)
}

// One slow call does not hold up the others: lists are answered before a change that was
// sent before them, and that waits for the upstream.
func TestASlowUpstreamAnswersReadsFromTheCache(t *testing.T) {
	project := stand.NewProject(t)
	stand.NewSession(t, project, "kept")
	stand.Upstream.Fault(t, `{"methods":["UpdateSession"],"callDelay":"2s"}`)
	attempt := 0
	harness.Eventually(t, "lists overtake a change", func() error {
		attempt++
		before := stand.Upstream.Calls(t)["UpdateSession"]
		changed := make(chan harness.Answer, 1)
		go func() {
			body := fmt.Sprintf(`{"spec":{"prompt":"change %d"}}`, attempt)
			changed <- stand.Do(t, harness.Request{Method: "PATCH", Path: path(project) + "/kept", ContentType: "application/merge-patch+json", Body: body})
		}()
		harness.Eventually(t, "the change is on its way", func() error {
			if stand.Upstream.Calls(t)["UpdateSession"] == before {
				return errors.New("the upstream was not asked")
			}
			return nil
		})
		for _, query := range []string{"?resourceVersion=0", ""} {
			if answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + query}); answer.Code != 200 {
				t.Errorf("a list%s: %d %s", query, answer.Code, answer.Body)
			}
		}
		overtaken := len(changed) == 0
		if answer := <-changed; answer.Code != 200 {
			t.Errorf("the change: %d %s", answer.Code, answer.Body)
		}
		if !overtaken {
			return errors.New("the change was answered first")
		}
		return nil
	})
}
