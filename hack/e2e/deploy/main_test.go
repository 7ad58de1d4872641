package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/hack/cluster"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const (
	// release is the version of what is deployed. A Kubernetes of that version
	// would have nothing that we need.
	release      = "v0.1.7"
	namespace    = stack.Namespace
	apiserver    = stack.APIServerName
	reconciler   = stack.ReconcilerName
	startTimeout = 5 * time.Minute
	stopTimeout  = time.Minute
)

// place is the cluster of this package, with clients as its administrator.
type place struct {
	*cluster.Cluster
	directory, repository, programs string
	kube                            kubernetes.Interface
	ambient                         versioned.Interface
}

var here *place

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	directory, err := os.MkdirTemp("", "ambient-kube-e2e-")
	if err != nil {
		return 1, fmt.Errorf("making a directory: %w", err)
	}
	repository, err := stack.Repository()
	if err != nil {
		return 1, fmt.Errorf("finding the manifests: %w", err)
	}
	here = &place{directory: directory, repository: repository, programs: filepath.Join(directory, "programs")}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if output, err := here.make(ctx, "binaries", "BIN="+here.programs,
		"PROGRAMS=./cmd/ambient-kube-apiserver ./cmd/ambient-kube-reconciler ./cmd/ambientd ./hack/kubelet"); err != nil {
		return 1, fmt.Errorf("building a release: %w\n%s", err, output)
	}
	group := process.NewGroup(process.GroupOptions{})
	defer func() { err = errors.Join(err, group.Close()) }()
	if here.Cluster, err = cluster.Start(ctx, cluster.Options{
		Directory: directory, Repository: repository, Programs: here.programs, Group: group,
		ControlPlanePrograms: cmp.Or(os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"), filepath.Join(repository, ".build", "kube")),
		Audited:              []string{stack.UserName(apiserver), stack.UserName(reconciler)},
	}); err != nil {
		return 1, fmt.Errorf("starting a cluster in %s: %w", directory, err)
	}
	if here.kube, err = kubernetes.NewForConfig(here.Config()); err != nil {
		return 1, fmt.Errorf("making a client: %w", err)
	}
	if here.ambient, err = versioned.NewForConfig(here.Config()); err != nil {
		return 1, fmt.Errorf("making a client: %w", err)
	}
	code = m.Run()
	stopping, stopped := context.WithTimeout(context.Background(), stopTimeout)
	defer stopped()
	if err := errors.Join(here.Stop(stopping), checkLogs(here.PodsDirectory())); err != nil || code != 0 {
		return 1, errors.Join(err, fmt.Errorf("state and logs are kept in %s", directory))
	}
	return 0, os.RemoveAll(directory)
}

// make runs a target as a person does, for the release and for this cluster.
func (p *place) make(ctx context.Context, target string, variables ...string) (string, error) {
	command := exec.CommandContext(ctx, "make", append([]string{"--no-print-directory", "-C", p.repository, target, "IMAGE_TAG=" + release}, variables...)...)
	command.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=")
	if p.Cluster != nil {
		command.Env = append(command.Env, "KUBECONFIG="+p.Kubeconfig())
	}
	output, err := command.CombinedOutput()
	return string(output), err
}

func (p *place) mustMake(t *testing.T, target string, variables ...string) string {
	t.Helper()
	output, err := p.make(t.Context(), target, variables...)
	if err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, output)
	}
	return output
}

func (p *place) kubectlPath() string {
	return filepath.Join(cmp.Or(os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"), filepath.Join(p.repository, ".build", "kube")), "kubectl")
}

// kubectl runs kubectl as the administrator; an error holds what it complained of.
func (p *place) kubectl(ctx context.Context, input []byte, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, p.kubectlPath(), arguments...)
	command.Env = process.Environment("KUBECONFIG=" + p.Kubeconfig())
	var output, complaints bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &output, &complaints
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, complaints.String())
	}
	return output.String(), nil
}

func (p *place) mustKubectl(t *testing.T, input string, arguments ...string) string {
	t.Helper()
	output, err := p.kubectl(t.Context(), []byte(input), arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// checkLogs finds errors in what the pods of a node logged.
func checkLogs(node string) error {
	logs, err := filepath.Glob(filepath.Join(node, "logs", "*.log"))
	failures := []error{err}
	allowed := []harness.Allowed{{Process: apiserver, Pattern: regexp.MustCompile(`Could not get process start time`), Why: "a pod has no /proc here"}}
	for _, log := range logs {
		for _, program := range []string{apiserver, reconciler, stack.UpstreamName} {
			if strings.Contains(log, "_"+program+"-") {
				failures = append(failures, harness.CheckLog(program, log, allowed))
			}
		}
	}
	return errors.Join(failures...)
}
