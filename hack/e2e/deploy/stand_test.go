package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ambient-code/ambient-kube/hack/cluster"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
)

// person types commands at what make up started in a directory.
type person struct{ directory string }

func (p person) run(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	// Without the programs that other tests start, which no image is made of.
	command.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(p.directory, "kubeconfig"), "AMBIENT_KUBE_BINARIES=", "MAKEFLAGS=", "MAKELEVEL=")
	output, err := command.CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s %s: %w\n%s", name, strings.Join(arguments, " "), err, output)
	}
	return string(output), nil
}

func (p person) make(t *testing.T, target string, variables ...string) string {
	t.Helper()
	output, err := p.run(t, "make", append([]string{"--no-print-directory", "-C", here.repository, target, "STAND=" + p.directory}, variables...)...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func (p person) kubectl(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	return p.run(t, here.kubectlPath(), arguments...)
}

func (p person) mustKubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := p.kubectl(t, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// objects lists what a move must neither lose nor make anew.
func (p person) objects(t *testing.T) ([]string, error) {
	t.Helper()
	lines, err := p.kubectl(t, "get", "projects.ambient.io,sessions.ambient.io,agenticsessions.vteam.ambient-code", "-A", "--no-headers",
		"-o", "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name,UID:.metadata.uid,PHASE:.status.phase")
	return slices.Sorted(strings.Lines(lines)), err
}

func (p person) mustObjects(t *testing.T) []string {
	t.Helper()
	objects, err := p.objects(t)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func (p person) awaitObjects(t *testing.T, when string, want []string) {
	t.Helper()
	harness.Eventually(t, when+" everything is as it was", func() error {
		now, err := p.objects(t)
		if err == nil && !slices.Equal(now, want) {
			err = fmt.Errorf("there are\n%v\ninstead of\n%v", now, want)
		}
		return err
	})
}

func (p person) awaitPhase(t *testing.T, name, phase string) {
	t.Helper()
	harness.Eventually(t, name+" is "+phase, func() error {
		got, err := p.kubectl(t, "get", "sessions.ambient.io", name, "-n", "payments", "-o", "jsonpath={.status.phase}")
		if err == nil && got != phase {
			err = fmt.Errorf("it is %q", got)
		}
		return err
	})
}

// What make up started makes way for pods and comes back, with the same sessions.
func TestDeployingOntoWhatMakeUpStarted(t *testing.T) {
	p := person{filepath.Join(t.TempDir(), "run")}
	t.Cleanup(func() {
		if output, err := exec.Command("make", "--no-print-directory", "-C", here.repository, "clean", "STAND="+p.directory).CombinedOutput(); err != nil {
			t.Errorf("make clean: %v\n%s", err, output)
		}
	})
	p.make(t, "up")
	for _, name := range []string{"flaky-test", "upgrade-go"} {
		p.awaitPhase(t, name, "Running")
	}
	before := p.mustObjects(t)

	p.make(t, "deploy", "OVERLAY=local")
	harness.Contains(t, p.make(t, "status"), cluster.KubeletName, "It is up")
	if pods := p.mustKubectl(t, "get", "pods", "-n", namespace, "--no-headers"); strings.Count(pods, "1/1") != 5 {
		t.Errorf("not five pods are ready:\n%s", pods)
	}
	if after := p.mustObjects(t); !slices.Equal(after, before) {
		t.Errorf("deployed there are\n%v\nbefore there were\n%v", after, before)
	}
	p.mustKubectl(t, "create", "-f", filepath.Join(here.repository, "hack", "e2e", "deploy", "testdata", "session.yaml"))
	p.awaitPhase(t, "in-pods", "Running")
	if _, err := p.run(t, filepath.Join(here.repository, ".build", "bin", "kubectl-ambient"), "stop", "in-pods", "-n", "payments"); err != nil {
		t.Error(err)
	}
	p.awaitPhase(t, "in-pods", "Stopped")
	last := p.mustObjects(t)

	// Pods come back after their node.
	p.make(t, "down")
	p.make(t, "up")
	p.awaitObjects(t, "after a restart", last)
	p.make(t, "undeploy", "OVERLAY=local")
	if left := p.mustKubectl(t, "get", "apiservices,validatingwebhookconfigurations,validatingadmissionpolicies,namespaces", "-o", "name"); strings.Contains(left, "ambient.io") ||
		strings.Contains(left, "/ambient-agenticsessions") || strings.Contains(left, "/ambient-project") || strings.Contains(left, "/ambient-reconciler") || strings.Contains(left, "/"+namespace+"\n") {
		t.Errorf("after leaving there are\n%s", left)
	}
	p.make(t, "up")
	p.awaitObjects(t, "as processes again", last)
	p.mustKubectl(t, "create", "-f", filepath.Join(here.repository, "hack", "e2e", "deploy", "testdata", "session-afterwards.yaml"))
	p.awaitPhase(t, "afterwards", "Running")
	if err := checkLogs(filepath.Join(p.directory, "node")); err != nil {
		t.Error(err)
	}
}
