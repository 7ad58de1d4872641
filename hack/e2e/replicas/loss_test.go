package replicas

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var errNobody = errors.New("none does")

func TestDecision27ALeaderWhoseLeaseIsTakenAwayEnds(t *testing.T) {
	f := newFleet(t, "robbed-")
	leader := f.start(t)
	leader.awaitServing(t)
	harness.Eventually(t, "the lease is somebody else's", func() error {
		leases := stand.Kubernetes.CoordinationV1().Leases(stack.Namespace)
		lease, err := leases.Get(t.Context(), stack.APIServerName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lease.Spec.HolderIdentity = ptr.To("somebody")
		_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		return err
	})
	expectExit(t, leader)
	leader.unfollow()
	next := f.start(t)
	next.awaitServing(t)
	leader.unfollow()
	f.expectOneAtATime(t)
	f.end(t, next, f.restart(t, leader))
}

// expectExit waits until the process has ended, and not well.
func expectExit(t *testing.T, l *life) {
	t.Helper()
	select {
	case <-l.Exited():
	case <-time.After(harness.Patience):
		t.Fatalf("%s still runs", l.Pod)
	}
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	if code, err := l.Terminate(ctx); err != nil || code == 0 {
		t.Errorf("%s ended with code %d (%v), want another than 0", l.Pod, code, err)
	}
}

// A process that was paused knows nothing of what happened meanwhile.
func TestDecision27AfterAPauseNothingStaleIsServed(t *testing.T) {
	f := newFleet(t, "paused-")
	leader := f.start(t)
	leader.awaitServing(t)
	watchAvailability(t).await(t)
	project := newProject(t)
	session := stand.NewSession(t, project, "paused")
	standby := f.start(t)
	// One connection, made before: what is sent on it while the process is paused is
	// the first that it finds.
	client := keepingClient(t)
	path := "https://" + stand.Stack.ReplicaAddress(leader.Port) + "/apis/ambient.io/v1alpha1/namespaces/" + project + "/sessions"
	if code := askPaused(t.Context(), t, client, http.MethodGet, path); code != http.StatusOK {
		t.Fatalf("the leader answers %d", code)
	}

	if err := leader.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	next, _ := f.successor(t, standby)
	awaitWrite(t, project, "meanwhile")
	// Requests that wait at the paused process: reads, and a deletion.
	codes := make(chan int, 4)
	for _, request := range []struct{ method, url string }{
		{http.MethodGet, path}, {http.MethodGet, path + "?resourceVersion=0"}, {http.MethodGet, path + "/paused"}, {http.MethodDelete, path + "/paused"},
	} {
		sent := make(chan struct{})
		go func() {
			// It is sent again elsewhere if the connection ends.
			wrote := sync.OnceFunc(func() { close(sent) })
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { wrote() }})
			codes <- askPaused(ctx, t, client, request.method, request.url)
		}()
		<-sent
	}
	if err := leader.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for range cap(codes) {
		if code := <-codes; code == http.StatusOK {
			t.Error("the paused process answered")
		}
	}
	expectExit(t, leader)
	leader.unfollow()
	next.unfollow()
	f.expectOneAtATime(t)
	if row := stand.Upstream.Session(t, session.Status.SessionID); row == nil {
		t.Error("the paused process deleted a session")
	}
	f.end(t, next, f.restart(t, leader))
}

// askPaused sends a request and returns the code of the answer; 0 without one.
func askPaused(ctx context.Context, t *testing.T, client *http.Client, method, url string) int {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Error(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Logf("reading the answer: %v", err)
	}
	return response.StatusCode
}
