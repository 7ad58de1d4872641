package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// The upstream's watch is dead, and something was changed there just now. A server
// that verifies reads shows it, in lists, watches and gets.
func TestVerifiedReadsShowTheUpstreamAsItIs(t *testing.T) {
	project := stand.NewProject(t)
	server := stand.Stack.Extension
	spec := server.Spec()
	// Another test may have left it without a probe.
	spec.Ready = func(ctx context.Context) error {
		_, err := stand.Ambient.AmbientV1alpha1().Sessions(project).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		return err
	}
	restartServer := func(arguments ...string) {
		changed := spec
		changed.Args = append(slices.Clone(spec.Args), arguments...)
		harness.RestartWith(t, server, changed)
	}
	stand.Upstream.Fault(t, `{"silent":true}`)
	t.Cleanup(func() { restartServer() })
	restartServer("--verify-reads")

	// shows compares what is listed with what was written just before.
	shows := func(row *ambientv1.Session) error {
		answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project)})
		var list v1alpha1.SessionList
		if err := json.Unmarshal([]byte(answer.Body), &list); err != nil || answer.Code != 200 {
			return fmt.Errorf("%d %s", answer.Code, answer.Body)
		}
		phases := map[string]v1alpha1.SessionPhase{}
		for _, session := range list.Items {
			phases[session.Status.SessionID] = session.Status.Phase
		}
		if phase, found := phases[row.GetMetadata().GetId()]; !found || phase != v1alpha1.SessionPhase(row.GetPhase()) {
			return fmt.Errorf("session %s is listed: %t, with phase %q and not %q", row.GetMetadata().GetId(), found, phase, row.GetPhase())
		}
		return nil
	}
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for range 5 {
				row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "just now", ProjectId: &project})
				if err := shows(row); err != nil {
					return fmt.Errorf("after the creation: %w", err)
				}
				stand.Upstream.SetPhase(t, row.GetMetadata().GetId(), v1alpha1.SessionRunning)
				running := string(v1alpha1.SessionRunning)
				row.Phase = &running
				if err := shows(row); err != nil {
					return fmt.Errorf("after the change: %w", err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}

	row := stand.Upstream.CreateSession(t, &ambientv1.CreateSessionRequest{Name: "for a get", ProjectId: &project})
	name := strings.ToLower(row.GetMetadata().GetId())
	if answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + "/" + name}); answer.Code != 200 {
		t.Errorf("a get of what was created just now: %d %s", answer.Code, answer.Body)
	}
	stand.Upstream.DeleteSession(t, row.GetMetadata().GetId())
	if answer := stand.Do(t, harness.Request{Method: "GET", Path: path(project) + "/" + name}); answer.Code != 404 {
		t.Errorf("a get of what was deleted just now: %d %s", answer.Code, answer.Body)
	}
}
