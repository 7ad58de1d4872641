package stack

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/ambient-code/ambient-kube/hack/process"
)

// replicaArguments make kube-apiserver dial the endpoints of Services.
func (s *Stack) replicaArguments() []string {
	if s.options.ReplicasAt == "" {
		return nil
	}
	return []string{"--enable-aggregator-routing=true"}
}

// replicaControllers are the controllers that Services with selectors need.
func (s *Stack) replicaControllers() []string {
	if s.options.ReplicasAt == "" {
		return nil
	}
	return []string{"endpointslice-controller"}
}

// Replica is an API server of ours that stands for a pod.
type Replica struct {
	*process.Process
	// Pod is the pod's name.
	Pod string
	// Port is where it listens, at Options.ReplicasAt.
	Port int
}

// ReplicaHost is the address that all replicas listen at.
func (s *Stack) ReplicaHost() string { return s.options.ReplicasAt }

// ReplicaAddress is host and port of the replica itself. Its certificate bears ServerName.
func (s *Stack) ReplicaAddress(port int) string {
	return net.JoinHostPort(s.options.ReplicasAt, strconv.Itoa(port))
}

// ReplicaPort returns the port of the named pod's API server, always the same.
func (s *Stack) ReplicaPort(pod string) (int, error) {
	port, err := s.ports.Free(pod)
	if err != nil {
		return 0, fmt.Errorf("finding a port for pod %s: %w", pod, err)
	}
	return port, nil
}

// StartReplica starts an API server that takes itself for the named pod, listens at a
// port of its own, and is one of Replicas; it waits until it is ready, be it as a
// standby. The caller makes the pod.
func (s *Stack) StartReplica(ctx context.Context, pod string, arguments ...string) (*Replica, error) {
	port, err := s.ReplicaPort(pod)
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		transport, err := s.extensionTransport(ctx)
		if err != nil {
			return err
		}
		return probe(ctx, transport, "https://"+s.ReplicaAddress(port)+"/readyz")
	}
	spec := s.spec(APIServerName, ready, append(append(s.extensionArguments(),
		"--bind-address="+s.options.ReplicasAt,
		"--secure-port="+strconv.Itoa(port),
		"--pod-name="+pod,
		"--pod-namespace="+Namespace,
	), arguments...)...)
	spec.LogFile = s.files.log(pod)
	running, err := s.group.Start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("starting pod %s: %w", pod, err)
	}
	s.Replicas = append(s.Replicas, running)
	return &Replica{Process: running, Pod: pod, Port: port}, nil
}
