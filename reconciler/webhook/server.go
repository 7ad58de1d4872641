package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
)

// Paths of the webhooks, as their configurations name them.
const (
	AgenticSessionsPath = "/agenticsessions"
	NamespacesPath      = "/namespaces"
)

const (
	// Limits of one request, and of what is under way at the end.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	closeTimeout  = time.Second
)

// Options are what a Server is made of.
type Options struct {
	// Address is where it listens.
	Address string
	// CertificateFile and KeyFile hold the serving certificate, PEM. They may be
	// replaced while the server runs.
	CertificateFile, KeyFile string
	// Exempt are the users who may change what the reconciler owns of an
	// AgenticSession: the reconciler itself and the platform's operator.
	Exempt []string
	// Projects tells whether a project exists.
	Projects versioned.Interface
	// Registry gets the metrics.
	Registry prometheus.Registerer
}

// Server answers admission reviews.
type Server struct {
	listener net.Listener
	server   *http.Server
}

// Listen opens the port: from then on connections wait to be served.
func Listen(options Options) (*Server, error) {
	pair, err := newCertificate(options.CertificateFile, options.KeyFile)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", options.Address)
	if err != nil {
		return nil, fmt.Errorf("opening --webhook-bind-address: %w", err)
	}
	return &Server{
		listener: listener,
		server: &http.Server{
			Handler:           newHandler(options),
			TLSConfig:         &tls.Config{GetCertificate: pair.get, MinVersion: tls.VersionTLS12},
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			ErrorLog:          log.New(complaints{}, "", 0),
		},
	}, nil
}

// Serve answers until ctx ends; what is under way then gets a moment to finish.
func (s *Server) Serve(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() { stopped <- s.server.ServeTLS(s.listener, "", "") }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serving webhooks: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := s.server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending the webhooks: %w", err)
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving webhooks: %w", err)
	}
	return nil
}

// complaints are about clients that break off or trust another authority.
type complaints struct{}

// Write implements io.Writer.
func (complaints) Write(line []byte) (int, error) {
	klog.Background().Info("A connection to the webhooks failed", "reason", strings.TrimSpace(string(line)))
	return len(line), nil
}
