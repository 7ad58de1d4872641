package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ambient-code/ambient-kube/certs"
)

const (
	// A development cluster is kept for as long as its folder; its leaves are
	// made anew at each start.
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 365 * 24 * time.Hour

	frontProxyName    = "front-proxy-client"
	adminName         = "ambient-kube-admin"
	administratorRole = "system:masters"
)

// pki is the three authorities and where they are kept. They are three because
// whoever the front proxy's authority signs may claim to be any user.
type pki struct {
	directory                      string
	cluster, frontProxy, extension *certs.Authority
}

func openPKI(directory string) (*pki, error) {
	p := &pki{directory: directory}
	for name, authority := range map[string]**certs.Authority{
		"cluster": &p.cluster, "front-proxy": &p.frontProxy, "extension": &p.extension,
	} {
		var err error
		if *authority, err = p.openAuthority(name); err != nil {
			return nil, err
		}
	}
	if err := p.ensureServiceAccountKey(); err != nil {
		return nil, err
	}
	return p, p.issueAPIServerLeaves()
}

func (p *pki) certificateFile(name string) string { return filepath.Join(p.directory, name+".crt") }
func (p *pki) keyFile(name string) string         { return filepath.Join(p.directory, name+".key") }
func (p *pki) publicKeyFile(name string) string   { return filepath.Join(p.directory, name+".pub") }

// openAuthority reads an authority, or makes it when there is none that will
// live as long as a leaf.
func (p *pki) openAuthority(name string) (*certs.Authority, error) {
	name += "-ca"
	certificate, err := os.ReadFile(p.certificateFile(name))
	if err == nil {
		key, err := os.ReadFile(p.keyFile(name))
		if err != nil {
			return nil, fmt.Errorf("reading an authority's key: %w", err)
		}
		authority, err := certs.ParseAuthority(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", p.certificateFile(name), err)
		}
		if time.Until(authority.NotAfter()) > leafLifetime {
			return authority, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading an authority: %w", err)
	}
	authority, err := certs.NewAuthority("ambient-kube-development-"+name, certs.WithLifetime(authorityLifetime))
	if err != nil {
		return nil, err
	}
	key, err := authority.KeyPEM()
	if err != nil {
		return nil, err
	}
	// The key first: a certificate without its key would be refused for ever.
	if err := os.WriteFile(p.keyFile(name), key, 0o600); err != nil {
		return nil, fmt.Errorf("keeping an authority's key: %w", err)
	}
	if err := os.WriteFile(p.certificateFile(name), authority.CertificatePEM(), 0o600); err != nil {
		return nil, fmt.Errorf("keeping an authority: %w", err)
	}
	return authority, nil
}

// ensureServiceAccountKey keeps the key that signs the tokens of
// ServiceAccounts: with another one, all tokens would be void.
func (p *pki) ensureServiceAccountKey() error {
	const name = "service-account"
	if _, err := os.Stat(p.publicKeyFile(name)); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("looking for the key of ServiceAccounts: %w", err)
	}
	// The authority is made for its key alone.
	holder, err := certs.NewAuthority(name)
	if err != nil {
		return err
	}
	private, err := holder.KeyPEM()
	if err != nil {
		return err
	}
	public, err := certs.PublicKeyPEM(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.keyFile(name), private, 0o600); err != nil {
		return fmt.Errorf("keeping the key of ServiceAccounts: %w", err)
	}
	if err := os.WriteFile(p.publicKeyFile(name), public, 0o600); err != nil {
		return fmt.Errorf("keeping the public key of ServiceAccounts: %w", err)
	}
	return nil
}

func (p *pki) issueAPIServerLeaves() error {
	serving := certs.Leaf{
		CommonName: "kube-apiserver", Usage: certs.Server, Lifetime: leafLifetime,
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
	}
	if err := p.issue("kube-apiserver", p.cluster, serving); err != nil {
		return err
	}
	return p.issue("front-proxy-client", p.frontProxy, certs.Leaf{CommonName: frontProxyName, Usage: certs.Client, Lifetime: leafLifetime})
}

func (p *pki) issue(name string, authority *certs.Authority, leaf certs.Leaf) error {
	pair, err := authority.Issue(leaf)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.keyFile(name), pair.KeyPEM, 0o600); err != nil {
		return fmt.Errorf("keeping the key of %s: %w", name, err)
	}
	if err := os.WriteFile(p.certificateFile(name), pair.CertificatePEM, 0o600); err != nil {
		return fmt.Errorf("keeping the certificate of %s: %w", name, err)
	}
	return nil
}
