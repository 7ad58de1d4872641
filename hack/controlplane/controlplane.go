// Package controlplane runs a real Kubernetes control plane on the loopback
// interface, from binaries built by hack/kube: etcd, kube-apiserver and, when
// asked, kube-controller-manager.
//
// It owns their flags, certificates, ports and kubeconfig files, all below one
// directory, from which a later run starts the same cluster again. It must not
// know what is run on the cluster.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/ports"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// Options say what to run, and where.
type Options struct {
	// Directory keeps all state. It is made when missing, for us alone.
	Directory string
	// Binaries is the directory of etcd, kube-apiserver and
	// kube-controller-manager.
	Binaries string
	// ControllerManager adds the controllers that namespaces, garbage
	// collection, ServiceAccounts, aggregated roles and quotas need.
	ControllerManager bool
	// Controllers are run beside those, by their names; they need ControllerManager.
	Controllers []string
	// Audited are the users whose requests kube-apiserver writes down: see
	// AuditLog.
	Audited []string
	// APIServerArguments are given to kube-apiserver after our own.
	APIServerArguments []string
	// Group is to own the processes; without one they are attached to us, and
	// Stop ends them all.
	Group *process.Group
	// Ports remembers the ports; without one they are kept in the directory.
	Ports *ports.Book
	// Progress, if set, is told what is about to be done.
	Progress func(step string)
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	// The processes, which a test may kill and restart.
	// ControllerManager is nil unless it was asked for.
	Etcd, APIServer, ControllerManager *process.Process

	directory string
	config    *rest.Config
	extension *certs.Authority
	ownGroup  *process.Group
}

// stopTimeout bounds the end of what was started when the rest fails.
const stopTimeout = 30 * time.Second

// Names of the processes, as in logs and records.
const (
	EtcdName              = "etcd"
	APIServerName         = "kube-apiserver"
	ControllerManagerName = "kube-controller-manager"
)

// Start runs a control plane and waits until it is ready. On failure nothing
// stays behind but logs and state, and the error is a *process.FailedError
// where a process is to blame.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	starter, err := prepare(options)
	if err != nil {
		return nil, fmt.Errorf("preparing the control plane: %w", err)
	}
	cp := &ControlPlane{directory: options.Directory, extension: starter.pki.extension, ownGroup: starter.ownGroup}
	if err := starter.start(ctx, cp); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("starting the control plane: %w", err), cp.Stop(stopping))
	}
	return cp, nil
}

// Config returns a client configuration for the cluster's administrator,
// without limits of rate.
func (cp *ControlPlane) Config() *rest.Config { return rest.CopyConfig(cp.config) }

// Kubeconfig is the path of the administrator's kubeconfig.
func (cp *ControlPlane) Kubeconfig() string { return Kubeconfig(cp.directory) }

// ExtensionAuthority signs the serving certificates of extension API servers.
func (cp *ControlPlane) ExtensionAuthority() *certs.Authority { return cp.extension }

// CertificateAuthorityData is what clients of kube-apiserver must trust, PEM.
func (cp *ControlPlane) CertificateAuthorityData() []byte { return cp.config.CAData }

// Processes returns the processes in the order in which they were started.
func (cp *ControlPlane) Processes() []*process.Process {
	var result []*process.Process
	for _, p := range []*process.Process{cp.Etcd, cp.APIServer, cp.ControllerManager} {
		if p != nil {
			result = append(result, p)
		}
	}
	return result
}

// Stop ends the processes, the last one first. When the context ends, those
// that remain are killed.
func (cp *ControlPlane) Stop(ctx context.Context) error {
	processes := cp.Processes()
	var failures []error
	for i := len(processes) - 1; i >= 0; i-- {
		_, err := processes[i].Terminate(ctx)
		failures = append(failures, err)
	}
	if cp.ownGroup != nil {
		failures = append(failures, cp.ownGroup.Close())
	}
	return errors.Join(failures...)
}

// starter holds what is decided before the first process runs.
type starter struct {
	options  Options
	pki      *pki
	port     int
	ownGroup *process.Group
}

func prepare(options Options) (*starter, error) {
	directory, err := filepath.Abs(options.Directory)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", options.Directory, err)
	}
	options.Directory = directory
	if options.Binaries, err = filepath.Abs(options.Binaries); err != nil {
		return nil, fmt.Errorf("finding the binaries: %w", err)
	}
	for _, folder := range []string{directory, filepath.Join(directory, logsFolder), filepath.Join(directory, etcdFolder), filepath.Join(directory, pkiFolder)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("making a directory: %w", err)
		}
	}
	if options.Ports == nil {
		if options.Ports, err = ports.Open(filepath.Join(directory, "ports.json")); err != nil {
			return nil, err
		}
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	s := &starter{options: options}
	if s.port, err = options.Ports.Free(APIServerName); err != nil {
		return nil, err
	}
	if s.pki, err = openPKI(filepath.Join(directory, pkiFolder)); err != nil {
		return nil, err
	}
	if err := s.prepareAudit(); err != nil {
		return nil, err
	}
	if options.Group == nil {
		s.ownGroup = process.NewGroup(process.GroupOptions{})
		s.options.Group = s.ownGroup
	}
	return s, nil
}

func (s *starter) start(ctx context.Context, cp *ControlPlane) error {
	if err := s.writeKubeconfigs(); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", cp.Kubeconfig())
	if err != nil {
		return fmt.Errorf("reading back the kubeconfig: %w", err)
	}
	config.QPS = -1
	cp.config = config

	s.options.Progress("starting " + EtcdName)
	if cp.Etcd, err = s.startEtcd(ctx); err != nil {
		return err
	}
	s.options.Progress("starting " + APIServerName)
	if cp.APIServer, err = s.startAPIServer(ctx, config); err != nil {
		return err
	}
	if !s.options.ControllerManager {
		return nil
	}
	s.options.Progress("starting " + ControllerManagerName)
	cp.ControllerManager, err = s.startControllerManager(ctx, config)
	return err
}
