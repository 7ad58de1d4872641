package apiserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericoptions "k8s.io/apiserver/pkg/server/options"

	"github.com/ambient-code/ambient-kube/apiserver/leadership"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/certs/serving"
)

// Options are the command line's options of the server.
type Options struct {
	SecureServing  *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Audit          *genericoptions.AuditOptions
	Features       *genericoptions.FeatureOptions
	CoreAPI        *genericoptions.CoreAPIOptions
	Admission      *genericoptions.AdmissionOptions
	Traces         *genericoptions.TracingOptions

	// Certificate says what the server shows; its files are those of SecureServing.
	Certificate serving.Options

	// Upstream says how to reach the system of record.
	Upstream upstream.Options
	// UnassignedNamespace is where sessions live that have no usable project.
	UnassignedNamespace string
	// LeaseNamespace and LeaseName name the Lease that the serving replica holds, and
	// that bears the epoch of its resource versions.
	LeaseNamespace, LeaseName string
	// LeaseDuration, RenewDeadline and RetryPeriod are the election's times: see
	// leadership.Options.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// PodName and PodNamespace name the pod that this process runs in; without a name
	// no pod is labelled.
	PodName, PodNamespace string
	// HandOverTimeout is how long a process that was told to end goes on serving
	// discovery while no other pod serves.
	HandOverTimeout time.Duration
	// MaxStaleness is the age of the upstream's last answer above which reads that
	// claim to be current are refused.
	MaxStaleness time.Duration
	// VerifyReads asks the upstream before every read that claims to be current.
	VerifyReads bool
	// ShutdownDelay is how long the server goes on serving after it was told to
	// end, so that no new request is sent to it any more.
	ShutdownDelay time.Duration
}

// NewOptions returns the options with their defaults.
func NewOptions() *Options {
	secure := genericoptions.NewSecureServingOptions()
	// The aggregator multiplexes all clients on one connection.
	secure.HTTP2MaxStreamsPerConnection = 1000
	secure.ServerCert.CertDirectory = ""
	return &Options{
		SecureServing:       secure.WithLoopback(),
		Certificate:         serving.NewOptions(),
		Authentication:      genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:       genericoptions.NewDelegatingAuthorizationOptions(),
		Audit:               genericoptions.NewAuditOptions(),
		Features:            genericoptions.NewFeatureOptions(),
		CoreAPI:             genericoptions.NewCoreAPIOptions(),
		Admission:           genericoptions.NewAdmissionOptions(),
		Traces:              genericoptions.NewTracingOptions(),
		Upstream:            upstream.Options{Address: "localhost:9000", TLS: upstream.TLSOptions{Enabled: true}, Timeout: 30 * time.Second},
		UnassignedNamespace: "ambient-unassigned",
		LeaseNamespace:      "ambient-system",
		LeaseName:           component,
		LeaseDuration:       15 * time.Second,
		RenewDeadline:       10 * time.Second,
		RetryPeriod:         500 * time.Millisecond,
		PodNamespace:        "ambient-system",
		HandOverTimeout:     10 * time.Second,
		MaxStaleness:        30 * time.Second,
	}
}

// Fallbacks are the platform's own names of environment variables, by option.
var Fallbacks = map[string][]string{
	"upstream-token":   {"AMBIENT_API_TOKEN"},
	"upstream-address": {"AMBIENT_GRPC_SERVER_ADDR"},
	"upstream-tls":     {"AMBIENT_GRPC_USE_TLS"},
	"kubeconfig":       {"KUBECONFIG"},
	"pod-name":         {"POD_NAME"},
	"pod-namespace":    {"POD_NAMESPACE"},
}

// AddFlags adds the options to a flag set.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	o.SecureServing.AddFlags(flags)
	o.Certificate.AddFlags(flags)
	o.Authentication.AddFlags(flags)
	o.Authorization.AddFlags(flags)
	o.Audit.AddFlags(flags)
	o.Features.AddFlags(flags)
	o.CoreAPI.AddFlags(flags)
	o.Admission.AddFlags(flags)
	o.Traces.AddFlags(flags)

	u := &o.Upstream
	flags.StringVar(&u.Address, "upstream-address", u.Address, "Host and port of the upstream's gRPC service.")
	flags.BoolVar(&u.TLS.Enabled, "upstream-tls", u.TLS.Enabled, "Use TLS towards the upstream.")
	flags.StringVar(&u.TLS.CAFile, "upstream-ca-file", u.TLS.CAFile, "File of the certificate authorities that the upstream's certificate is checked against; the system's when empty.")
	flags.StringVar(&u.TLS.ServerName, "upstream-server-name", u.TLS.ServerName, "Name that the upstream's certificate must bear, when it differs from the address.")
	flags.StringVar(&u.TokenFile, "upstream-token-file", u.TokenFile, "File of the bearer token for the upstream; read again when it changes.")
	flags.StringVar(&u.Token, "upstream-token", u.Token, "Bearer token for the upstream. Prefer the environment variable or a file: arguments are visible to other processes.")
	flags.StringVar(&u.OAuth2.TokenURL, "upstream-oauth2-token-url", u.OAuth2.TokenURL, "Token URL for OAuth2 client credentials towards the upstream.")
	flags.StringVar(&u.OAuth2.ClientID, "upstream-oauth2-client-id", u.OAuth2.ClientID, "OAuth2 client id.")
	flags.StringVar(&u.OAuth2.ClientSecretFile, "upstream-oauth2-client-secret-file", u.OAuth2.ClientSecretFile, "File of the OAuth2 client secret.")
	flags.StringSliceVar(&u.OAuth2.Scopes, "upstream-oauth2-scopes", u.OAuth2.Scopes, "OAuth2 scopes to ask for.")
	flags.DurationVar(&u.Timeout, "upstream-timeout", u.Timeout, "Deadline of one call of the upstream, when the request has no nearer one.")

	flags.StringVar(&o.UnassignedNamespace, "unassigned-namespace", o.UnassignedNamespace, "Namespace of the sessions that have no usable project.")
	flags.StringVar(&o.LeaseNamespace, "lease-namespace", o.LeaseNamespace, "Namespace of the Lease that the serving replica holds.")
	flags.StringVar(&o.LeaseName, "lease-name", o.LeaseName, "Name of the Lease that the serving replica holds, and that bears the epoch of its resource versions.")
	flags.DurationVar(&o.LeaseDuration, "lease-duration", o.LeaseDuration, "Time without renewal after which another replica may take the Lease.")
	flags.DurationVar(&o.RenewDeadline, "renew-deadline", o.RenewDeadline, "Time without renewal after which the serving replica stops serving and ends.")
	flags.DurationVar(&o.RetryPeriod, "retry-period", o.RetryPeriod, "Pause between two looks at the Lease.")
	flags.StringVar(&o.PodName, "pod-name", o.PodName, "Name of the pod that this process runs in; while it serves, it bears the label "+leadership.ServingLabel+"=true, by which the Service finds it. Without a name no pod is labelled.")
	flags.StringVar(&o.PodNamespace, "pod-namespace", o.PodNamespace, "Namespace of the pod that this process runs in.")
	flags.DurationVar(&o.HandOverTimeout, "hand-over-timeout", o.HandOverTimeout, "How long a pod that was told to end goes on serving discovery while no other pod serves.")
	flags.DurationVar(&o.MaxStaleness, "max-staleness", o.MaxStaleness, "Age of the upstream's last answer above which reads that claim to be current get 503.")
	flags.BoolVar(&o.VerifyReads, "verify-reads", o.VerifyReads, "Ask the upstream before every read that claims to be current (get, list and watch without a resourceVersion): what was changed there before the read shows in it, even while the upstream's watch lags. Lists then wait for a listing of the upstream, which those made at the same time share.")
	flags.DurationVar(&o.ShutdownDelay, "shutdown-delay-duration", o.ShutdownDelay, "How long the server goes on serving after it was told to end.")
}

// certificate returns the options of the certificate with its files, if it is in
// files.
func (o *Options) certificate() serving.Options {
	certificate, files := o.Certificate, o.SecureServing.ServerCert.CertKey
	certificate.CertificateFile, certificate.KeyFile = files.CertFile, files.KeyFile
	return certificate
}

// Validate returns what is wrong with the options, all of it.
func (o *Options) Validate() error {
	var problems []error
	problems = append(problems, o.SecureServing.Validate()...)
	certificate := o.certificate()
	if !certificate.Chosen() {
		problems = append(problems, errors.New("--certificate-secret, or --tls-cert-file with --tls-private-key-file, is required"))
	}
	if err := certificate.Validate(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, o.Authentication.Validate()...)
	problems = append(problems, o.Authorization.Validate()...)
	problems = append(problems, o.Audit.Validate()...)
	problems = append(problems, o.Features.Validate()...)
	problems = append(problems, o.CoreAPI.Validate()...)
	problems = append(problems, o.Admission.Validate()...)
	problems = append(problems, o.Traces.Validate()...)
	if o.Upstream.Address == "" {
		problems = append(problems, errors.New("--upstream-address is required"))
	}
	if o.UnassignedNamespace == "" {
		problems = append(problems, errors.New("--unassigned-namespace is required"))
	}
	if o.LeaseNamespace == "" || o.LeaseName == "" {
		problems = append(problems, errors.New("--lease-namespace and --lease-name are required"))
	}
	if o.RetryPeriod <= 0 || o.RenewDeadline < 2*o.RetryPeriod || o.LeaseDuration <= o.RenewDeadline || o.LeaseDuration < time.Second {
		problems = append(problems, fmt.Errorf("--lease-duration (%s) must be at least 1s and more than --renew-deadline (%s), which must be at least twice --retry-period (%s)", o.LeaseDuration, o.RenewDeadline, o.RetryPeriod))
	}
	if o.PodName != "" && o.PodNamespace == "" {
		problems = append(problems, errors.New("--pod-name needs --pod-namespace"))
	}
	if o.MaxStaleness < time.Second {
		problems = append(problems, fmt.Errorf("--max-staleness is %s and must be at least 1s", o.MaxStaleness))
	}
	// The default that the calls would get otherwise is not the one that a new leader
	// waits for.
	if o.Upstream.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("--upstream-timeout is %s and must be more than 0", o.Upstream.Timeout))
	}
	if o.HandOverTimeout < 0 {
		problems = append(problems, fmt.Errorf("--hand-over-timeout is %s and must not be negative", o.HandOverTimeout))
	}
	if o.ShutdownDelay < 0 {
		problems = append(problems, fmt.Errorf("--shutdown-delay-duration is %s and must not be negative", o.ShutdownDelay))
	}
	return utilerrors.NewAggregate(problems)
}
