package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// selfSigned returns a certificate for a name, and its PEM form.
func selfSigned(t *testing.T, name string) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTheCAFileAndTheServerNameDecideWhomWeTrust(t *testing.T) {
	certificate, authority := selfSigned(t, "upstream.test")
	_, another := selfSigned(t, "upstream.test")
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", certificate)
	file := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, file, another)
	client := dial(t, Options{Address: address, Token: "secret", TLS: TLSOptions{Enabled: true, CAFile: file, ServerName: "upstream.test"}})
	if err := get(t.Context(), client); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("with another CA: %v", err)
	}
	writeFile(t, file, authority)
	eventually(t, "calls after the CA file was replaced", func() error { return get(t.Context(), client) })

	misnamed := dial(t, Options{Address: address, TLS: TLSOptions{Enabled: true, CAFile: file, ServerName: "elsewhere.test"}})
	if err := get(t.Context(), misnamed); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "elsewhere.test") {
		t.Errorf("with another server name: %v", err)
	}
	plain := dial(t, Options{Address: address, Token: "secret"})
	if err := get(t.Context(), plain); status.Code(err) != codes.Unavailable {
		t.Errorf("plain text to a TLS port: %v", err)
	}
}
