package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	quotageneric "k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/epoch"
	"github.com/ambient-code/ambient-kube/apiserver/leadership"
	ambientopenapi "github.com/ambient-code/ambient-kube/apiserver/openapi"
	"github.com/ambient-code/ambient-kube/certs/publish"
	"github.com/ambient-code/ambient-kube/certs/serving"
)

// mutatingPolicyVersion is the first version of Kubernetes that serves mutating
// admission policies as v1. On an older host the plugin's informers would never
// sync, and every write would be refused.
var mutatingPolicyVersion = version.MustParseGeneric("1.36.0")

// apiServiceName is the name of the registration with the cluster.
var apiServiceName = v1alpha1.SchemeGroupVersion.Version + "." + v1alpha1.GroupName

// watchTerminationGracePeriod is how long open watches may take to end.
const watchTerminationGracePeriod = 2 * time.Second

// storagePatience is how long readiness waits for the caches of resources, which a
// standby does not fill.
const storagePatience = time.Second

// Limits of our own requests to the cluster per second. Each creation and deletion
// reads its namespace there: with the library's default of 5 that would be all we
// could do in a second.
const (
	hostQPS   = 200
	hostBurst = 400
)

// Config is everything that a server is made from.
type Config struct {
	generic *genericapiserver.RecommendedConfig
	scheme  *runtime.Scheme
	codecs  serializer.CodecFactory
	options *Options
	client  kubernetes.Interface
	dynamic dynamic.Interface
	cluster types.UID
	// leadership is the part in the election, gate what it lets pass, pods the labels
	// that follow from it.
	leadership *leadership.Leadership
	gate       *leadership.Gate
	pods       *leadership.Pods
	// certificate is what the server shows.
	certificate serving.Source
	// readiness tells more of the feeds than probes need.
	readiness *readinessDetail
}

// Config turns the options into a config. It waits until the cluster answers:
// its version decides about admission, its identity about metadata.
func (o *Options) Config(ctx context.Context) (*Config, error) {
	scheme := NewScheme()
	codecs := newCodecs(scheme)
	config := &Config{generic: genericapiserver.NewRecommendedConfig(codecs), scheme: scheme, codecs: codecs, options: o, readiness: &readinessDetail{}}
	generic := config.generic
	generic.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	generic.FeatureGate = utilfeature.DefaultFeatureGate
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(ambientopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(scheme))
	generic.OpenAPIConfig.Info.Title = "ambient.io"
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(ambientopenapi.GetOpenAPIDefinitions, openapi.NewDefinitionNamer(scheme))
	generic.OpenAPIV3Config.Info.Title = "ambient.io"
	generic.StorageInitializationTimeout = storagePatience
	generic.ShutdownDelayDuration = o.ShutdownDelay
	generic.ShutdownSendRetryAfter = true
	generic.ShutdownWatchTerminationGracePeriod = watchTerminationGracePeriod
	generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return afterFrontProxy(genericapiserver.DefaultBuildHandlerChain(config.readiness.wrap(withJSONForOurKinds(config.gate.Wrap(handler))), c), frontProxyKnown(c))
	}

	if err := o.CoreAPI.ApplyTo(generic); err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w", err)
	}
	generic.ClientConfig.QPS, generic.ClientConfig.Burst = hostQPS, hostBurst
	var err error
	if config.client, err = kubernetes.NewForConfig(generic.ClientConfig); err != nil {
		return nil, fmt.Errorf("making a client of the cluster: %w", err)
	}
	if config.dynamic, err = dynamic.NewForConfig(generic.ClientConfig); err != nil {
		return nil, fmt.Errorf("making a dynamic client of the cluster: %w", err)
	}
	host, err := config.meetCluster(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.applyServing(config); err != nil {
		return nil, err
	}
	if err := o.applyAdmission(config, host); err != nil {
		return nil, err
	}
	if err := config.prepareElection(); err != nil {
		return nil, err
	}
	return config, nil
}

// meetCluster waits until the cluster answers, and learns its version and identity.
func (c *Config) meetCluster(ctx context.Context) (*version.Version, error) {
	var host *version.Version
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		info, err := c.client.Discovery().ServerVersion()
		if err != nil {
			klog.FromContext(ctx).Info("Waiting for the cluster's API server", "err", err)
			return false, nil
		}
		if host, err = version.ParseGeneric(info.GitVersion); err != nil {
			return false, fmt.Errorf("reading the cluster's version %q: %w", info.GitVersion, err)
		}
		system, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err != nil {
			klog.FromContext(ctx).Info("Waiting for the cluster's identity, the UID of its system namespace", "err", err)
			return false, nil
		}
		c.cluster = system.UID
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the cluster: %w", err)
	}
	return host, nil
}

// applyServing applies what concerns the way in: TLS, authentication,
// authorization, audit, tracing.
func (o *Options) applyServing(config *Config) error {
	generic := config.generic
	if err := o.Traces.ApplyTo(nil, &generic.Config); err != nil {
		return fmt.Errorf("tracing: %w", err)
	}
	var err error
	if config.certificate, err = o.certificate().New(serving.Server{
		Namespace: o.LeaseNamespace, Service: component, Targets: []publish.Target{publish.APIService(apiServiceName)},
		Client: config.client, Dynamic: config.dynamic,
	}); err != nil {
		return fmt.Errorf("preparing the serving certificate: %w", err)
	}
	// The library's own way with files is ours, too: see serving.Source.
	secure := *o.SecureServing.SecureServingOptions
	secure.ServerCert = genericoptions.GeneratableKeyCert{GeneratedCert: config.certificate}
	if err := secure.WithLoopback().ApplyToConfig(&generic.Config); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	if err := o.Authentication.ApplyTo(&generic.Config.Authentication, generic.SecureServing, generic.OpenAPIConfig); err != nil {
		return fmt.Errorf("delegated authentication: %w", err)
	}
	if err := o.Authorization.ApplyTo(&generic.Config.Authorization); err != nil {
		return fmt.Errorf("delegated authorization: %w", err)
	}
	if err := o.Audit.ApplyTo(&generic.Config); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := o.Features.ApplyTo(&generic.Config, config.client, generic.SharedInformerFactory); err != nil {
		return fmt.Errorf("features: %w", err)
	}
	return nil
}

// applyAdmission applies the cluster's webhooks and policies to our kinds.
func (o *Options) applyAdmission(config *Config, host *version.Version) error {
	// The namespace follows the project here: see namespaceGuard.
	o.Admission.DefaultOffPlugins.Insert(lifecycle.PluginName)
	if host.LessThan(mutatingPolicyVersion) {
		o.Admission.DefaultOffPlugins.Insert(mutatingadmissionpolicy.PluginName)
	}
	resourcequota.Register(o.Admission.Plugins)
	o.Admission.RecommendedPluginOrder = append(o.Admission.RecommendedPluginOrder, resourcequota.PluginName)
	generic := config.generic
	client := admissionClient{config.client, o.UnassignedNamespace}
	if err := o.Admission.ApplyTo(&generic.Config, generic.SharedInformerFactory, client, config.dynamic, generic.FeatureGate, generic.EffectiveVersion, countingQuota{}); err != nil {
		return fmt.Errorf("admission: %w", err)
	}
	return nil
}

// countingQuota lets quotas count our objects, as count/sessions.ambient.io: the
// plugin counts the objects of every resource for which it is given nothing else.
type countingQuota struct{}

// Initialize implements admission.PluginInitializer.
func (countingQuota) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(initializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(quotageneric.NewConfiguration(nil, nil))
	}
}

// prepareElection makes what decides whether this process serves.
func (c *Config) prepareElection() error {
	o := c.options
	listening := ""
	if c.generic.SecureServing != nil {
		listening = c.generic.SecureServing.Listener.Addr().String()
	}
	identity, err := leadership.Identity(listening)
	if err != nil {
		return err
	}
	// Renewals wait neither for other requests nor for ever.
	clientConfig := rest.AddUserAgent(rest.CopyConfig(c.generic.ClientConfig), "leader-election")
	clientConfig.Timeout = o.RenewDeadline / 2
	clientConfig.QPS, clientConfig.Burst = -1, 0
	client, err := kubernetes.NewForConfig(clientConfig)
	if err != nil {
		return fmt.Errorf("making a client for the election: %w", err)
	}
	c.leadership, err = leadership.New(leadership.Options{
		Leases: client.CoordinationV1().Leases(o.LeaseNamespace), Name: o.LeaseName, Identity: identity,
		LeaseDuration: o.LeaseDuration, RenewDeadline: o.RenewDeadline, RetryPeriod: o.RetryPeriod, CallDeadline: o.Upstream.Timeout,
	})
	if err != nil {
		return err
	}
	c.gate = leadership.NewGate(c.codecs, c.leadership.Holds, c.leadership.Holder)
	if o.PodName != "" {
		c.pods = &leadership.Pods{Client: client.CoreV1().Pods(o.PodNamespace), App: component, Name: o.PodName}
	}
	return nil
}

// claimEpoch takes the epoch of this process's resource versions.
func (c *Config) claimEpoch(ctx context.Context) (uint32, error) {
	httpClient, err := rest.HTTPClientFor(c.generic.ClientConfig)
	if err != nil {
		return 0, fmt.Errorf("making an HTTP client of the cluster: %w", err)
	}
	return epoch.Claimer{
		Leases:      c.client.CoordinationV1().Leases(c.options.LeaseNamespace),
		Name:        c.options.LeaseName,
		ClusterTime: epoch.DateOf(httpClient, c.generic.ClientConfig.Host),
		Now:         time.Now,
	}.Claim(ctx)
}
