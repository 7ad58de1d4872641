package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// pollInterval is the pause between two questions whether a process is ready.
const pollInterval = 50 * time.Millisecond

// Spec describes a program to be run.
type Spec struct {
	// Name is what people call it; also the name of its record.
	Name string
	// Path and Args are the executable and its arguments.
	Path string
	Args []string
	// Env is the whole environment: see Environment.
	Env []string
	// Directory is where it runs; empty for ours.
	Directory string
	// Jail, if set, is all that the program sees of this machine's files; Path and
	// Directory are as seen from there. Linux only, by root or where everybody may
	// make namespaces of users.
	Jail *Jail
	// LogFile gets standard output and error. It is appended to.
	LogFile string
	// Ready is asked until it returns nil. Without it a process is ready once
	// it has started.
	Ready func(ctx context.Context) error
}

// Jail is a folder that a program takes for the root of all files, and as whom it
// runs there.
type Jail struct {
	Root        string
	User, Group uint32
}

// Process is a program of a Group: running, or ended and to be restarted.
// Its methods may be called at the same time.
type Process struct {
	group *Group
	spec  Spec

	mutex sync.Mutex
	run   *run
}

// run is one life of a process. Only identity may be read before done is closed.
type run struct {
	identity Identity
	process  *os.Process
	done     chan struct{}
	state    *os.ProcessState
	err      error
}

// FailedError says that a process didn't get ready.
type FailedError struct {
	Name    string
	LogPath string
	Err     error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%s: %v (log: %s)", e.Name, e.Err, e.LogPath)
}

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// Start runs a program and waits until it is ready. If it ends first, or the
// context does, the process is killed and the error is a *FailedError.
func (g *Group) Start(ctx context.Context, spec Spec) (*Process, error) {
	p := &Process{group: g, spec: spec}
	if err := p.Restart(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Restart runs the program again, after it has ended, and waits until it is
// ready. It is an error if it still runs.
func (p *Process) Restart(ctx context.Context) error {
	return p.RestartWith(ctx, p.Spec())
}

// RestartWith is Restart with another description of the program.
func (p *Process) RestartWith(ctx context.Context, spec Spec) error {
	p.mutex.Lock()
	if p.run != nil && !p.run.ended() {
		p.mutex.Unlock()
		return fmt.Errorf("starting %s: it still runs", spec.Name)
	}
	p.spec = spec
	current, err := p.launch()
	p.mutex.Unlock()
	if err != nil {
		return &FailedError{Name: spec.Name, LogPath: spec.LogFile, Err: err}
	}
	if err := current.waitReady(ctx, spec.Ready); err != nil {
		cause := &FailedError{Name: spec.Name, LogPath: spec.LogFile, Err: err}
		return errors.Join(cause, p.Kill())
	}
	return nil
}

// launch starts the program; the caller holds the mutex.
func (p *Process) launch() (*run, error) {
	log, err := os.OpenFile(p.spec.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	// The child has its own copy.
	defer log.Close()
	command := exec.Command(p.spec.Path, p.spec.Args...)
	command.Env, command.Dir = p.spec.Env, p.spec.Directory
	command.Stdout, command.Stderr = log, log
	if command.SysProcAttr, err = attributes(p.group.options.Detach, p.spec.Jail); err != nil {
		return nil, err
	}
	if err := p.group.start(command); err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	if p.run == nil {
		p.group.add(p)
	}
	current := &run{process: command.Process, done: make(chan struct{})}
	current.identity, err = identify(command.Process.Pid)
	if err == nil && p.group.options.Records != "" {
		err = p.record(current.identity).write(p.group.options.Records)
	}
	p.run = current
	p.group.waiters.Go(func() {
		current.err = command.Wait()
		current.state = command.ProcessState
		close(current.done)
	})
	// One that ended at once is reported with its exit code by waitReady.
	if err != nil && !errors.Is(err, errGone) {
		return nil, errors.Join(err, p.run.kill())
	}
	return current, nil
}

func (p *Process) record(identity Identity) Record {
	return Record{Name: p.spec.Name, Identity: identity, Path: p.spec.Path, LogPath: p.spec.LogFile}
}

// Spec returns the description that the process was last started with.
func (p *Process) Spec() Spec {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.spec
}

// Name is what people call the process.
func (p *Process) Name() string { return p.Spec().Name }

// LogPath is the file that holds all that the process ever printed.
func (p *Process) LogPath() string { return p.Spec().LogFile }

// PID is the number of the current, or last, life of the process.
func (p *Process) PID() int { return p.current().identity.PID }

// Exited is closed when the current life of the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.current().done }

// Kill ends the process with SIGKILL and waits until it is gone. It is no
// error if it has already ended.
func (p *Process) Kill() error {
	if err := p.current().kill(); err != nil {
		return fmt.Errorf("killing %s: %w", p.Name(), err)
	}
	return p.forget()
}

// Signal sends a signal to the running process.
func (p *Process) Signal(signal os.Signal) error {
	if err := p.current().process.Signal(signal); err != nil {
		return fmt.Errorf("sending %v to %s: %w", signal, p.Name(), err)
	}
	return nil
}

// Terminate asks the process to end with SIGTERM and returns its exit code, or
// -1 if a signal ended it. When the context ends first, it is killed and the
// error says so. One that has already ended answers with its exit code.
func (p *Process) Terminate(ctx context.Context) (int, error) {
	current := p.current()
	if err := current.process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return -1, fmt.Errorf("sending SIGTERM to %s: %w", p.Name(), err)
	}
	select {
	case <-current.done:
		return current.state.ExitCode(), p.forget()
	case <-ctx.Done():
		cause := fmt.Errorf("%s did not end after SIGTERM and was killed: %w", p.Name(), context.Cause(ctx))
		return -1, errors.Join(cause, p.Kill())
	}
}

func (p *Process) current() *run {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.run
}

func (p *Process) forget() error {
	if p.group.options.Records == "" {
		return nil
	}
	return p.record(Identity{}).remove(p.group.options.Records)
}

func (r *run) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *run) kill() error {
	if err := r.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending SIGKILL: %w", err)
	}
	<-r.done
	return nil
}

func (r *run) waitReady(ctx context.Context, ready func(context.Context) error) error {
	if ready == nil {
		return nil
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	var last error
	for {
		if last = ready(ctx); last == nil && !r.ended() {
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("it ended before it was ready: %v", r.state)
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w; last answer: %w", context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}
