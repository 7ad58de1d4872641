package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func newTestAuthority(t *testing.T, name string, options ...Option) *Authority {
	t.Helper()
	authority, err := NewAuthority(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func issue(t *testing.T, authority *Authority, leaf Leaf) *Pair {
	t.Helper()
	pair, err := authority.Issue(leaf)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func pool(t *testing.T, authority *Authority) *x509.CertPool {
	t.Helper()
	result := x509.NewCertPool()
	if !result.AppendCertsFromPEM(authority.CertificatePEM()) {
		t.Fatal("the authority's PEM holds no certificate")
	}
	return result
}

// A server with one leaf and a client with another trust each other through
// the authority, and nobody else.
func TestMutualTLSThroughOneAuthority(t *testing.T) {
	authority, stranger := newTestAuthority(t, "ours"), newTestAuthority(t, "ours")
	serving := issue(t, authority, Leaf{CommonName: "server", Usage: Server, DNSNames: []string{"a.b.svc"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	certificate, err := tls.X509KeyPair(serving.CertificatePEM, serving.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		if _, err := w.Write([]byte(subject.CommonName + "/" + strings.Join(subject.Organization, ","))); err != nil {
			t.Error(err)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool(t, authority), ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()

	tests := map[string]struct {
		roots, signer *Authority
		usage         Usage
		serverName    string
		wantError     bool
	}{
		"trusted on both sides, by address":      {roots: authority, signer: authority, usage: Client},
		"trusted on both sides, by DNS name":     {roots: authority, signer: authority, usage: Client, serverName: "a.b.svc"},
		"client wants another name":              {roots: authority, signer: authority, usage: Client, serverName: "c.b.svc", wantError: true},
		"client trusts a namesake only":          {roots: stranger, signer: authority, usage: Client, wantError: true},
		"client signed by a namesake":            {roots: authority, signer: stranger, usage: Client, wantError: true},
		"client shows a certificate for servers": {roots: authority, signer: authority, usage: Server, wantError: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			leaf := issue(t, test.signer, Leaf{CommonName: "alice", Organizations: []string{"admins"}, Usage: test.usage, DNSNames: []string{"alice"}})
			own, err := tls.X509KeyPair(leaf.CertificatePEM, leaf.KeyPEM)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, test.roots), Certificates: []tls.Certificate{own}, ServerName: test.serverName}}
			defer transport.CloseIdleConnections()
			response, err := (&http.Client{Transport: transport}).Get(server.URL)
			if test.wantError {
				if err == nil {
					response.Body.Close()
					t.Fatal("the connection was accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var body bytes.Buffer
			if _, err := body.ReadFrom(response.Body); err != nil {
				t.Fatal(err)
			}
			if got, want := body.String(), "alice/admins"; got != want {
				t.Errorf("the server saw %q, want %q", got, want)
			}
		})
	}
}

func TestAuthoritySurvivesPEM(t *testing.T) {
	first := newTestAuthority(t, "ours")
	key, err := first.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	second, err := ParseAuthority(first.CertificatePEM(), key)
	if err != nil {
		t.Fatal(err)
	}
	pair := issue(t, second, Leaf{CommonName: "x", Usage: Client})
	certificate, err := parseCertificate(pair.CertificatePEM)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool(t, first), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the first authority does not vouch for a leaf of its copy: %v", err)
	}
}

func TestParseAuthorityRefuses(t *testing.T) {
	authority, other := newTestAuthority(t, "ours"), newTestAuthority(t, "other")
	otherKey, err := other.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, authority, Leaf{CommonName: "leaf", Usage: Client})
	tests := map[string]struct {
		certificate, key []byte
		want             string
	}{
		"another's key":   {authority.CertificatePEM(), otherKey, "not that of"},
		"a leaf":          {leaf.CertificatePEM, leaf.KeyPEM, "no certificate authority"},
		"no PEM":          {[]byte("x"), otherKey, "no PEM block"},
		"swapped":         {otherKey, authority.CertificatePEM(), "no PEM block"},
		"an empty secret": {nil, nil, "no PEM block"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseAuthority(test.certificate, test.key); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestIssueRefuses(t *testing.T) {
	authority := newTestAuthority(t, "ours")
	for name, leaf := range map[string]Leaf{
		"a leaf without use":      {CommonName: "x"},
		"a leaf without name":     {Usage: Client},
		"a server without a name": {CommonName: "x", Usage: Server},
		"a negative lifetime":     {CommonName: "x", Usage: Client, Lifetime: -time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := authority.Issue(leaf); err == nil {
				t.Error("it was issued")
			}
		})
	}
}

func TestLifetimesFollowTheClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	authority := newTestAuthority(t, "ours", WithClock(clock), WithLifetime(10*time.Hour))

	if got, want := issue(t, authority, Leaf{CommonName: "x", Usage: Client, Lifetime: time.Hour}).NotAfter, now.Add(time.Hour); !got.Equal(want) {
		t.Errorf("a leaf of one hour ends at %v, want %v", got, want)
	}
	if got, want := issue(t, authority, Leaf{CommonName: "x", Usage: Client}).NotAfter, authority.NotAfter(); !got.Equal(want) {
		t.Errorf("a leaf that would outlive its authority ends at %v, want %v", got, want)
	}
	now = now.Add(11 * time.Hour)
	if _, err := authority.Issue(Leaf{CommonName: "x", Usage: Client}); err == nil {
		t.Error("an expired authority issued a leaf")
	}
}

func TestSerialNumbersAreNeverTheSame(t *testing.T) {
	authority := newTestAuthority(t, "ours")
	seen := map[string]bool{}
	for range 50 {
		certificate, err := parseCertificate(issue(t, authority, Leaf{CommonName: "x", Usage: Client}).CertificatePEM)
		if err != nil {
			t.Fatal(err)
		}
		if serial := certificate.SerialNumber.String(); seen[serial] {
			t.Fatalf("serial number %s was given twice", serial)
		} else {
			seen[serial] = true
		}
	}
}
