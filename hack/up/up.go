package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ambient-code/ambient-kube/hack/process"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

// failureLines is how much of a log is shown when its process failed.
const failureLines = 20

func (s *stand) up(ctx context.Context) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.bringUp(ctx)
}

// bringUp makes sure that everything runs, as it was built last.
func (s *stand) bringUp(ctx context.Context) error {
	running, ended, err := s.survey()
	if err != nil {
		return err
	}
	outdated, err := outdated(running)
	if err != nil {
		return err
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	switch {
	case whole(names, running) && len(outdated) == 0:
		s.say("It is up already. make down stops it.")
		return s.tellNext()
	case len(outdated) > 0:
		s.say("%s changed since the start; all are started again, with their data.", strings.Join(outdated, ", "))
	case len(running) > 0:
		// Half a system is no system; the data are safe.
		s.say("%d processes run, of %d; they are stopped and all are started again.", len(running), len(names))
	}
	for _, record := range ended {
		s.say("%s of an earlier run has ended without make down (process %d is no longer it).", record.Name, record.PID)
	}
	if _, err := s.stopAll(ctx); err != nil {
		return fmt.Errorf("stopping what is left of an earlier run: %w", err)
	}
	started := time.Now()
	if err := s.startAndSeed(ctx); err != nil {
		if ctx.Err() != nil {
			s.say("\nInterrupted. Nothing was left running.")
			return errTold
		}
		s.tellFailure(err)
		return errTold
	}
	s.say("\nUp after %.1f s.", time.Since(started).Seconds())
	return s.tellNext()
}

// outdated names the processes whose program was built anew, to something else.
func outdated(running []process.Record) ([]string, error) {
	var names []string
	for _, record := range running {
		changed, err := record.Outdated()
		if err != nil {
			return nil, err
		}
		if changed {
			names = append(names, record.Name)
		}
	}
	return names, nil
}

func (s *stand) startAndSeed(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it took more than %v", startTimeout))
	defer cancel()
	progress := newProgress(s.out)
	deployed, err := s.deployed()
	if err != nil {
		return err
	}
	if s.cluster || deployed {
		start := s.startCluster
		if deployed {
			start = s.startDeployed
		}
		err := start(ctx, progress)
		progress.end(err == nil)
		return err
	}
	running, err := stack.Start(ctx, stack.Options{Directory: s.directory, Detach: true, Progress: progress.step})
	if err == nil {
		err = s.restoreBaseline(ctx)
		if err == nil {
			err = s.seed(ctx, running, progress)
		}
		if err == nil {
			err = s.keepTour(running)
		}
		if err != nil {
			stopping, stopped := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer stopped()
			err = errors.Join(err, running.Stop(stopping))
		}
	}
	progress.end(err == nil)
	return err
}

// seed fills a new system, once: what a person deleted later must not come back.
func (s *stand) seed(ctx context.Context, running *stack.Stack, progress *progress) error {
	marker := filepath.Join(s.directory, "seeded")
	if _, err := os.Stat(marker); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking whether there are examples already: %w", err)
	}
	progress.step("adding two projects and four sessions")
	if err := running.AddExamples(ctx); err != nil {
		return err
	}
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		return fmt.Errorf("noting that there are examples: %w", err)
	}
	return nil
}

// tellFailure names the part that failed and shows the end of its log.
func (s *stand) tellFailure(failed error) {
	var part *process.FailedError
	if !errors.As(failed, &part) {
		s.say("\nFAILED: %v\nNothing was left running. Logs: %s", failed, filepath.Join(s.directory, "logs"))
		return
	}
	s.say("\nFAILED: %s: %v", part.Name, part.Err)
	lines, err := process.Tail(part.LogPath, failureLines)
	if err != nil {
		s.say("Its log cannot be read: %v", err)
	} else {
		s.say("The last %d lines of its log:", len(lines))
		for _, line := range lines {
			s.say("  %s", line)
		}
	}
	s.say("Log: %s\nNothing was left running.", part.LogPath)
}

// progress prints each step with the time that it took.
type progress struct {
	out   io.Writer
	since time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out} }

func (p *progress) step(name string) {
	p.end(true)
	p.since = time.Now()
	fmt.Fprintf(p.out, "  %-58s", name)
}

// end closes the line of the step that was begun last, if it isn't closed.
func (p *progress) end(successful bool) {
	if p.since.IsZero() {
		return
	}
	word := ""
	if !successful {
		word = "  failed"
	}
	fmt.Fprintf(p.out, "%6.1f s%s\n", time.Since(p.since).Seconds(), word)
	p.since = time.Time{}
}
