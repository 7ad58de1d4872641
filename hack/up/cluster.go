package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ambient-code/ambient-kube/hack/cluster"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// startCluster starts a control plane and a stand-in for a node.
func (s *stand) startCluster(ctx context.Context, progress *progress) error {
	options, err := s.clusterOptions(progress)
	if err != nil {
		return err
	}
	running, err := cluster.Start(ctx, options)
	if err != nil {
		return fmt.Errorf("starting a cluster: %w", err)
	}
	text := fmt.Sprintf("\n  export KUBECONFIG=%s\n  make deploy OVERLAY=local\n", running.Kubeconfig())
	if err := os.WriteFile(filepath.Join(s.directory, tourFile), []byte(text), 0o600); err != nil {
		return fmt.Errorf("keeping the next steps: %w", err)
	}
	return nil
}

func (s *stand) clusterOptions(progress *progress) (cluster.Options, error) {
	repository, err := stack.Repository()
	if err != nil {
		return cluster.Options{}, fmt.Errorf("finding the manifests: %w", err)
	}
	records := stack.RecordsDirectory(s.directory)
	if err := os.MkdirAll(records, 0o700); err != nil {
		return cluster.Options{}, fmt.Errorf("making a directory: %w", err)
	}
	return cluster.Options{
		Directory: s.directory, Repository: repository, Programs: filepath.Join(repository, ".build", "bin"),
		ControlPlanePrograms: cmp.Or(os.Getenv("AMBIENT_KUBE_CONTROL_PLANE"), filepath.Join(repository, ".build", "kube")),
		Group:                process.NewGroup(process.GroupOptions{Detach: true, Records: records}), Progress: progress.step,
	}, nil
}
