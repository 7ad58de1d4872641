package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

const (
	startTimeout = 5 * time.Minute
	stopTimeout  = time.Minute
)

// Options say what a test package needs.
type Options struct {
	// Stack says what to run. The directory is chosen here.
	Stack stack.Options
	// Allowed are log lines that this package's tests provoke, beside those that
	// every run has.
	Allowed []Allowed
	// Prepare, if set, is called before the tests, which do not run if it fails.
	Prepare func(ctx context.Context, stand *Stand) error
}

// Stand is a running system with clients of all its sides.
type Stand struct {
	// Stack are the processes.
	Stack *stack.Stack
	// Ambient and Kubernetes are clients of kube-apiserver, as the administrator.
	Ambient    versioned.Interface
	Kubernetes kubernetes.Interface
	// Upstream is the system of record, as its own users see it.
	Upstream *Upstream

	names counter
	// run is in all names at an upstream that remembers the names of earlier runs.
	run string
}

// Main starts a stand, hands it to the function, runs the package's tests,
// stops the stand and checks its logs. It returns the exit code of TestMain.
func Main(m *testing.M, options Options, use func(*Stand)) int {
	directory, err := os.MkdirTemp("", "ambient-kube-e2e-")
	if err != nil {
		return complain(fmt.Errorf("making a directory: %w", err))
	}
	options.Stack.Directory = directory
	options.Stack.ExternalUpstream = externalUpstream()
	stand, err := start(options)
	if err != nil {
		return complain(fmt.Errorf("starting the stand in %s: %w", directory, err))
	}
	code := 1
	if err := prepare(options, stand); err != nil {
		complain(err)
	} else {
		use(stand)
		code = m.Run()
	}
	if err := errors.Join(stand.stop(), stand.checkLogs(options.Allowed)); err != nil {
		code = complain(err)
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "The stand's state and logs are kept in %s\n", directory)
		return code
	}
	if err := os.RemoveAll(directory); err != nil {
		return complain(fmt.Errorf("removing the stand's directory: %w", err))
	}
	return 0
}

// externalUpstream is the server that the environment names, if it does, with the
// names that the conformance suite has.
func externalUpstream() *stack.ExternalUpstream {
	address := os.Getenv("AMBIENT_CONFORMANCE_ADDRESS")
	if address == "" {
		return nil
	}
	return &stack.ExternalUpstream{
		Address: address, TokenFile: os.Getenv("AMBIENT_CONFORMANCE_TOKEN_FILE"), CAFile: os.Getenv("AMBIENT_CONFORMANCE_CA_FILE"),
	}
}

// NeedsEmbeddedUpstream skips a test that kills or starts the upstream, if that is
// somebody else's server.
func (s *Stand) NeedsEmbeddedUpstream(t testing.TB) {
	t.Helper()
	if s.Stack.Upstream == nil {
		t.Skip("kills or starts the upstream, which is not ours here")
	}
}

// Run starts a stand that the test or benchmark has for itself, in a directory
// that goes with it, and stops it at its end.
func Run(t testing.TB, options stack.Options) *Stand {
	t.Helper()
	options.Directory = t.TempDir()
	stand, err := start(Options{Stack: options})
	if err != nil {
		t.Fatalf("starting the stand: %v", err)
	}
	t.Cleanup(func() {
		if err := stand.stop(); err != nil {
			t.Errorf("stopping the stand: %v", err)
		}
	})
	return stand
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "FAIL:", err)
	return 1
}

func start(options Options) (stand *Stand, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	running, err := stack.Start(ctx, options.Stack)
	if err != nil {
		return nil, err
	}
	stand = &Stand{Stack: running}
	if options.Stack.ExternalUpstream != nil {
		stand.run = strconv.FormatInt(time.Now().Unix(), 36) + "-"
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stand.stop())
		}
	}()
	if stand.Ambient, err = versioned.NewForConfig(running.Config()); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if stand.Kubernetes, err = kubernetes.NewForConfig(running.Config()); err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	if stand.Upstream, err = newUpstream(running); err != nil {
		return nil, err
	}
	return stand, nil
}

func prepare(options Options, stand *Stand) error {
	if options.Prepare == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := options.Prepare(ctx, stand); err != nil {
		return fmt.Errorf("preparing the stand: %w", err)
	}
	return nil
}

func (s *Stand) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var disconnecting error
	if s.Upstream != nil {
		disconnecting = s.Upstream.close()
	}
	return errors.Join(disconnecting, s.Stack.Stop(ctx))
}
