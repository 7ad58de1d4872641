package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc/credentials"
	"k8s.io/klog/v2"
)

// reloadingTLS verifies the upstream against a CA file that may change while we
// run: it is read again for each connection.
type reloadingTLS struct {
	options TLSOptions

	mu      sync.Mutex
	current credentials.TransportCredentials // from the last CA file that could be used
}

func newReloadingTLS(options TLSOptions) (*reloadingTLS, error) {
	r := &reloadingTLS{options: options}
	current, err := r.load()
	if err != nil {
		return nil, err
	}
	r.current = current
	return r, nil
}

func (r *reloadingTLS) load() (credentials.TransportCredentials, error) {
	config := &tls.Config{ServerName: r.options.ServerName, MinVersion: tls.VersionTLS12}
	if r.options.CAFile != "" {
		pool, err := readCAs(x509.NewCertPool(), r.options.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	return credentials.NewTLS(config), nil
}

// readCAs adds the certificates in the file to the pool.
func readCAs(pool *x509.CertPool, file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the upstream's CA file: %w", err)
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("the upstream's CA file %s holds no PEM certificate", file)
	}
	return pool, nil
}

// ClientHandshake implements credentials.TransportCredentials.
func (r *reloadingTLS) ClientHandshake(ctx context.Context, authority string, connection net.Conn) (net.Conn, credentials.AuthInfo, error) {
	r.mu.Lock()
	if fresh, err := r.load(); err != nil {
		klog.FromContext(ctx).Info("Going on with the previous CA certificates for the upstream", "reason", err)
	} else {
		r.current = fresh
	}
	current := r.current
	r.mu.Unlock()
	return current.ClientHandshake(ctx, authority, connection)
}

// ServerHandshake implements credentials.TransportCredentials.
func (r *reloadingTLS) ServerHandshake(connection net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return r.locked().ServerHandshake(connection)
}

// Info implements credentials.TransportCredentials.
func (r *reloadingTLS) Info() credentials.ProtocolInfo { return r.locked().Info() }

// Clone implements credentials.TransportCredentials.
func (r *reloadingTLS) Clone() credentials.TransportCredentials {
	return &reloadingTLS{options: r.options, current: r.locked().Clone()}
}

// OverrideServerName implements credentials.TransportCredentials.
func (r *reloadingTLS) OverrideServerName(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.options.ServerName = name
	current, err := r.load()
	if err != nil {
		return err
	}
	r.current = current
	return nil
}

func (r *reloadingTLS) locked() credentials.TransportCredentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}
