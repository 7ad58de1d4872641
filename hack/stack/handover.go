package stack

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ambient-code/ambient-kube/hack/controlplane"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/reconciler/baseline"
)

// DataFile is where the upstream of a stack in the directory keeps its rows.
func DataFile(directory string) string { return files{directory: directory}.data() }

// Unregister takes away what leads the running control plane of a stack in the
// directory to our processes, so that others may serve in their place. The rest
// stays.
func Unregister(ctx context.Context, directory string) error {
	options := Options{Directory: directory}
	if err := options.complete(); err != nil {
		return err
	}
	// First what the whole cluster asks for.
	for _, objects := range [][]string{
		{"apiservices", apiServiceName},
		append([]string{"validatingwebhookconfigurations"}, slices.Sorted(maps.Keys(webhookConfigurations))...),
		{"services", APIServerName, "--namespace=" + Namespace},
	} {
		arguments := append([]string{"delete", "--ignore-not-found"}, objects...)
		if _, err := options.kubectl(ctx, controlplane.Kubeconfig(directory), "", arguments...); err != nil {
			return fmt.Errorf("taking our processes off the cluster: %w", err)
		}
	}
	return nil
}

// RecordBaseline makes the record that tells old sessions from new ones, which went with
// our namespace: those created up to the time (RFC 3339) are old. Without it the
// reconciler, which finds namespaces that it made, starts nothing until a person makes it.
func RecordBaseline(ctx context.Context, directory, created string) error {
	options := Options{Directory: directory}
	if err := options.complete(); err != nil {
		return err
	}
	record := fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q, "namespace": %q}, "data": {"created-at": %q}}`,
		baseline.ConfigMapName, Namespace, created)
	if _, err := options.kubectl(ctx, controlplane.Kubeconfig(directory), record, "apply", "--server-side", "--field-manager="+fieldManager, "--filename=-"); err != nil {
		return fmt.Errorf("recording which sessions are old: %w", err)
	}
	return nil
}

// OperatorSpec describes the process of the stand-in operator, for a stack in the
// directory whose programs are in another one.
func OperatorSpec(directory, binaries string) (process.Spec, error) {
	f := files{directory: directory, logs: filepath.Join(directory, "logs")}
	ready, err := announced(f.log(OperatorName), "Stand-in operator is ready")
	if err != nil {
		return process.Spec{}, err
	}
	return process.Spec{
		Name: OperatorName, Path: filepath.Join(binaries, OperatorName), Args: []string{"--kubeconfig=" + f.kubeconfig(OperatorAccount)},
		Env: process.Environment(), Directory: directory, LogFile: f.log(OperatorName), Ready: ready,
	}, nil
}
