package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// tourFile keeps what is printed when the system is up, for the next make up.
const tourFile = "next-steps.txt"

// keepTour writes what a person may type next.
func (s *stand) keepTour(running *stack.Stack) error {
	var text strings.Builder
	environment := filepath.Join(s.directory, "env")
	if err := running.WriteEnvironment(environment); err != nil {
		return err
	}
	fmt.Fprintf(&text, "\n  export KUBECONFIG=%s\n", running.Kubeconfig())
	fmt.Fprintf(&text, "\nor, for kubectl and our programs in the PATH as well:\n\n  source %s\n", environment)
	fmt.Fprintf(&text, "\nThen, for example:\n\n")
	for _, command := range []string{
		"kubectl get sessions.ambient.io -A --watch",
		"ambientd sessions create \"Say hello\" --project payments",
		"kubectl explain sessions.spec --api-version=ambient.io/v1alpha1 --recursive",
		"kubectl -n payments get sessions.ambient.io,agenticsessions",
		"kubectl -n payments describe sessions.ambient.io flaky-test",
		"kubectl ambient status flaky-test -n payments",
		"kubectl ambient stop flaky-test -n payments --wait",
	} {
		fmt.Fprintf(&text, "  %s\n", command)
	}
	if err := os.WriteFile(filepath.Join(s.directory, tourFile), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("keeping the next steps: %w", err)
	}
	return nil
}

func (s *stand) tellNext() error {
	deployed, err := s.deployed()
	if err != nil {
		return err
	}
	if deployed {
		s.say("\n  export KUBECONFIG=%s\n  kubectl -n %s get pods", filepath.Join(s.directory, "kubeconfig"), stack.Namespace)
		return nil
	}
	text, err := os.ReadFile(filepath.Join(s.directory, tourFile))
	if err != nil {
		return fmt.Errorf("reading the next steps: %w", err)
	}
	s.say("%s", strings.TrimRight(string(text), "\n"))
	return nil
}

func (s *stand) status(context.Context) error {
	running, ended, err := s.survey()
	if err != nil {
		return err
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(s.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "PROCESS\tSTATE\tPID\tLOG")
	for _, name := range names {
		named := func(record process.Record) bool { return record.Name == name }
		if i := slices.IndexFunc(running, named); i >= 0 {
			fmt.Fprintf(table, "%s\trunning\t%d\t%s\n", name, running[i].PID, running[i].LogPath)
		} else if i := slices.IndexFunc(ended, named); i >= 0 {
			fmt.Fprintf(table, "%s\tended by itself\t-\t%s\n", name, ended[i].LogPath)
		} else {
			fmt.Fprintf(table, "%s\tnot started\t-\t-\n", name)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	switch {
	case whole(names, running):
		s.say("\nIt is up: export KUBECONFIG=%s", filepath.Join(s.directory, "kubeconfig"))
		return nil
	case len(running) == 0:
		s.say("\nIt is down. make up starts it.")
	default:
		s.say("\nIt is up in part only. make up starts all of it again.")
	}
	return errTold
}

func (s *stand) logs(context.Context) error {
	folder := filepath.Join(s.directory, "logs")
	found := false
	for _, name := range order() {
		if s.logName != "" && s.logName != name {
			continue
		}
		path := filepath.Join(folder, name+".log")
		lines, err := process.Tail(path, s.logLines)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found = true
		s.say("==> %s <==", path)
		for _, line := range lines {
			s.say("%s", line)
		}
		s.say("")
	}
	if found {
		return nil
	}
	if s.logName != "" && !slices.Contains(order(), s.logName) {
		return fmt.Errorf("no process is called %q; there are %s", s.logName, strings.Join(order(), ", "))
	}
	s.say("There are no logs yet in %s.", folder)
	return nil
}
