package flow

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/operator/standin"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// exitTimeout is how long a program may take to end when it is asked to.
const exitTimeout = 10 * time.Second

// cast are the sessions that play in a crash. All but created run when it begins.
type cast struct {
	project string
	// kept is left alone; stopped and deleted are to be so, finished ends by
	// itself, and created is made, while a part is away. The values are ids.
	kept, stopped, deleted, finished, created string
	// resource is the AgenticSession of kept.
	resource *unstructured.Unstructured
	// finish lets the runner of finished end.
	finish func(t *testing.T)
}

func newCast(t *testing.T) *cast {
	t.Helper()
	c := &cast{project: stand.NewProject(t)}
	for name, id := range map[string]*string{"kept": &c.kept, "stopped": &c.stopped, "deleted": &c.deleted, "finished": &c.finished} {
		*id = stand.NewSession(t, c.project, name).Status.SessionID
	}
	for _, id := range []string{c.stopped, c.deleted, c.finished} {
		running(t, id)
	}
	c.resource = running(t, c.kept)
	c.finish = func(t *testing.T) {
		t.Helper()
		entry := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {%s: %s}\n",
			standin.ScriptName, c.project, strings.ToLower(c.finished), standin.OutcomeComplete)
		stand.KubectlWithInput(t, entry, "create", "-f", "-")
	}
	return c
}

// byKubectl changes sessions as people do who use Kubernetes.
func (c *cast) byKubectl(t *testing.T) {
	t.Helper()
	c.created = stand.NewSession(t, c.project, "created").Status.SessionID
	mustAct(t, c.project, "stopped", "stop")
	stand.Kubectl(t, "delete", "sessions.ambient.io", "deleted", "-n", c.project)
}

// byUpstream changes sessions as the upstream's users do.
func (c *cast) byUpstream(t *testing.T) {
	t.Helper()
	c.created = newUpstreamSession(t, c.project, "Created")
	stand.Upstream.SetPhase(t, c.stopped, v1alpha1.SessionStopping)
	stand.Upstream.DeleteSession(t, c.deleted)
}

// check waits until all are as they should be, each launched once.
func (c *cast) check(t *testing.T, mirror *harness.Mirror) {
	t.Helper()
	running(t, c.created)
	awaitPhase(t, c.stopped, v1alpha1.SessionStopped)
	awaitSettled(t, c.stopped, v1alpha1.SessionStopped)
	awaitGone(t, c.deleted)
	awaitNoResource(t, c.deleted)
	awaitEnd(t, c.finished, v1alpha1.SessionCompleted)
	if resource := running(t, c.kept); resource.GetUID() != c.resource.GetUID() {
		t.Error("the AgenticSession of the session that was left alone is another one")
	}
	want := map[string]launches{}
	for _, id := range []string{c.kept, c.stopped, c.deleted, c.finished, c.created} {
		want[strings.ToLower(id)] = launches{Prompts: 1, Runners: 1}
	}
	checkLaunches(t, c.project, want)
	mirror.AwaitEqual(t)
}

// Each part is killed in turn. While it is away, sessions are created, stopped
// and deleted by a way that is left, and one ends by itself. Back, it makes all
// of it good, without help and without running anything twice.
func TestKilledPartsComeBack(t *testing.T) {
	mirror := stand.NewMirror(t)
	tests := []struct {
		name    string
		process *process.Process
		// away and back are what happens while the part is away, and after.
		away, back func(t *testing.T, c *cast)
	}{
		{
			"the upstream", stand.Stack.Upstream,
			func(t *testing.T, c *cast) { c.finish(t); awaitResource(t, c.finished, v1alpha1.SessionCompleted) },
			func(t *testing.T, c *cast) { c.byUpstream(t) },
		},
		{
			"our API server", stand.Stack.Extension,
			func(t *testing.T, c *cast) {
				c.byUpstream(t)
				c.finish(t)
				awaitResource(t, c.finished, v1alpha1.SessionCompleted)
			},
			nil,
		},
		{
			"the reconciler", stand.Stack.Reconciler,
			func(t *testing.T, c *cast) {
				c.byKubectl(t)
				c.finish(t)
				awaitResource(t, c.finished, v1alpha1.SessionCompleted)
			},
			nil,
		},
		{
			"kube-apiserver", stand.Stack.APIServer,
			func(t *testing.T, c *cast) { c.byUpstream(t) },
			func(t *testing.T, c *cast) { c.finish(t) },
		},
		{
			"the operator", stand.Stack.Operator,
			func(t *testing.T, c *cast) {
				c.byKubectl(t)
				c.finish(t)
				c.requestStands(t)
			},
			nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.process == nil {
				stand.NeedsEmbeddedUpstream(t)
			}
			c := newCast(t)
			harness.Kill(t, test.process)
			test.away(t, c)
			harness.Restart(t, test.process)
			if test.back != nil {
				test.back(t, c)
			}
			c.check(t, mirror)
		})
	}
}

// requestStands checks that a stop that the operator has not acted on is sent
// once, and that no older word of the operator overwrites it.
func (c *cast) requestStands(t *testing.T) {
	t.Helper()
	resources, seen := record(t, agenticSessions, c.project), record(t, sessions, c.project)
	asked := awaitResourceState(t, c.stopped, "bears the request", func(resource *unstructured.Unstructured) bool {
		return desired(resource) == "Stopped" && phaseOf(resource) == "Running"
	})
	requested, err := time.Parse(time.RFC3339, asked.GetAnnotations()["ambient-code.io/stop-requested-at"])
	if err != nil {
		t.Fatalf("the time of the request: %v", err)
	}
	harness.Eventually(t, "a request sent again would bear another time", func() error {
		if now := time.Now(); now.Truncate(time.Second).Equal(requested) {
			return fmt.Errorf("it is %s", now)
		}
		return nil
	})
	// The operator says Running once more, with news that go up.
	status := fmt.Appendf(nil, `{"status":{"sdkSessionId":"news-%s"}}`, c.project)
	client := dynamicClient.Resource(agenticSessions).Namespace(c.project)
	if _, err := client.Patch(t.Context(), asked.GetName(), types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	row := awaitRow(t, c.stopped, "has the news", func(row *ambientv1.Session) error {
		if row.GetSdkSessionId() != "news-"+c.project {
			return fmt.Errorf("it has %q", row.GetSdkSessionId())
		}
		return nil
	})
	if row.GetPhase() != string(v1alpha1.SessionStopping) {
		t.Errorf("with the news the phase became %s", row.GetPhase())
	}
	for _, phase := range seen.phases("stopped") {
		if phase != "Stopping" {
			t.Errorf("the session went from Stopping to %s", phase)
		}
	}
	if times := resources.requests(asked.GetName(), "Stopped"); times != 1 {
		t.Errorf("the operator was asked %d times", times)
	}
}

// While our API server starts, nobody is told that they lack rights: to clients
// that would be the last word.
func TestNobodyIsRefusedWhileOurServerStarts(t *testing.T) {
	for range 3 {
		harness.Kill(t, stand.Stack.Extension)
		ctx, cancel := context.WithCancel(t.Context())
		answers, bodies := map[int]int{}, map[int]string{}
		var asking sync.WaitGroup
		asking.Go(func() {
			for ctx.Err() == nil {
				answer := stand.Do(t, harness.Request{Method: "GET", Path: "/apis/ambient.io/v1alpha1/projects"})
				answers[answer.Code]++
				bodies[answer.Code] = answer.Body
			}
		})
		harness.Restart(t, stand.Stack.Extension)
		cancel()
		asking.Wait()
		for code, number := range answers {
			if code != 200 && code != 503 {
				t.Errorf("%d of the answers were %d: %s", number, code, bodies[code])
			}
		}
	}
}

// The reconciler and our API server are killed while sessions are on their way:
// at no point does that lose one or run one twice.
func TestKillsInTheMiddle(t *testing.T) {
	mirror := stand.NewMirror(t)
	for _, victim := range []*process.Process{stand.Stack.Extension, stand.Stack.Reconciler} {
		t.Run(victim.Name(), func(t *testing.T) {
			project := stand.NewProject(t)
			resources := record(t, agenticSessions, project)
			var ids []string
			for i := range 8 {
				ids = append(ids, newUpstreamSession(t, project, fmt.Sprintf("Session %d", i)))
			}
			harness.Eventually(t, "some AgenticSession is made", func() error {
				if len(resources.all()) == 0 {
					return fmt.Errorf("none is")
				}
				return nil
			})
			harness.Kill(t, victim)
			harness.Restart(t, victim)
			want := map[string]launches{}
			for _, id := range ids {
				running(t, id)
				want[strings.ToLower(id)] = launches{Prompts: 1, Runners: 1}
			}
			checkLaunches(t, project, want)
			mirror.AwaitEqual(t)
		})
	}
}

// What an earlier life of the reconciler knew is not needed: the history is still
// not run, and an AgenticSession that was taken away meanwhile is not made again.
func TestANewReconcilerRunsNothingAgain(t *testing.T) {
	project := stand.NewProject(t)
	lost := stand.NewSession(t, project, "lost").Status.SessionID
	running(t, lost)
	terminate(t, stand.Stack.Reconciler)
	stand.Kubectl(t, "delete", "agenticsessions.vteam.ambient-code", strings.ToLower(lost), "-n", project)
	sentinel := stand.NewSession(t, project, "sentinel").Status.SessionID
	harness.Restart(t, stand.Stack.Reconciler)
	running(t, sentinel)
	awaitPhase(t, lost, v1alpha1.SessionStopped)
	awaitCondition(t, project, "lost", "Projected", metav1.ConditionFalse, "CustomResourceLost")
	awaitNoResource(t, lost)
	checkLaunches(t, project, map[string]launches{strings.ToLower(lost): {1, 1}, strings.ToLower(sentinel): {1, 1}})

	list, err := stand.Ambient.AmbientV1alpha1().Sessions(oldProject).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for i := range list.Items {
		session := &list.Items[i]
		if session.Status.Phase == "" && session.Status.AgenticSession.UID == "" {
			waiting++
			awaitNoResource(t, session.Status.SessionID)
		}
	}
	// TestHistoryIsNotRunAgain may have started one of them.
	if waiting < old[""]-1 {
		t.Errorf("%d old sessions wait for a start, want %d", waiting, old[""])
	}
}

// terminate asks a program to end and fails the test unless it does so in time and
// with code 0.
func terminate(t *testing.T, p *process.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exitTimeout)
	defer cancel()
	begun := time.Now()
	if code, err := p.Terminate(ctx); err != nil || code != 0 {
		t.Errorf("%s ended with code %d after %s: %v", p.Name(), code, time.Since(begun), err)
	}
	t.Logf("%s ended within %s", p.Name(), time.Since(begun))
}

// Told to end, each of our programs does so in time and with code 0, with work
// under way, and what was under way is finished after its return.
func TestProgramsEndOnSIGTERM(t *testing.T) {
	for _, p := range []*process.Process{stand.Stack.Reconciler, stand.Stack.Extension, stand.Stack.Upstream, stand.Stack.Operator} {
		if p == nil {
			t.Run(stack.UpstreamName, func(t *testing.T) { stand.NeedsEmbeddedUpstream(t) })
			continue
		}
		t.Run(p.Name(), func(t *testing.T) {
			project := stand.NewProject(t)
			first := stand.NewSession(t, project, "first").Status.SessionID
			running(t, first)
			second := stand.NewSession(t, project, "second").Status.SessionID
			if p == stand.Stack.Operator {
				// A pod that the operator is just making would be taken for a
				// resumed one: that is a trap of the operator's, not ours.
				running(t, second)
			}
			terminate(t, p)
			harness.Restart(t, p)
			running(t, second)
			checkLaunches(t, project, map[string]launches{strings.ToLower(first): {1, 1}, strings.ToLower(second): {1, 1}})
		})
	}
}
