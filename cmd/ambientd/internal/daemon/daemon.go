// Package daemon puts the embedded upstream together: data file, broker, services,
// authentication, listeners, control interface, and an orderly end.
//
// It owns the life of the process's parts. It must not know what a call means.
package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/events"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/fault"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/identity"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/service"
	"github.com/ambient-code/ambient-kube/cmd/ambientd/internal/store"
)

// graceful is how long calls and streams may take to end after a signal.
const graceful = 5 * time.Second

// Options says how to run.
type Options struct {
	// DataFile is the path of the SQLite file; it is created if need be.
	DataFile string
	// Listen is the address of the gRPC services.
	Listen string
	// ControlListen is the loopback address of the fault control interface;
	// empty turns it off.
	ControlListen string
	// AddressFile, if not empty, receives the Addresses as JSON once the server
	// listens.
	AddressFile string
	// Authentication is how callers are recognised.
	Authentication identity.Mode
	// TokenFile holds the static token; Token is used when it is empty.
	TokenFile string
	Token     string
	// KeySetFile is the JWKS file that mode JWT needs.
	KeySetFile string
	// ServiceAccount is the user name that counts as a service.
	ServiceAccount string
	// PoolSize is the number of connections of the imitated database pool.
	PoolSize int
	// CertificateFile and KeyFile turn TLS on.
	CertificateFile string
	KeyFile         string
}

// Addresses is where a running server listens.
type Addresses struct {
	GRPC    string `json:"grpc"`
	Control string `json:"control,omitempty"`
}

// Validate returns every contradiction in the options.
func (o *Options) Validate() error {
	var errs []error
	if o.DataFile == "" {
		errs = append(errs, errors.New("--data is required: the path of the data file"))
	}
	if o.Authentication == identity.Static && o.TokenFile == "" && o.Token == "" {
		errs = append(errs, errors.New("--auth=static needs --token-file"))
	}
	if o.Authentication == identity.JWT && o.KeySetFile == "" {
		errs = append(errs, errors.New("--auth=jwt needs --jwks-file"))
	}
	if (o.CertificateFile == "") != (o.KeyFile == "") {
		errs = append(errs, errors.New("--tls-cert-file and --tls-key-file go together"))
	}
	if o.PoolSize < 3 {
		errs = append(errs, errors.New("--database-pool-size must be at least 3, which is what one update takes"))
	}
	return errors.Join(errs...)
}

// Run serves until the context ends, and then ends in order: first the streams,
// cleanly, then the calls, then the data file.
func Run(ctx context.Context, options Options, logger *slog.Logger) (err error) {
	if err := options.Validate(); err != nil {
		return err
	}
	authenticator, err := newAuthenticator(options)
	if err != nil {
		return err
	}
	transport, err := transportOptions(options)
	if err != nil {
		return err
	}
	database, err := store.Open(ctx, options.DataFile, options.PoolSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()

	faults := fault.New()
	broker := events.NewBroker(faults)
	defer broker.Close()
	messages := events.NewBroker(events.Unfiltered{})
	defer messages.Close()

	guard := &guard{authenticator: authenticator, faults: faults, logger: logger}
	healthServer := health.NewServer()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", options.Listen)
	if err != nil {
		return fmt.Errorf("listening for gRPC: %w", err)
	}
	door := newDoor(listener, func() *grpc.Server {
		server := grpc.NewServer(append(transport,
			grpc.InTapHandle(service.SubscribeEarly(broker)),
			grpc.ChainUnaryInterceptor(guard.recoverUnary, guard.logUnary, service.Transaction(database), faults.UnaryInterceptor, guard.authenticateUnary),
			grpc.ChainStreamInterceptor(guard.recoverStream, guard.logStream, faults.StreamInterceptor, guard.authenticateStream),
		)...)
		service.Register(server, service.Environment{Database: database, Events: broker, Messages: messages, Faults: faults})
		grpc_health_v1.RegisterHealthServer(server, healthServer)
		reflection.Register(server)
		return server
	})
	addresses := Addresses{GRPC: listener.Addr().String()}

	control := &http.Server{
		Handler: faults.Handler(fault.Actions{
			Cut:         door.cut,
			EndStreams:  func() { broker.EndSubscriptions(); messages.EndSubscriptions() },
			GoAway:      door.goAway,
			Kill:        kill,
			SetToken:    authenticator.SetToken,
			EventCounts: broker.Counts,
		}),
		ReadHeaderTimeout: graceful,
	}
	failed := make(chan error, 2)
	var running sync.WaitGroup
	defer running.Wait()
	if options.ControlListen != "" {
		controlListener, err := listenLoopback(ctx, options.ControlListen)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		addresses.Control = controlListener.Addr().String()
		running.Go(func() {
			if err := control.Serve(controlListener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving the control interface: %w", err)
			}
		})
		defer func() { err = errors.Join(err, control.Close()) }()
	}
	running.Go(func() {
		if err := door.serve(); err != nil {
			failed <- fmt.Errorf("serving gRPC: %w", err)
		}
	})
	if err := writeAddresses(options.AddressFile, addresses); err != nil {
		return errors.Join(err, door.close(0))
	}
	logger.Info("serving", "grpc", addresses.GRPC, "control", addresses.Control, "data", options.DataFile,
		"auth", string(options.Authentication), "tls", options.CertificateFile != "")

	select {
	case err = <-failed:
	case <-ctx.Done():
		logger.Info("ending: streams first, then calls")
	}
	healthServer.Shutdown()
	broker.Close()
	messages.Close()
	return errors.Join(err, door.close(graceful))
}

func newAuthenticator(options Options) (*identity.Authenticator, error) {
	token := options.Token
	if options.TokenFile != "" {
		text, err := os.ReadFile(options.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading the token: %w", err)
		}
		token = strings.TrimSpace(string(text))
		if token == "" {
			return nil, fmt.Errorf("the token file %s is empty", options.TokenFile)
		}
	}
	var keys *identity.KeySet
	if options.Authentication == identity.JWT {
		var err error
		if keys, err = identity.LoadKeySet(options.KeySetFile); err != nil {
			return nil, err
		}
	}
	return identity.New(options.Authentication, token, options.ServiceAccount, keys), nil
}

func transportOptions(options Options) ([]grpc.ServerOption, error) {
	if options.CertificateFile == "" {
		return nil, nil
	}
	certificate, err := credentials.NewServerTLSFromFile(options.CertificateFile, options.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the serving certificate: %w", err)
	}
	return []grpc.ServerOption{grpc.Creds(certificate)}, nil
}

// listenLoopback refuses addresses that other machines reach, because the control
// interface lets everybody in.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--control-listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("--control-listen must be a loopback address such as 127.0.0.1:0, not %s", address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for the control interface: %w", err)
	}
	return listener, nil
}

// writeAddresses replaces the file in one step, so that a reader never sees half.
func writeAddresses(path string, addresses Addresses) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(addresses)
	if err != nil {
		return fmt.Errorf("encoding the addresses: %w", err)
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(temporary, append(text, '\n'), 0o644); err != nil { //nolint:gosec // addresses are no secret, and others wait for them
		return fmt.Errorf("writing the addresses: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return nil
}

// kill ends the process as a crash does. It returns only if that is impossible.
func kill() {
	process, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = process.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("killing this process: %v", err))
	}
}
