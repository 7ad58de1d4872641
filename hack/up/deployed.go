package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ambient-code/ambient-kube/hack/cluster"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// deployedMarker is a file that says that our programs are not processes beside the
// control plane, but pods of it, where make deploy puts them.
const deployedMarker = "deployed"

// undeployedMarker is a file that says when our programs were removed from the cluster,
// and with them the record that tells old sessions from new ones.
const undeployedMarker = "undeployed"

// restoreBaseline makes that record again, if it went.
func (s *stand) restoreBaseline(ctx context.Context) error {
	marker := filepath.Join(s.directory, undeployedMarker)
	removed, err := os.ReadFile(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking when our programs were removed: %w", err)
	}
	if err := stack.RecordBaseline(ctx, s.directory, string(removed)); err != nil {
		return err
	}
	if err := os.Remove(marker); err != nil {
		return fmt.Errorf("noting that the record of old sessions is back: %w", err)
	}
	return nil
}

func (s *stand) deployed() (bool, error) {
	_, err := os.Stat(filepath.Join(s.directory, deployedMarker))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err == nil, nil
	}
	return false, fmt.Errorf("looking where our programs run: %w", err)
}

// makeWay ends our programs and starts a node beside the control plane, so that they
// can be deployed to it. Everything in the cluster and upstream stays.
func (s *stand) makeWay(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	deployed, err := s.deployed()
	if err != nil {
		return err
	}
	if !deployed {
		running, _, err := s.survey()
		if err != nil {
			return err
		}
		if !whole(stack.Names(), running) {
			return errors.New("not all of it runs; make up first")
		}
		s.say("The programs that make up started end, and make way for pods.")
		if err := stack.Unregister(ctx, s.directory); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.directory, deployedMarker), nil, 0o600); err != nil {
			return fmt.Errorf("noting that our programs are deployed: %w", err)
		}
		if _, err := s.stopAll(ctx); err != nil {
			return fmt.Errorf("stopping what make up started: %w", err)
		}
	}
	return s.bringUp(ctx)
}

// takeBack lets make up start our programs as processes again, after they were
// removed from the cluster.
func (s *stand) takeBack(context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if err := os.WriteFile(filepath.Join(s.directory, undeployedMarker), []byte(time.Now().UTC().Format(time.RFC3339)), 0o600); err != nil {
		return fmt.Errorf("noting when our programs were removed: %w", err)
	}
	if err := os.Remove(filepath.Join(s.directory, deployedMarker)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("noting that our programs are not deployed: %w", err)
	}
	s.say("The control plane runs on. make up starts our programs beside it again, on the same sessions.")
	return nil
}

// startDeployed starts the control plane, a node for our programs, and the operator.
// The node's upstream has the rows of the one that is a process otherwise.
func (s *stand) startDeployed(ctx context.Context, progress *progress) error {
	options, err := s.clusterOptions(progress)
	if err != nil {
		return err
	}
	options.Keep = map[string]string{stack.UpstreamName: stack.DataFile(s.directory)}
	running, err := cluster.Start(ctx, options)
	if err != nil {
		return fmt.Errorf("starting a cluster: %w", err)
	}
	progress.step("starting " + stack.OperatorName + ", a stand-in for the platform's")
	operator, err := stack.OperatorSpec(s.directory, options.Programs)
	if err == nil {
		_, err = options.Group.Start(ctx, operator)
	}
	if err != nil {
		stopping, stopped := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer stopped()
		return errors.Join(err, running.Stop(stopping))
	}
	return nil
}
