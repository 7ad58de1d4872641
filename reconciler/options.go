package reconciler

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ambient-code/ambient-kube/certs/serving"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/baseline"
	"github.com/ambient-code/ambient-kube/reconciler/project"
)

// Mode says what the process does.
type Mode string

// The modes.
const (
	// ModeKube projects into the cluster.
	ModeKube Mode = "kube"
	// ModeTest writes nothing and counts what it sees.
	ModeTest Mode = "test"
)

// Options say how the reconciler runs.
type Options struct {
	// Kubeconfig is the path of the kubeconfig file; the cluster that the process
	// runs in, if empty.
	Kubeconfig string
	// LeaseNamespace is the namespace of the Lease and of the baseline record,
	// LeaseName the name of the Lease.
	LeaseNamespace, LeaseName string
	// LeaderElect is false for a process that is sure to be the only one.
	LeaderElect bool
	// LeaseDuration, RenewDeadline and RetryPeriod are those of the election.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// HealthBindAddress is where probes and metrics are served.
	HealthBindAddress string
	// WebhookBindAddress is where the webhooks are served, and WebhookCertificate
	// what they show; without a certificate there are no webhooks.
	WebhookBindAddress string
	WebhookCertificate serving.Options
	// WebhookExemptUsers may change what is projected: this process and the
	// platform's operator.
	WebhookExemptUsers []string
	// Workers is how many objects of each kind are worked on at a time.
	Workers int
	// Mode says what the process does.
	Mode Mode
	// StartPolicy says what an empty phase means.
	StartPolicy baseline.Policy
	// NamespacePolicy says what becomes of the namespace of a deleted project.
	NamespacePolicy project.Policy
	// UnassignedNamespace shows the sessions that belong to no project.
	UnassignedNamespace string
	// Coalesce is how long changes of an AgenticSession are gathered.
	Coalesce time.Duration
	// Grace is how long work under way may take after the end was asked for.
	Grace time.Duration
}

// NewOptions returns the defaults.
func NewOptions() Options {
	return Options{
		LeaseNamespace:     "ambient-system",
		LeaseName:          agenticsession.FieldManager,
		LeaderElect:        true,
		LeaseDuration:      15 * time.Second,
		RenewDeadline:      10 * time.Second,
		RetryPeriod:        time.Second,
		HealthBindAddress:  ":8081",
		WebhookBindAddress: ":9443",
		WebhookCertificate: serving.NewOptions(),
		WebhookExemptUsers: []string{
			"system:serviceaccount:ambient-system:ambient-kube-reconciler",
			"system:serviceaccount:ambient-code:agentic-operator",
		},
		Workers:             4,
		Mode:                ModeKube,
		StartPolicy:         baseline.OnCreate,
		NamespacePolicy:     project.Retain,
		UnassignedNamespace: "ambient-unassigned",
		Coalesce:            250 * time.Millisecond,
		Grace:               5 * time.Second,
	}
}

// Validate returns what is wrong with the options, all at once.
func (o Options) Validate() error {
	var errs []error
	required := func(option, value string) {
		if value == "" {
			errs = append(errs, fmt.Errorf("--%s must not be empty", option))
		}
	}
	required("lease-namespace", o.LeaseNamespace)
	required("lease-name", o.LeaseName)
	required("unassigned-namespace", o.UnassignedNamespace)
	if (o.WebhookCertificate.CertificateFile == "") != (o.WebhookCertificate.KeyFile == "") {
		errs = append(errs, errors.New("--webhook-tls-cert-file and --webhook-tls-private-key-file go together"))
	}
	errs = append(errs, o.WebhookCertificate.Validate())
	if o.Workers < 1 {
		errs = append(errs, fmt.Errorf("--workers is %d, must be at least 1", o.Workers))
	}
	if !(o.LeaseDuration > o.RenewDeadline && o.RenewDeadline > o.RetryPeriod*6/5 && o.RetryPeriod > 0) {
		errs = append(errs, fmt.Errorf("--lease-duration (%s) must be longer than --lease-renew-deadline (%s), and that longer than 1.2 times --lease-retry-period (%s)",
			o.LeaseDuration, o.RenewDeadline, o.RetryPeriod))
	}
	return errors.Join(errs...)
}

// webhooks tells whether webhooks are served.
func (o Options) webhooks() bool { return o.Mode == ModeKube && o.WebhookCertificate.Chosen() }

// restConfig returns how the API servers are reached. The number of workers, not
// a rate, limits the requests.
func (o Options) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("loading the way to the cluster: %w", err)
	}
	config.QPS = -1
	config.UserAgent = agenticsession.FieldManager
	return config, nil
}
