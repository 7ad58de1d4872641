// Package cluster runs a cluster on one machine that our manifests can be deployed
// to as they are: a real control plane with the controllers of Deployments and
// Services, and the stand-in for a node.
//
// It owns how these are joined, and must not know what is deployed.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1beta1 "k8s.io/apiserver/pkg/apis/apiserver/v1beta1"
	"k8s.io/client-go/kubernetes"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/process"
)

const (
	// KubeletName is the process that stands for a node.
	KubeletName = "kubelet"
	// nodeName is the node that it stands for.
	nodeName = "local"
	// socket is how kube-apiserver reaches pods. It is relative to the folder that
	// both run in, because the path of a socket must be short.
	socket      = "egress.sock"
	stopTimeout = 30 * time.Second
)

// controllers turn Deployments into pods and pods into endpoints.
var controllers = []string{"deployment-controller", "replicaset-controller", "endpointslice-controller", "disruption-controller"}

// Options say what to run, and where.
type Options struct {
	// Directory keeps all state. It is made when missing, for us alone.
	Directory string
	// Repository is the root of the source tree, Programs the folder of the static
	// programs that images are made of and of the node's program itself, and
	// ControlPlanePrograms that of kube-apiserver and the others.
	Repository, Programs, ControlPlanePrograms string
	// Audited are the users whose requests are written down: see
	// controlplane.AuditLog.
	Audited []string
	// Keep are files by the program whose pods have them in their emptyDir, and leave
	// them behind when they end.
	Keep map[string]string
	// Group owns the processes.
	Group *process.Group
	// Progress, if set, is told what is about to be done.
	Progress func(step string)
}

// Cluster is a running cluster.
type Cluster struct {
	*controlplane.ControlPlane
	// Kubelet is the stand-in for a node. Its pods end with it.
	Kubelet *process.Process

	options Options
}

// Names returns the names of the processes in the order of their start.
func Names() []string {
	return []string{controlplane.EtcdName, controlplane.APIServerName, controlplane.ControllerManagerName, KubeletName}
}

// Start runs a cluster and waits until it is ready. On failure nothing stays behind
// but logs and state.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	for _, path := range []*string{&options.Directory, &options.Repository, &options.Programs, &options.ControlPlanePrograms} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = absolute
	}
	if err := os.MkdirAll(options.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	c := &Cluster{options: options}
	if err := c.start(ctx); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, c.Stop(stopping))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	egress, err := c.writeEgress()
	if err != nil {
		return err
	}
	if c.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Directory: c.options.Directory, Binaries: c.options.ControlPlanePrograms, Group: c.options.Group, Progress: c.options.Progress,
		ControllerManager: true, Controllers: controllers, Audited: c.options.Audited,
		APIServerArguments: []string{"--egress-selector-config-file=" + egress},
	}); err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	if c.options.Progress != nil {
		c.options.Progress("starting " + KubeletName + ", a stand-in for a node")
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	folder := controlplane.Folder(c.options.Directory)
	c.Kubelet, err = c.options.Group.Start(ctx, process.Spec{
		Name: KubeletName, Path: filepath.Join(c.options.Programs, KubeletName), Directory: folder, Env: process.Environment(),
		LogFile: filepath.Join(c.options.Directory, "logs", KubeletName+".log"),
		Args: append(c.kept(),
			"--kubeconfig="+c.Kubeconfig(), "--directory="+c.PodsDirectory(), "--repository="+c.options.Repository,
			"--binaries="+c.options.Programs, "--egress-socket="+socket, "--name="+nodeName,
		),
		Ready: func(ctx context.Context) error {
			if _, err := os.Stat(filepath.Join(folder, socket)); err != nil {
				return fmt.Errorf("the node carries nothing yet: %w", err)
			}
			node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
			if err != nil {
				return fmt.Errorf("asking for the node: %w", err)
			}
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
					return nil
				}
			}
			return errors.New("the node is not ready")
		},
	})
	if err != nil {
		return fmt.Errorf("starting a node: %w", err)
	}
	return nil
}

// kept is Keep as options of the node.
func (c *Cluster) kept() []string {
	var arguments []string
	for program, file := range c.options.Keep {
		arguments = append(arguments, "--keep="+program+"="+file)
	}
	return arguments
}

// PodsDirectory is where the node keeps the files and the logs of its pods.
func (c *Cluster) PodsDirectory() string { return filepath.Join(c.options.Directory, "node") }

// Stop ends the cluster, the node and its pods first.
func (c *Cluster) Stop(ctx context.Context) error {
	var failures []error
	if c.Kubelet != nil {
		_, err := c.Kubelet.Terminate(ctx)
		failures = append(failures, err)
	}
	if c.ControlPlane != nil {
		failures = append(failures, c.ControlPlane.Stop(ctx))
	}
	return errors.Join(failures...)
}

// writeEgress tells kube-apiserver that pods are reached through the node.
func (c *Cluster) writeEgress() (string, error) {
	configuration := apiserverv1beta1.EgressSelectorConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1beta1.SchemeGroupVersion.String(), Kind: "EgressSelectorConfiguration"},
		EgressSelections: []apiserverv1beta1.EgressSelection{{Name: "cluster", Connection: apiserverv1beta1.Connection{
			ProxyProtocol: apiserverv1beta1.ProtocolHTTPConnect,
			Transport:     &apiserverv1beta1.Transport{UDS: &apiserverv1beta1.UDSTransport{UDSName: socket}},
		}}},
	}
	text, err := json.Marshal(configuration)
	if err != nil {
		return "", fmt.Errorf("encoding the egress configuration: %w", err)
	}
	path := filepath.Join(c.options.Directory, "egress.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing the egress configuration: %w", err)
	}
	return path, nil
}
