package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// clockSkew is how long before its making a certificate is already valid, so
// that a peer whose clock is late accepts it: longer than the hour by which the
// clock of a server that leads may be ahead of the cluster's.
const clockSkew = 2 * time.Hour

// DefaultAuthorityLifetime is how long an authority lives unless told.
const DefaultAuthorityLifetime = 365 * 24 * time.Hour

// Authority is a certificate authority: a self-signed certificate and its key.
// It signs leaves only, never another authority. Its methods may be called at
// the same time.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	now         func() time.Time
}

// Option changes how an authority is made or read.
type Option func(*authorityOptions)

type authorityOptions struct {
	lifetime time.Duration
	now      func() time.Time
}

// WithLifetime sets how long a new authority is valid, counted from now.
func WithLifetime(lifetime time.Duration) Option {
	return func(o *authorityOptions) { o.lifetime = lifetime }
}

// WithClock replaces the wall clock, for the authority and all that it signs.
func WithClock(now func() time.Time) Option {
	return func(o *authorityOptions) { o.now = now }
}

func applyOptions(options []Option) authorityOptions {
	result := authorityOptions{lifetime: DefaultAuthorityLifetime, now: time.Now}
	for _, option := range options {
		option(&result)
	}
	return result
}

// NewAuthority makes an authority with a fresh key.
func NewAuthority(commonName string, options ...Option) (*Authority, error) {
	if commonName == "" {
		return nil, errors.New("making a certificate authority: the common name is empty")
	}
	settings := applyOptions(options)
	if settings.lifetime <= 0 {
		return nil, fmt.Errorf("making certificate authority %q: lifetime %v is not positive", commonName, settings.lifetime)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of certificate authority %q: %w", commonName, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	identifier, err := keyIdentifier(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("identifying the key of certificate authority %q: %w", commonName, err)
	}
	now := settings.now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(settings.lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		// Two authorities of the same name, as in a rotation, are told apart
		// by their keys alone.
		SubjectKeyId: identifier,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("signing certificate authority %q: %w", commonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading back certificate authority %q: %w", commonName, err)
	}
	return &Authority{certificate: certificate, key: key, now: settings.now}, nil
}

// ParseAuthority reads an authority from the PEM that CertificatePEM and
// KeyPEM gave. It refuses a certificate that is no authority and a key that is
// not the certificate's; it does not refuse an expired one: see NotAfter.
func ParseAuthority(certificatePEM, keyPEM []byte, options ...Option) (*Authority, error) {
	certificate, err := parseCertificate(certificatePEM)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate authority: %w", err)
	}
	if !certificate.IsCA {
		return nil, fmt.Errorf("certificate %q is no certificate authority", certificate.Subject.CommonName)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the key of certificate authority %q: %w", certificate.Subject.CommonName, err)
	}
	if !key.PublicKey.Equal(certificate.PublicKey) {
		return nil, fmt.Errorf("the key is not that of certificate authority %q", certificate.Subject.CommonName)
	}
	return &Authority{certificate: certificate, key: key, now: applyOptions(options).now}, nil
}

// CertificatePEM returns the authority's certificate, as a caBundle holds it.
func (a *Authority) CertificatePEM() []byte { return encodeCertificate(a.certificate.Raw) }

// KeyPEM returns the authority's private key.
func (a *Authority) KeyPEM() ([]byte, error) { return encodeKey(a.key) }

// Certificate returns the authority's certificate, which is not to be changed.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// NotAfter is the moment when the authority expires.
func (a *Authority) NotAfter() time.Time { return a.certificate.NotAfter }

// RenewAt is when a successor should be made: two thirds of the way to NotAfter.
func (a *Authority) RenewAt() time.Time { return renewAt(a.certificate) }

// renewAt is when two thirds of a certificate's life are over, counted from when
// it was made.
func renewAt(certificate *x509.Certificate) time.Time {
	made := certificate.NotBefore.Add(clockSkew)
	return made.Add(certificate.NotAfter.Sub(made) / 3 * 2)
}

func newSerial() (*big.Int, error) {
	// RFC 5280 allows 20 octets and wants a positive number.
	limit := new(big.Int).Lsh(big.NewInt(1), 159)
	serial, err := rand.Int(rand.Reader, limit)
	if err != nil {
		return nil, fmt.Errorf("drawing a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func keyIdentifier(key *ecdsa.PublicKey) ([]byte, error) {
	raw, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(raw)
	return sum[:20], nil
}
