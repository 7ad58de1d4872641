package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
)

const patience = 10 * time.Second

// running is a daemon that a test started.
type running struct {
	t         *testing.T
	addresses Addresses
	cancel    context.CancelFunc
	ended     chan error
	log       *bytes.Buffer
}

// run starts a daemon and waits until it listens; its end, and that no goroutine
// stays, is checked when the test ends.
func run(t *testing.T, change func(*Options)) *running {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	folder := t.TempDir()
	options := Options{
		DataFile: filepath.Join(folder, "data"), Listen: "127.0.0.1:0", ControlListen: "127.0.0.1:0",
		AddressFile: filepath.Join(folder, "addresses"), Authentication: identity.None, PoolSize: 50,
	}
	if change != nil {
		change(&options)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started := &running{t: t, cancel: cancel, ended: make(chan error, 1), log: &bytes.Buffer{}}
	go func() { started.ended <- Run(ctx, options, slog.New(slog.NewTextHandler(started.log, nil))) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		started.stop()
		goleak.VerifyNone(t, leaks)
	})
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		if text, err := os.ReadFile(options.AddressFile); err == nil {
			if err := json.Unmarshal(text, &started.addresses); err != nil {
				t.Fatal(err)
			}
			return started
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon does not listen")
		}
	}
}

func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("the daemon ended with %v", err)
		}
		r.ended <- nil
	case <-time.After(patience):
		r.t.Error("the daemon did not end")
	}
}

func (r *running) connect() *grpc.ClientConn {
	r.t.Helper()
	connection, err := grpc.NewClient(r.addresses.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := connection.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return connection
}

func (r *running) control(method, path, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, "http://"+r.addresses.Control+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		r.t.Fatalf("%s %s: %s", method, path, response.Status)
	}
}

// watch opens a watch that is known to be subscribed.
func watch(t *testing.T, connection *grpc.ClientConn) (receive func() error, create func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	client := ambientv1.NewSessionServiceClient(connection)
	stream, err := client.WatchSessions(ctx, &ambientv1.WatchSessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	receive = func() error { _, err := stream.Recv(); return err }
	create = func() error {
		_, err := client.CreateSession(ctx, &ambientv1.CreateSessionRequest{Name: "a"}, grpc.WaitForReady(true))
		return err
	}
	if err := errors.Join(create(), receive()); err != nil {
		t.Fatal(err)
	}
	return receive, create
}

func TestGoAwayMakesClientsReconnectAndKeepsStreamsOpen(t *testing.T) {
	daemon := run(t, nil)
	receive, create := watch(t, daemon.connect())
	for range 2 {
		daemon.control(http.MethodPost, "/actions/goaway", "")
		if err := errors.Join(create(), receive()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCutEndsStreamsAndClientsReconnect(t *testing.T) {
	daemon := run(t, nil)
	connection := daemon.connect()
	receive, _ := watch(t, connection)
	daemon.control(http.MethodPost, "/actions/cut", "")
	if err := receive(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	watch(t, connection)
}

func TestStreamsEndCleanlyOnSIGTERM(t *testing.T) {
	daemon := run(t, nil)
	receive, _ := watch(t, daemon.connect())
	daemon.cancel()
	if err := receive(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	daemon.stop()
}

func TestAStreamThatDoesNotEndIsCutAfterAWhile(t *testing.T) {
	daemon := run(t, nil)
	stream, err := grpc_health_v1.NewHealthClient(daemon.connect()).Watch(context.Background(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	daemon.stop()
	if took := time.Since(began); took > graceful+2*time.Second {
		t.Errorf("the end took %s", took)
	}
}

func TestOversizePagesExceedTheClientsLimitAndChangeNothing(t *testing.T) {
	daemon := run(t, nil)
	client := ambientv1.NewSessionServiceClient(daemon.connect())
	daemon.control(http.MethodPut, "/faults", `{"oversizeBytes":5000000}`)
	_, err := client.ListSessions(t.Context(), &ambientv1.ListSessionsRequest{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the default limit: %v", err)
	}
	response, err := client.ListSessions(t.Context(), &ambientv1.ListSessionsRequest{}, grpc.MaxCallRecvMsgSize(8<<20))
	if err != nil || len(response.GetItems()) != 0 || response.GetMetadata().GetSize() != 20 {
		t.Errorf("a raised limit: %d items, %v, %v", len(response.GetItems()), response.GetMetadata(), err)
	}
}

func TestLostRightsAndAChangedTokenEmptyTheWorld(t *testing.T) {
	daemon := run(t, func(options *Options) { options.Authentication, options.Token = identity.Static, "first" })
	client := ambientv1.NewSessionServiceClient(daemon.connect())
	if _, err := client.CreateSession(t.Context(), &ambientv1.CreateSessionRequest{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	total := func(token string) int32 {
		t.Helper()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
		response, err := client.ListSessions(ctx, &ambientv1.ListSessionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return response.GetMetadata().GetTotal()
	}
	for _, step := range []struct {
		name, method, path, body, token string
		want                            int32
	}{
		{"at first", http.MethodDelete, "/faults", "", "first", 1},
		{"rights lost", http.MethodPut, "/faults", `{"loseRights":true}`, "first", 0},
		{"rights back", http.MethodDelete, "/faults", "", "first", 1},
		{"token changed", http.MethodPut, "/token", `{"token":"second"}`, "first", 0},
		{"new token", http.MethodDelete, "/faults", "", "second", 1},
	} {
		daemon.control(step.method, step.path, step.body)
		if got := total(step.token); got != step.want {
			t.Errorf("%s: total = %d, want %d", step.name, got, step.want)
		}
	}
}

func TestAHeldMessageCarriesTheOldState(t *testing.T) {
	daemon := run(t, nil)
	client := ambientv1.NewSessionServiceClient(daemon.connect())
	stream, err := client.WatchSessions(t.Context(), &ambientv1.WatchSessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	daemon.control(http.MethodPut, "/faults", `{"messageDelay":"1h"}`)
	session, err := client.CreateSession(t.Context(), &ambientv1.CreateSessionRequest{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	// The row is read some 3 ms after the create; the update comes well after it.
	timer := time.NewTimer(300 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	phase := "Running"
	if _, err := client.UpdateSessionStatus(t.Context(), &ambientv1.UpdateSessionStatusRequest{Id: session.GetMetadata().GetId(), Phase: &phase}); err != nil {
		t.Fatal(err)
	}
	daemon.control(http.MethodDelete, "/faults", "")
	event, err := stream.Recv()
	if err != nil || event.GetType() != ambientv1.EventType_EVENT_TYPE_CREATED || event.GetSession().Phase != nil {
		t.Errorf("the held message is %v, %v", event, err)
	}
}

func TestOptionsThatContradictEachOtherAreNamed(t *testing.T) {
	valid := Options{DataFile: "data", Authentication: identity.None, PoolSize: 50}
	if err := valid.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"--data is required":   func(o *Options) { o.DataFile = "" },
		"--token-file":         func(o *Options) { o.Authentication = identity.Static },
		"--jwks-file":          func(o *Options) { o.Authentication = identity.JWT },
		"--tls-key-file":       func(o *Options) { o.CertificateFile = "crt" },
		"--database-pool-size": func(o *Options) { o.PoolSize = 2 },
	} {
		options := valid
		change(&options)
		if err := options.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one that names %s", err, want)
		}
	}
}

func TestTheControlInterfaceListensOnLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "nonsense"} {
		if listener, err := listenLoopback(t.Context(), address); err == nil {
			t.Errorf("%s was accepted", address)
			_ = listener.Close()
		}
	}
	listener, err := listenLoopback(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestAPortInUseIsAnErrorAndLeavesNothingRunning(t *testing.T) {
	daemon := run(t, nil)
	err := Run(t.Context(), Options{DataFile: filepath.Join(t.TempDir(), "data"), Listen: daemon.addresses.GRPC,
		Authentication: identity.None, PoolSize: 50}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "listening for gRPC") {
		t.Errorf("error = %v", err)
	}
}
