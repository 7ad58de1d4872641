package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"time"
)

// DefaultLeafLifetime is how long a leaf lives unless told.
const DefaultLeafLifetime = 7 * 24 * time.Hour

// Usage tells what a leaf is for. Usages can be added with |.
type Usage int

const (
	// Server lets the leaf identify a server to its clients.
	Server Usage = 1 << iota
	// Client lets the leaf identify a client to a server.
	Client
)

// Leaf describes a certificate that an Authority is to sign.
type Leaf struct {
	// CommonName is the subject's name; to Kubernetes, a client's user name.
	CommonName string
	// Organizations are, to Kubernetes, a client's groups.
	Organizations []string
	// DNSNames and IPAddresses are what a server's clients may call it.
	DNSNames    []string
	IPAddresses []net.IP
	// Usage says what the certificate is for; at least one.
	Usage Usage
	// Lifetime counts from now; 0 means DefaultLeafLifetime. A leaf never
	// outlives its authority.
	Lifetime time.Duration
}

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	CertificatePEM []byte
	KeyPEM         []byte
	// NotAfter is the moment when the certificate expires.
	NotAfter time.Time
	// RenewAt is when a successor should be made, at two thirds of its life.
	RenewAt time.Time
}

// Issue signs a leaf with a fresh key.
func (a *Authority) Issue(leaf Leaf) (*Pair, error) {
	usages, err := leaf.extendedUsages()
	if err != nil {
		return nil, fmt.Errorf("issuing certificate %q: %w", leaf.CommonName, err)
	}
	now := a.now()
	if !now.Before(a.certificate.NotAfter) {
		return nil, fmt.Errorf("issuing certificate %q: authority %q expired at %s",
			leaf.CommonName, a.certificate.Subject.CommonName, a.certificate.NotAfter.Format(time.RFC3339))
	}
	lifetime := leaf.Lifetime
	if lifetime == 0 {
		lifetime = DefaultLeafLifetime
	}
	notAfter := now.Add(lifetime)
	if notAfter.After(a.certificate.NotAfter) {
		notAfter = a.certificate.NotAfter
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of certificate %q: %w", leaf.CommonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
		DNSNames:              leaf.DNSNames,
		IPAddresses:           leaf.IPAddresses,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate %q: %w", leaf.CommonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of certificate %q: %w", leaf.CommonName, err)
	}
	return &Pair{CertificatePEM: encodeCertificate(der), KeyPEM: keyPEM, NotAfter: notAfter, RenewAt: now.Add(notAfter.Sub(now) / 3 * 2)}, nil
}

func (l Leaf) extendedUsages() ([]x509.ExtKeyUsage, error) {
	var usages []x509.ExtKeyUsage
	if l.Usage&Server != 0 {
		if len(l.DNSNames) == 0 && len(l.IPAddresses) == 0 {
			return nil, errors.New("a server's certificate needs a DNS name or an IP address")
		}
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if l.Usage&Client != 0 {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	if l.Lifetime < 0 {
		return nil, fmt.Errorf("lifetime %v is negative", l.Lifetime)
	}
	if l.CommonName == "" {
		return nil, errors.New("the common name is empty")
	}
	if len(usages) == 0 {
		return nil, errors.New("it is for neither a server nor a client")
	}
	return usages, nil
}
