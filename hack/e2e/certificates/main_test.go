// Package certificates tests how our programs make, rotate and publish the
// certificates that kube-apiserver checks, while requests and watches go through
// it; and that certificates in files are followed. Its tests run one after the
// other.
package certificates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/hack/e2e/harness"
	"github.com/ambient-code/ambient-kube/hack/stack"
)

var stand *harness.Stand

func TestMain(m *testing.M) {
	// A certificate is renewed every 14 seconds, and 6 before it expires.
	lifetimes := []string{"--certificate-authority-lifetime=1h", "--certificate-lifetime=20s", "--certificate-settle-time=1s"}
	os.Exit(harness.Main(m, harness.Options{
		Stack: stack.Options{
			Without:   []string{stack.OperatorName},
			Arguments: map[string][]string{stack.APIServerName: lifetimes, stack.ReconcilerName: lifetimes},
		},
		Allowed: harness.Outages(),
	}, func(s *harness.Stand) { stand = s }))
}

// authority returns the certificate of the authority that signs, and all that are
// trusted.
func authority(t *testing.T) (*x509.Certificate, certs.Bundle) {
	t.Helper()
	held, err := stand.Kubernetes.CoreV1().Secrets(stack.Namespace).Get(t.Context(), stack.AuthoritySecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	signing, err := certs.ParseBundle(held.Data["tls.crt"])
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := certs.ParseBundle(held.Data["ca.crt"])
	if err != nil {
		t.Fatal(err)
	}
	return signing[0], trusted
}

// programs are the addresses of our servers, with the names that they are called by.
func programs(s *harness.Stand) map[string]string {
	return map[string]string{s.Stack.ExtensionAddress(): stack.ServerName, s.Stack.WebhookAddress(): "127.0.0.1"}
}

// shown returns what a server shows to a new connection.
func shown(address string) (*x509.Certificate, error) {
	// Whether it is to be trusted is what the tests ask next.
	connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	leaf := connection.ConnectionState().PeerCertificates[0]
	if err := connection.Close(); err != nil {
		return nil, fmt.Errorf("closing a connection to %s: %w", address, err)
	}
	return leaf, nil
}

// trusts verifies what a server shows as kube-apiserver would that trusts one
// authority.
func trusts(signing *x509.Certificate, address, name string) (*x509.Certificate, error) {
	leaf, err := shown(address)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(signing)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
		return nil, fmt.Errorf("verifying what %s shows: %w", address, err)
	}
	return leaf, nil
}

// awaitSigned waits until both programs show certificates of the authority that
// signs, if it is another one than before, and returns it and what they show.
func awaitSigned(t *testing.T, before *x509.Certificate) (*x509.Certificate, []*x509.Certificate) {
	t.Helper()
	var signing *x509.Certificate
	var leaves []*x509.Certificate
	harness.Eventually(t, "both programs show certificates of another authority", func() error {
		if signing, _ = authority(t); signing.Equal(before) {
			return errors.New("the authority is the same")
		}
		leaves = nil
		for address, name := range programs(stand) {
			leaf, err := trusts(signing, address, name)
			if err != nil {
				return err
			}
			leaves = append(leaves, leaf)
		}
		return nil
	})
	return signing, leaves
}
