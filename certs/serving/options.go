package serving

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"github.com/ambient-code/ambient-kube/certs"
	"github.com/ambient-code/ambient-kube/certs/publish"
	"github.com/ambient-code/ambient-kube/certs/rotation"
	"github.com/ambient-code/ambient-kube/certs/secret"
)

// Options say where the certificate comes from: from files, or signed by the
// authority in a Secret.
type Options struct {
	// CertificateFile and KeyFile hold the certificate, PEM. Their flags belong to
	// the programs, whose names for them differ.
	CertificateFile, KeyFile string
	// Secret is the name of the Secret of our own authority.
	Secret string
	// Names are DNS names and IP addresses that the certificate bears beside those
	// of the Service.
	Names []string
	// AuthorityLifetime is how long an authority is valid, LeafLifetime how long a
	// certificate that it signs.
	AuthorityLifetime, LeafLifetime time.Duration
	// Settle is how long a new authority is trusted before it signs.
	Settle time.Duration
	// PublishInterval is the time between two times that the caBundles are written
	// although nothing has changed.
	PublishInterval time.Duration
}

// NewOptions returns the defaults; neither source is chosen.
func NewOptions() Options {
	return Options{
		AuthorityLifetime: certs.DefaultAuthorityLifetime,
		LeafLifetime:      certs.DefaultLeafLifetime,
		Settle:            time.Minute,
		PublishInterval:   2 * time.Minute,
	}
}

// AddFlags adds all options but those of the files.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Secret, "certificate-secret", o.Secret, "Name of the Secret, in the namespace of the Lease, of a certificate authority of our own: it is made, rotated and published, and signs the serving certificate, in place of files.")
	flags.StringSliceVar(&o.Names, "certificate-names", o.Names, "DNS names and IP addresses that the serving certificate bears beside those of the Service.")
	flags.DurationVar(&o.AuthorityLifetime, "certificate-authority-lifetime", o.AuthorityLifetime, "How long the certificate authority is valid; it is renewed when two thirds of that are over.")
	flags.DurationVar(&o.LeafLifetime, "certificate-lifetime", o.LeafLifetime, "How long the serving certificate is valid; it is renewed when two thirds of that are over.")
	flags.DurationVar(&o.Settle, "certificate-settle-time", o.Settle, "How long a new certificate authority is trusted before it signs.")
	flags.DurationVar(&o.PublishInterval, "certificate-publish-interval", o.PublishInterval, "Time after which the caBundles are written again although nothing has changed.")
}

// Chosen tells whether there is to be a certificate at all.
func (o Options) Chosen() bool { return o.Secret != "" || o.CertificateFile != "" }

// Validate returns what is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.Secret != "" && (o.CertificateFile != "" || o.KeyFile != "") {
		errs = append(errs, errors.New("--certificate-secret and files of a certificate exclude each other"))
	}
	for option, value := range map[string]time.Duration{
		"certificate-lifetime": o.LeafLifetime, "certificate-settle-time": o.Settle, "certificate-publish-interval": o.PublishInterval,
	} {
		if value <= 0 {
			errs = append(errs, fmt.Errorf("--%s is %s, must be positive", option, value))
		}
	}
	// What is left of an authority's life when it is renewed.
	if rest := o.AuthorityLifetime / 3; rest < o.LeafLifetime+o.Settle {
		errs = append(errs, fmt.Errorf("--certificate-authority-lifetime is %s, must be at least three times --certificate-lifetime and --certificate-settle-time together (%s)",
			o.AuthorityLifetime, o.LeafLifetime+o.Settle))
	}
	return errors.Join(errs...)
}

// Server says for what a certificate is, and who is told of its authority.
type Server struct {
	// Namespace holds the Secret, and the Service of the name Service.
	Namespace, Service string
	// Targets are told of the authority.
	Targets []publish.Target
	// Client and Dynamic reach kube-apiserver.
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
}

// New returns the source that was chosen.
func (o Options) New(server Server) (Source, error) {
	if o.Secret == "" {
		return newFiles(o.CertificateFile, o.KeyFile)
	}
	leaf := certs.Leaf{
		CommonName: server.Service + "." + server.Namespace + ".svc",
		Usage:      certs.Server,
		Lifetime:   o.LeafLifetime,
	}
	leaf.DNSNames = []string{leaf.CommonName, leaf.CommonName + ".cluster.local"}
	for _, name := range o.Names {
		if address := net.ParseIP(name); address != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, address)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	wall := clock.RealClock{}
	store := &secret.Store{
		Client: server.Client, Dynamic: server.Dynamic, Namespace: server.Namespace, Name: o.Secret,
		Policy: rotation.Policy{Name: "ambient-kube", AuthorityLifetime: o.AuthorityLifetime, LeafLifetime: o.LeafLifetime, Settle: o.Settle, Clock: wall},
	}
	publisher := &publish.Publisher{Client: server.Dynamic, Targets: server.Targets}
	return newManaged(store, publisher, managedOptions{leaf: leaf, settle: o.Settle, interval: o.PublishInterval, clock: wall}), nil
}
