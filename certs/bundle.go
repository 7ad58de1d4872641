package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// Bundle holds the certificates of the authorities that are trusted, the most
// important first. It is never changed, only replaced.
type Bundle []*x509.Certificate

// ParseBundle reads a bundle from PEM that holds at least one certificate. As
// readers of a caBundle do, it skips blocks of other types.
func ParseBundle(data []byte) (Bundle, error) {
	var bundle Bundle
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != certificateBlock {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing certificate %d of a bundle: %w", len(bundle)+1, err)
		}
		bundle = bundle.With(certificate)
	}
	if len(bundle) == 0 {
		return nil, errors.New("a bundle without certificates")
	}
	return bundle, nil
}

// With returns the bundle with further certificates at its end, each once.
func (b Bundle) With(certificates ...*x509.Certificate) Bundle {
	result := slices.Clone(b)
	for _, certificate := range certificates {
		if !result.Covers(Bundle{certificate}) {
			result = append(result, certificate)
		}
	}
	return result
}

// Covers tells whether all that other trusts is trusted by b as well.
func (b Bundle) Covers(other Bundle) bool {
	for _, wanted := range other {
		if !slices.ContainsFunc(b, wanted.Equal) {
			return false
		}
	}
	return true
}

// PEM returns the bundle as a caBundle holds it.
func (b Bundle) PEM() []byte {
	var text bytes.Buffer
	for _, certificate := range b {
		text.Write(encodeCertificate(certificate.Raw))
	}
	return text.Bytes()
}

// Fingerprint identifies a certificate, as hexadecimal digits of its SHA-256.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}
