package replicas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"

	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// Pauses between two questions to each replica whether it serves: after an answer, and
// after a refusal, which ends the connection.
const (
	servedPause  = 25 * time.Millisecond
	refusedPause = 100 * time.Millisecond
)

// fleet runs replicas with their pods, and asks each of them directly, all the time,
// whether it serves.
type fleet struct {
	client *http.Client
	// prefix begins the names of the pods.
	prefix string
	number int
	lives  []*life
}

// life is one life of one replica.
type life struct {
	*stack.Replica
	stop    context.CancelFunc
	probing sync.WaitGroup

	mutex sync.Mutex
	// served are the answers to requests of resources, others the refusals.
	served, refused int
	// firstEnd is when the first answer had come, lastStart when the last one that
	// came was asked for: in between this replica certainly served.
	firstEnd, lastStart time.Time
}

func newFleet(t *testing.T, prefix string) *fleet {
	t.Helper()
	client := keepingClient(t)
	client.Timeout = renewDeadline + leaseDuration
	return &fleet{client: client, prefix: prefix}
}

// keepingClient asks replicas directly, over one connection to each, as long as they
// keep it: those that refuse do not.
func keepingClient(t *testing.T) *http.Client {
	t.Helper()
	client := stand.DirectClient(t, stand.Administrator(t))
	transport, is := client.Transport.(*http.Transport)
	if !is {
		t.Fatalf("the transport is a %T", client.Transport)
	}
	transport.DisableKeepAlives, transport.ForceAttemptHTTP2 = false, true
	t.Cleanup(transport.CloseIdleConnections)
	return client
}

// start starts a replica in a pod of its own and waits until it is ready.
func (f *fleet) start(t *testing.T) *life {
	t.Helper()
	f.number++
	name := f.prefix + strconv.Itoa(f.number)
	f.createPod(t, name)
	replica, err := stand.Stack.StartReplica(t.Context(), name,
		"--lease-duration="+leaseDuration.String(), "--renew-deadline="+renewDeadline.String(), "--hand-over-timeout=3s", "--upstream-timeout="+upstreamTimeout.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.remove(t, replica) })
	f.placePod(t, replica)
	return f.follow(t, replica)
}

// remove ends a replica that its test, which failed, has left: it would lead in the
// tests that follow.
func (f *fleet) remove(t *testing.T, replica *stack.Replica) {
	if !t.Failed() {
		return
	}
	if err := replica.Kill(); err != nil {
		t.Errorf("ending %s: %v", replica.Pod, err)
	}
	f.deletePod(t, replica.Pod, 0)
}

// restart starts a replica that was killed, in the same pod.
func (f *fleet) restart(t *testing.T, former *life) *life {
	t.Helper()
	harness.Restart(t, former.Process)
	return f.follow(t, former.Replica)
}

func (f *fleet) createPod(t *testing.T, name string) {
	t.Helper()
	port, err := stand.Stack.ReplicaPort(name)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: stack.Namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": stack.APIServerName}},
		Spec: corev1.PodSpec{
			NodeName: nodeName, ServiceAccountName: stack.APIServerName,
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{
				Name: "apiserver", Image: "none", Ports: []corev1.ContainerPort{{Name: "https", ContainerPort: int32(port)}},
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			}},
		},
	}
	if _, err := stand.Kubernetes.CoreV1().Pods(stack.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatalf("creating pod %s: %v", name, err)
	}
}

// placePod says what a kubelet would: that the pod runs and is ready. It is applied,
// as others write to the pod at the same time: the replica that leads labels its own.
func (f *fleet) placePod(t *testing.T, replica *stack.Replica) {
	t.Helper()
	address := stand.Stack.ReplicaHost()
	status := applycorev1.PodStatus().WithPhase(corev1.PodRunning).
		WithPodIP(address).WithPodIPs(applycorev1.PodIP().WithIP(address)).
		WithConditions(applycorev1.PodCondition().WithType(corev1.PodReady).WithStatus(corev1.ConditionTrue))
	pod := applycorev1.Pod(replica.Pod, stack.Namespace).WithStatus(status)
	if _, err := stand.Kubernetes.CoreV1().Pods(stack.Namespace).ApplyStatus(t.Context(), pod, metav1.ApplyOptions{FieldManager: nodeName, Force: true}); err != nil {
		t.Fatalf("making pod %s ready: %v", replica.Pod, err)
	}
}

// deletePod does what a roll-out does first: the pod is marked.
func (f *fleet) deletePod(t *testing.T, name string, seconds int64) {
	t.Helper()
	err := stand.Kubernetes.CoreV1().Pods(stack.Namespace).Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To(seconds)})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatalf("deleting pod %s: %v", name, err)
	}
}

// follow asks the replica all the time whether it serves.
func (f *fleet) follow(t *testing.T, replica *stack.Replica) *life {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &life{Replica: replica, stop: stop}
	f.lives = append(f.lives, l)
	l.probing.Go(func() {
		for ctx.Err() == nil {
			pause := refusedPause
			if l.probe(ctx, f.client) {
				pause = servedPause
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	})
	t.Cleanup(l.unfollow)
	return l
}

func (l *life) unfollow() {
	l.stop()
	l.probing.Wait()
}

// probe asks for a list of projects, and tells whether it came.
func (l *life) probe(ctx context.Context, client *http.Client) (served bool) {
	began := time.Now()
	code, err := ask(ctx, client, "https://"+stand.Stack.ReplicaAddress(l.Port)+"/apis/ambient.io/v1alpha1/projects?limit=1&resourceVersion=0")
	ended := time.Now()
	if err != nil {
		return false
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if code != http.StatusOK {
		l.refused++
		return false
	}
	if l.served++; l.served == 1 {
		l.firstEnd = ended
	}
	l.lastStart = began
	return true
}

func ask(ctx context.Context, client *http.Client, url string) (code int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("asking %s: %w", url, err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

func (l *life) counts() (served, refused int) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.served, l.refused
}

// awaitServing waits until the replica serves more than it has until now.
func (l *life) awaitServing(t *testing.T) {
	t.Helper()
	before, _ := l.counts()
	harness.Eventually(t, l.Pod+" serves", func() error {
		if served, _ := l.counts(); served > before {
			return nil
		}
		return errors.New("it does not")
	})
}

// expectOneAtATime fails the test if two lives certainly served at one time.
func (f *fleet) expectOneAtATime(t *testing.T) {
	t.Helper()
	for i, a := range f.lives {
		for _, b := range f.lives[i+1:] {
			if a.overlaps(b) {
				t.Errorf("%s (%s to %s) and %s (%s to %s) served at the same time", a.Pod, stamp(a.firstEnd), stamp(a.lastStart), b.Pod, stamp(b.firstEnd), stamp(b.lastStart))
			}
		}
	}
}

func (l *life) overlaps(other *life) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	other.mutex.Lock()
	defer other.mutex.Unlock()
	return l.served > 0 && other.served > 0 && l.lastStart.After(other.firstEnd) && other.lastStart.After(l.firstEnd)
}

func stamp(t time.Time) string { return t.Format("15:04:05.000") }
