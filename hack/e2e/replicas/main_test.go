// Package replicas tests hand-overs between replicas of our API server, on a stand
// where kube-apiserver finds the one that serves as it does in a cluster: by a
// Service that selects a label of its pod.
package replicas

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var stand *harness.Stand

// Short times of the election: a leader that was killed is followed after at most
// leaseDuration. They bear a machine that is busy for seconds.
const (
	leaseDuration = 6 * time.Second
	renewDeadline = 5 * time.Second
	// upstreamTimeout is for how long creations wait after a kill.
	upstreamTimeout = time.Second
	nodeName        = "this-machine"
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	address, err := ownAddress()
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	return harness.Main(m, harness.Options{
		// Requests are sent before the first replica could have made its certificate.
		Stack:   stack.Options{ReplicasAt: address, CertificateFiles: true, Without: []string{stack.OperatorName, stack.ReconcilerName}},
		Prepare: prepare,
		Allowed: append(harness.Outages(),
			harness.Allowed{Process: controlplane.APIServerName, Pattern: regexp.MustCompile(`(v1alpha1\.ambient\.io|ambient-kube-apiserver)`), Why: "a replica was killed"},
			harness.Allowed{Process: stack.APIServerName, Pattern: regexp.MustCompile(`(writers|status|wrap|timeout|finisher|watch)\.go`), Why: "a replica was told to end, or paused, while it answered"},
			harness.Allowed{Process: stack.APIServerName, Pattern: regexp.MustCompile(`policy source context unexpectedly closed`), Why: "a replica was told to end just after its start"},
		),
	}, func(s *harness.Stand) { stand = s })
}

// ownAddress is an address of this machine that an endpoint may have.
func ownAddress() (string, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "", fmt.Errorf("looking for this machine's addresses: %w", err)
	}
	for _, address := range addresses {
		if network, is := address.(*net.IPNet); is && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String(), nil
		}
	}
	return "", fmt.Errorf("this machine has no IPv4 address but the loopback interface's: %v", addresses)
}

// prepare makes the node that all pods are on: endpoints need one.
func prepare(ctx context.Context, stand *harness.Stand) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
	if _, err := stand.Kubernetes.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating a node: %w", err)
	}
	return nil
}
