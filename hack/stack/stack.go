// Package stack runs the whole system on one machine: the embedded upstream, a
// real Kubernetes control plane, our API server registered with it, the stand-in
// for the platform's operator, and our reconciler.
//
// It owns in which order the parts start, what each is told, and by which rights
// it acts: those of manifests/base. It must not know what is tested or shown
// with it. `make up` and the end-to-end tests are its users.
package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/ports"
	"github.com/ambient-code/ambient-kube/hack/process"
)

// Names of our processes, as in logs and records.
const (
	UpstreamName   = "ambientd"
	APIServerName  = "ambient-kube-apiserver"
	OperatorName   = "operator"
	ReconcilerName = "ambient-kube-reconciler"
)

// stopTimeout bounds the end of what was started when the rest fails.
const stopTimeout = 30 * time.Second

// Names returns the names of all processes in the order of their start.
func Names() []string {
	return []string{
		UpstreamName, controlplane.EtcdName, controlplane.APIServerName, controlplane.ControllerManagerName,
		APIServerName, OperatorName, ReconcilerName,
	}
}

// Namespace holds our accounts and leases.
const Namespace = "ambient-system"

// ExternalUpstream is a server that runs already and is used in place of ambientd.
type ExternalUpstream struct {
	// Address is host and port of its gRPC services.
	Address string
	// TokenFile holds the token with which it shows everything.
	TokenFile string
	// CAFile holds the certificate authority (PEM) that it is verified by. Without
	// it the server is spoken to in plain text.
	CAFile string
}

// Options say what to run, and where.
type Options struct {
	// Directory keeps all state. It is made when missing, for us alone.
	Directory string
	// Repository is the root of the source tree, for its manifests; by default
	// the one that holds the working directory.
	Repository string
	// Binaries is the directory of our programs; by default the one that
	// AMBIENT_KUBE_BINARIES names, or .build/bin.
	Binaries string
	// ControlPlaneBinaries is the directory of kube-apiserver, etcd,
	// kube-controller-manager and kubectl; by default the one that
	// AMBIENT_KUBE_CONTROL_PLANE names, or .build/kube.
	ControlPlaneBinaries string
	// Detach lets the processes live on when we end; Stop ends them.
	Detach bool
	// ExternalUpstream, if set, is used in place of an ambientd of our own.
	ExternalUpstream *ExternalUpstream
	// Without names processes that are not to be started: OperatorName,
	// ReconcilerName, controlplane.ControllerManagerName.
	Without []string
	// Arguments are given to processes after our own, by name.
	Arguments map[string][]string
	// Environment is given to processes beside what all have, by name.
	Environment map[string][]string
	// ReplicasAt, if set, is an address of this machine that is not on the loopback
	// interface. Our API is then registered as in a cluster: at a Service that selects
	// the pod that serves. No API server is started: see StartReplica.
	ReplicasAt string
	// Audit makes kube-apiserver write down what our accounts ask of it: see
	// AuditLog.
	Audit bool
	// CertificateFiles lets our programs serve certificates in files, as made by
	// somebody else, in place of their own.
	CertificateFiles bool
	// Progress, if set, is told what is about to be done.
	Progress func(step string)
}

// Stack is a running system. Its processes may be killed and restarted; those
// that were not to be started are nil, and so is an external upstream.
type Stack struct {
	*controlplane.ControlPlane
	// Upstream, Extension, Operator and Reconciler are ours; the control
	// plane's processes are beside them. Extension is our API server.
	Upstream, Extension, Operator, Reconciler *process.Process
	// Replicas are API servers that StartReplica started.
	Replicas []*process.Process

	options Options
	group   *process.Group
	ports   *ports.Book
	files   files

	upstreamPort, controlPort, extensionPort, reconcilerPort, webhookPort int
}

// Start runs the system and waits until all of it is ready. On failure nothing
// stays behind but logs and state, and the error holds a *process.FailedError
// where a process is to blame.
func Start(ctx context.Context, options Options) (*Stack, error) {
	s := &Stack{options: options}
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("preparing the stack: %w", err)
	}
	if err := s.start(ctx); err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, s.Stop(stopping))
	}
	return s, nil
}

// StartReconciler starts the reconciler of a stack that was started without it,
// and waits until it is ready.
func (s *Stack) StartReconciler(ctx context.Context) error {
	reconciler, err := s.startReconciler(ctx)
	if err != nil {
		return fmt.Errorf("starting the reconciler: %w", err)
	}
	s.Reconciler = reconciler
	return nil
}

// Processes returns the running processes in the order of their start.
func (s *Stack) Processes() []*process.Process {
	var result []*process.Process
	add := func(processes ...*process.Process) {
		for _, p := range processes {
			if p != nil {
				result = append(result, p)
			}
		}
	}
	add(s.Upstream)
	if s.ControlPlane != nil {
		add(s.ControlPlane.Processes()...)
	}
	add(s.Extension)
	add(s.Replicas...)
	add(s.Operator, s.Reconciler)
	return result
}

// Stop ends the processes, the last one first. When the context ends, those
// that remain are killed.
func (s *Stack) Stop(ctx context.Context) error {
	processes := s.Processes()
	var failures []error
	for i := len(processes) - 1; i >= 0; i-- {
		_, err := processes[i].Terminate(ctx)
		failures = append(failures, err)
	}
	return errors.Join(append(failures, s.group.Close())...)
}

// UpstreamAddress is host and port of the upstream's gRPC services.
func (s *Stack) UpstreamAddress() string {
	if external := s.options.ExternalUpstream; external != nil {
		return external.Address
	}
	return ports.Address(s.upstreamPort)
}

// UpstreamControlAddress is host and port of the interface that injects faults
// into the upstream.
func (s *Stack) UpstreamControlAddress() string { return ports.Address(s.controlPort) }

// UpstreamTokenFile is the file of the token with which the upstream shows
// everything.
func (s *Stack) UpstreamTokenFile() string {
	if external := s.options.ExternalUpstream; external != nil {
		return external.TokenFile
	}
	return s.files.token
}

// UpstreamCAFile is the file of the certificate authority of an upstream with TLS;
// empty for one in plain text.
func (s *Stack) UpstreamCAFile() string {
	if external := s.options.ExternalUpstream; external != nil {
		return external.CAFile
	}
	return ""
}

// ExtensionAddress is host and port of our API server itself, which
// kube-apiserver stands in front of. Its certificate bears ServerName.
func (s *Stack) ExtensionAddress() string { return ports.Address(s.extensionPort) }

// ReconcilerHealthAddress is host and port of the reconciler's probes.
func (s *Stack) ReconcilerHealthAddress() string { return ports.Address(s.reconcilerPort) }

// WebhookAddress is host and port of the reconciler's webhooks.
func (s *Stack) WebhookAddress() string { return ports.Address(s.webhookPort) }

// UserName is the name as a user of a ServiceAccount that one of the processes acts
// by.
func UserName(account string) string {
	return "system:serviceaccount:" + namespaceOf(account) + ":" + account
}

func namespaceOf(account string) string {
	if account == OperatorAccount {
		return operatorNamespace
	}
	return Namespace
}

// AccountKubeconfig is the kubeconfig of a ServiceAccount that one of the processes
// acts by.
func (s *Stack) AccountKubeconfig(account string) string { return s.files.kubeconfig(account) }

// UpstreamProgram is the path of the upstream's program, which is also a client
// of it.
func (s *Stack) UpstreamProgram() string { return filepath.Join(s.options.Binaries, UpstreamName) }

// KubectlPath is the path of kubectl.
func (s *Stack) KubectlPath() string { return s.options.kubectlPath() }

func (o *Options) kubectlPath() string { return filepath.Join(o.ControlPlaneBinaries, "kubectl") }

// ProgramPath is a value of PATH by which kubectl and our programs are found, the
// plugin of kubectl among them.
func (s *Stack) ProgramPath() string {
	return strings.Join([]string{s.options.ControlPlaneBinaries, s.options.Binaries, os.Getenv("PATH")}, string(os.PathListSeparator))
}

// Kubectl runs kubectl as the administrator and returns what it printed on
// standard output; what it printed on standard error is in the error.
func (s *Stack) Kubectl(ctx context.Context, arguments ...string) (string, error) {
	return s.KubectlWithInput(ctx, "", arguments...)
}

// KubectlWithInput is Kubectl with text on standard input.
func (s *Stack) KubectlWithInput(ctx context.Context, input string, arguments ...string) (string, error) {
	return s.options.kubectl(ctx, s.Kubeconfig(), input, arguments...)
}

func (o *Options) kubectl(ctx context.Context, kubeconfig, input string, arguments ...string) (string, error) {
	var output, complaints strings.Builder
	command := exec.CommandContext(ctx, o.kubectlPath(), arguments...)
	command.Env = process.Environment("KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+filepath.Join(o.Directory, "kubectl-cache"))
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &output, &complaints
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(complaints.String()))
	}
	return output.String(), nil
}

// Config returns a client configuration for the cluster's administrator.
func (s *Stack) Config() *rest.Config { return s.ControlPlane.Config() }

func (s *Stack) prepare() error {
	if err := s.options.complete(); err != nil {
		return err
	}
	s.files = files{directory: s.options.Directory, logs: filepath.Join(s.options.Directory, "logs"), token: filepath.Join(s.options.Directory, "upstream.token")}
	for _, folder := range []string{s.options.Directory, s.files.logs, s.files.records(), s.files.registration()} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("making a directory: %w", err)
		}
	}
	if err := s.files.ensureToken(); err != nil {
		return err
	}
	book, err := ports.Open(filepath.Join(s.options.Directory, "ports.json"))
	if err != nil {
		return err
	}
	s.ports = book
	for name, port := range map[string]*int{
		UpstreamName: &s.upstreamPort, UpstreamName + "-control": &s.controlPort,
		APIServerName: &s.extensionPort, ReconcilerName: &s.reconcilerPort, ReconcilerName + "-webhooks": &s.webhookPort,
	} {
		if *port, err = book.Free(name); err != nil {
			return err
		}
	}
	s.group = process.NewGroup(process.GroupOptions{Detach: s.options.Detach, Records: s.files.records()})
	return nil
}

func (s *Stack) start(ctx context.Context) error {
	var err error
	if s.options.ExternalUpstream == nil {
		s.options.Progress("starting " + UpstreamName + ", the upstream")
		if s.Upstream, err = s.startUpstream(ctx); err != nil {
			return err
		}
	}
	if s.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Directory: s.options.Directory, Binaries: s.options.ControlPlaneBinaries,
		ControllerManager:  s.options.with(controlplane.ControllerManagerName),
		Controllers:        s.replicaControllers(),
		APIServerArguments: append(s.replicaArguments(), s.options.Arguments[controlplane.APIServerName]...),
		Audited:            s.audited(),
		Group:              s.group, Ports: s.ports, Progress: s.options.Progress,
	}); err != nil {
		return err
	}
	s.options.Progress("registering our API, accounts and rights")
	if err := s.register(ctx); err != nil {
		return fmt.Errorf("registering our API: %w", err)
	}
	if s.options.ReplicasAt == "" {
		s.options.Progress("starting " + APIServerName)
		if s.Extension, err = s.startExtension(ctx); err != nil {
			return err
		}
	}
	if s.options.with(OperatorName) {
		s.options.Progress("starting " + OperatorName + ", a stand-in for the platform's")
		if s.Operator, err = s.startOperator(ctx); err != nil {
			return err
		}
	}
	if s.options.with(ReconcilerName) {
		s.options.Progress("starting " + ReconcilerName)
		if s.Reconciler, err = s.startReconciler(ctx); err != nil {
			return err
		}
	}
	return s.allRun()
}

// allRun finds a process that ended after it had been ready.
func (s *Stack) allRun() error {
	for _, p := range s.Processes() {
		select {
		case <-p.Exited():
			return &process.FailedError{Name: p.Name(), LogPath: p.LogPath(), Err: errors.New("it ended while the others were started")}
		default:
		}
	}
	return nil
}
