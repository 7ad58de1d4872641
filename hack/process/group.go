package process

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
)

// GroupOptions say how the processes of a group live.
type GroupOptions struct {
	// Detach lets the processes live on when we end.
	Detach bool
	// Records is the directory that holds a record of each running process;
	// empty for none. It must exist.
	Records string
}

// Group starts processes and waits for each of them.
type Group struct {
	options GroupOptions
	starts  chan startRequest
	closed  chan struct{}
	once    sync.Once
	waiters sync.WaitGroup

	mutex     sync.Mutex
	processes []*Process
}

type startRequest struct {
	command *exec.Cmd
	result  chan<- error
}

// NewGroup returns a group without processes. Close ends it.
func NewGroup(options GroupOptions) *Group {
	g := &Group{options: options, starts: make(chan startRequest), closed: make(chan struct{})}
	g.waiters.Go(g.startAll)
	return g
}

// startAll starts every process of the group on one thread of its own: the
// kernel kills an attached process when the thread that started it ends, which
// with the threads of the Go scheduler may be at any time. The thread ends
// with this goroutine because it is never unlocked.
func (g *Group) startAll() {
	runtime.LockOSThread()
	for {
		select {
		case request := <-g.starts:
			request.result <- request.command.Start()
		case <-g.closed:
			return
		}
	}
}

func (g *Group) start(command *exec.Cmd) error {
	result := make(chan error, 1)
	select {
	case g.starts <- startRequest{command: command, result: result}:
		return <-result
	case <-g.closed:
		return errors.New("the group of processes is closed")
	}
}

func (g *Group) add(p *Process) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.processes = append(g.processes, p)
}

// Close ends the group: attached processes that still run are killed, and are
// gone when Close returns. Detached ones are left alone.
func (g *Group) Close() error {
	g.once.Do(func() { close(g.closed) })
	if g.options.Detach {
		return nil
	}
	g.mutex.Lock()
	processes := slices.Clone(g.processes)
	g.mutex.Unlock()
	var failures []error
	for _, p := range processes {
		failures = append(failures, p.Kill())
	}
	g.waiters.Wait()
	return errors.Join(failures...)
}

// Environment is what a stand's programs need of our own environment, without
// what would change their meaning: KUBECONFIG, proxies, AMBIENT_….
func Environment(additional ...string) []string {
	var result []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "USER", "LANG", "TZ", "GORACE", "GOCOVERDIR", "GOTRACEBACK"} {
		if value, ok := os.LookupEnv(name); ok {
			result = append(result, name+"="+value)
		}
	}
	return append(result, additional...)
}
