package webhook

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"sync"

	"k8s.io/klog/v2"
)

// certificate is a serving certificate in two files, which may be replaced at any
// time: they are read again for every new connection. While they can't be read or
// don't belong together, as in the midst of a replacement, the last good pair
// serves.
type certificate struct {
	certificateFile, keyFile string

	mutex sync.Mutex
	// held was made of certificatePEM and keyPEM.
	held                   *tls.Certificate
	certificatePEM, keyPEM []byte
}

// newCertificate fails unless the files hold a certificate and its key.
func newCertificate(certificateFile, keyFile string) (*certificate, error) {
	c := &certificate{certificateFile: certificateFile, keyFile: keyFile}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is a tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if err := c.load(); err != nil {
		klog.Background().Info("The serving certificate can't be read again, the last one goes on serving", "reason", err.Error())
	}
	return c.held, nil
}

func (c *certificate) load() error {
	certificatePEM, err := os.ReadFile(c.certificateFile)
	if err != nil {
		return fmt.Errorf("reading the serving certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(c.keyFile)
	if err != nil {
		return fmt.Errorf("reading the key of the serving certificate: %w", err)
	}
	if c.held != nil && bytes.Equal(certificatePEM, c.certificatePEM) && bytes.Equal(keyPEM, c.keyPEM) {
		return nil
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return fmt.Errorf("reading the serving certificate %s with %s: %w", c.certificateFile, c.keyFile, err)
	}
	c.held, c.certificatePEM, c.keyPEM = &pair, certificatePEM, keyPEM
	return nil
}
