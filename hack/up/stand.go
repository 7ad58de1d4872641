package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/ambient-code/ambient-kube/hack/cluster"
	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const (
	// startTimeout is generous: a loaded machine needs a minute.
	startTimeout = 5 * time.Minute
	stopTimeout  = 30 * time.Second
)

// stand is the system in one directory.
type stand struct {
	out io.Writer
	// directory is absolute.
	directory string
	// cluster says that it is only a cluster, for make deploy.
	cluster  bool
	logName  string
	logLines int
}

// names are those of the processes that are to run, in the order of their start.
func (s *stand) names() ([]string, error) {
	if s.cluster {
		return cluster.Names(), nil
	}
	deployed, err := s.deployed()
	if deployed {
		return append(cluster.Names(), stack.OperatorName), nil
	}
	return stack.Names(), err
}

// order is that of the start of all processes that a stand may have.
func order() []string { return append(stack.Names(), cluster.KubeletName) }

// whole tells whether exactly those run that are to run.
func whole(names []string, running []process.Record) bool {
	return len(running) == len(names) && !slices.ContainsFunc(running, func(record process.Record) bool {
		return !slices.Contains(names, record.Name)
	})
}

func (s *stand) say(format string, arguments ...any) {
	fmt.Fprintf(s.out, format+"\n", arguments...)
}

// enter keeps every other command that changes something away from the directory
// until leave is called.
func (s *stand) enter() (leave func(), err error) {
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(s.directory, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another make up, down or clean is at work in %s: %w", s.directory, err), lock.Close())
	}
	// Closing gives the lock back, and can't fail for a file that wasn't written.
	return func() { _ = lock.Close() }, nil
}

// survey tells which processes of the stand run and which ended by themselves.
func (s *stand) survey() (running, ended []process.Record, err error) {
	records, err := process.ReadRecords(stack.RecordsDirectory(s.directory))
	if err != nil {
		return nil, nil, err
	}
	for _, name := range order() {
		for _, record := range records {
			if record.Name != name {
				continue
			}
			if record.Alive() {
				running = append(running, record)
			} else {
				ended = append(ended, record)
			}
		}
	}
	return running, ended, nil
}

// stopAll stops what runs, the last one first, and forgets what has ended.
func (s *stand) stopAll(ctx context.Context) (stopped int, err error) {
	running, ended, err := s.survey()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	records := stack.RecordsDirectory(s.directory)
	var failures []error
	for i := len(running) - 1; i >= 0; i-- {
		failures = append(failures, running[i].Stop(ctx, records))
	}
	for _, record := range ended {
		failures = append(failures, record.Stop(ctx, records))
	}
	return len(running), errors.Join(failures...)
}

func (s *stand) down(ctx context.Context) error {
	if _, err := os.Stat(s.directory); errors.Is(err, fs.ErrNotExist) {
		s.say("It was not up.")
		return nil
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	stopped, err := s.stopAll(ctx)
	if err != nil {
		return err
	}
	if stopped == 0 {
		s.say("It was not up.")
		return nil
	}
	s.say("Stopped %d processes. The data stay in %s; make clean removes them.", stopped, s.directory)
	return nil
}

func (s *stand) clean(ctx context.Context) error {
	if _, err := os.Stat(s.directory); errors.Is(err, fs.ErrNotExist) {
		s.say("There is nothing to clean.")
		return nil
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	stopped, err := s.stopAll(ctx)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(s.directory); err != nil {
		return fmt.Errorf("removing the data: %w", err)
	}
	s.say("Stopped %d processes and removed %s. Built programs stay in .build.", stopped, s.directory)
	return nil
}
