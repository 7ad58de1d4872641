package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// silence is how long a test listens before it believes that nothing comes.
const silence = time.Second

// embeddedToken is the static token of the embedded server.
const embeddedToken = "conformance-static-token"

// target is the server that most tests talk to.
var target *server

// ambientd is the path of the embedded server's binary; empty with a foreign server.
var ambientd string

// server is one running server.
type server struct {
	address string
	control string
	token   string
	caFile  string

	process *exec.Cmd
	ended   chan struct{}
	problem error // how the process ended; to be read once ended is closed
}

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		log.Print(err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if address := os.Getenv("AMBIENT_CONFORMANCE_ADDRESS"); address != "" {
		target = &server{
			address: address,
			control: os.Getenv("AMBIENT_CONFORMANCE_CONTROL"),
			caFile:  os.Getenv("AMBIENT_CONFORMANCE_CA_FILE"),
		}
		if path := os.Getenv("AMBIENT_CONFORMANCE_TOKEN_FILE"); path != "" {
			token, err := os.ReadFile(path)
			if err != nil {
				return 1, fmt.Errorf("reading the token: %w", err)
			}
			target.token = strings.TrimSpace(string(token))
		}
		return m.Run(), nil
	}
	folder, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return 1, fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	ambientd = filepath.Join(folder, "ambientd")
	build := exec.Command("go", "build", "-o", ambientd, "../../../cmd/ambientd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the embedded server: %w\n%s", err, output)
	}
	target, err = start(folder, "static")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, target.stop()) }()
	return m.Run(), nil
}

// start starts an embedded server whose files lie in the folder.
func start(folder, mode string, options ...string) (*server, error) {
	tokenFile := filepath.Join(folder, "token")
	if err := os.WriteFile(tokenFile, []byte(embeddedToken+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("writing the token: %w", err)
	}
	addressFile := filepath.Join(folder, "addresses")
	if err := os.RemoveAll(addressFile); err != nil {
		return nil, fmt.Errorf("removing old addresses: %w", err)
	}
	output, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	started := &server{token: embeddedToken, ended: make(chan struct{})}
	started.process = exec.Command(ambientd, append([]string{
		"--data", filepath.Join(folder, "data"), "--listen=127.0.0.1:0", "--control-listen=127.0.0.1:0",
		"--address-file", addressFile, "--auth", mode, "--token-file", tokenFile}, options...)...)
	started.process.Stderr = output
	if err := started.process.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded server: %w", err), output.Close())
	}
	go func() {
		defer close(started.ended)
		// How the process ended is read from ProcessState.
		started.problem = errors.Join(started.process.Wait(), output.Close())
	}()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		text, err := os.ReadFile(addressFile)
		if err == nil {
			var addresses struct{ GRPC, Control string }
			if err := json.Unmarshal(text, &addresses); err != nil {
				return nil, fmt.Errorf("decoding the addresses: %w", err)
			}
			started.address, started.control = addresses.GRPC, addresses.Control
			return started, nil
		}
		select {
		case <-poll.C:
		case <-started.ended:
			logged, err := os.ReadFile(output.Name())
			return nil, errors.Join(fmt.Errorf("the embedded server ended: %w: %s", started.problem, logged), err)
		case <-deadline.C:
			return nil, errors.Join(errors.New("the embedded server does not listen"), started.kill())
		}
	}
}

// stop asks the process to end and returns an error unless it ends well and in time.
func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("asking the server to end: %w", err)
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
		return errors.Join(errors.New("the server did not end within 10 s of SIGTERM"), s.kill())
	}
	if code := s.process.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the server ended with code %d", code)
	}
	return nil
}

// kill ends the process without a chance to say goodbye.
func (s *server) kill() error {
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing the server: %w", err)
	}
	<-s.ended
	return nil
}

// ownServer starts a server for one test; with a foreign server the test is skipped.
func ownServer(t *testing.T, mode string, options ...string) *server {
	t.Helper()
	return serverIn(t, t.TempDir(), mode, options...)
}

// serverIn is ownServer with a folder, so that a test can start it again.
func serverIn(t *testing.T, folder, mode string, options ...string) *server {
	t.Helper()
	if ambientd == "" {
		t.Skipf("%s needs a server that it can start and stop", t.Name())
	}
	started, err := start(folder, mode, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-started.ended: // the test ended it
		default:
			if err := started.stop(); err != nil {
				t.Error(err)
			}
		}
	})
	return started
}

// bearer sends a token with every call; the empty token is not sent.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	if b == "" {
		return nil, nil
	}
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// dial connects to the server with a token.
func (s *server) dial(t *testing.T, token string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	transport := insecure.NewCredentials()
	if s.caFile != "" {
		var err error
		if transport, err = credentials.NewClientTLSFromFile(s.caFile, ""); err != nil {
			t.Fatal(err)
		}
	}
	connection, err := grpc.NewClient(s.address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport), grpc.WithPerRPCCredentials(bearer(token))}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			t.Errorf("closing the connection: %v", err)
		}
	})
	return connection
}
