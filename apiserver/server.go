package apiserver

import (
	"context"
	"fmt"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/doubt"
	feedmetrics "github.com/ambient-code/ambient-kube/apiserver/feed/metrics"
	"github.com/ambient-code/ambient-kube/apiserver/ownership"
	"github.com/ambient-code/ambient-kube/apiserver/registry/project"
	"github.com/ambient-code/ambient-kube/apiserver/registry/projectsettings"
	"github.com/ambient-code/ambient-kube/apiserver/registry/session"
	"github.com/ambient-code/ambient-kube/apiserver/storage"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/certs/serving"
	"github.com/ambient-code/ambient-kube/statuspage"
)

type completedConfig struct {
	*Config
	complete genericapiserver.CompletedConfig
}

// CompletedConfig can only be had from Config.Complete.
type CompletedConfig struct{ *completedConfig }

// Complete fills in what follows from the rest.
func (c *Config) Complete() CompletedConfig {
	return CompletedConfig{&completedConfig{Config: c, complete: c.generic.Complete()}}
}

// Server is the aggregated API server.
type Server struct {
	generic  *genericapiserver.GenericAPIServer
	client   *upstream.Client
	backends *backend.Backends
	events   eventRecorder
	// namespacesSynced tells whether it is known which namespaces exist.
	namespacesSynced cache.InformerSynced
	// arbiter asks people what feeds in doubt may believe.
	arbiter *doubt.Arbiter
	// config is what the server was made from; its parts about leadership are in use.
	config CompletedConfig
	// term tells people who serves.
	term termDetail
	// certificate is what the server shows.
	certificate serving.Source
}

// New makes a server that is not running yet. The context bounds what must be
// done before it can.
func (c CompletedConfig) New(ctx context.Context) (*Server, error) {
	storage.InstallFeatureChecker()
	dialed := c.options.Upstream
	dialed.Traces = c.generic.TracerProvider
	client, err := upstream.Dial(ctx, dialed)
	if err != nil {
		return nil, fmt.Errorf("reaching the upstream: %w", err)
	}
	server, err := c.build(client)
	if err != nil {
		return nil, closing(client, err)
	}
	klog.FromContext(ctx).Info("Made the API server", "upstream", c.options.Upstream.Address, "cluster", c.cluster)
	return server, nil
}

// closing closes the client because of an error, and returns that error.
func closing(client *upstream.Client, cause error) error {
	if err := client.Close(); err != nil {
		return fmt.Errorf("%w (and closing the connection: %w)", cause, err)
	}
	return cause
}

func (c CompletedConfig) build(client *upstream.Client) (*Server, error) {
	converter, err := ownership.NewTypeConverter(c.generic.OpenAPIV3Config)
	if err != nil {
		return nil, err
	}
	events := newEventRecorder(c.client, c.scheme)
	server, err := c.wire(client, converter, events)
	if err != nil {
		events.stop()
		return nil, err
	}
	return server, nil
}

// newBackends makes the backends, with their metrics.
func (c CompletedConfig) newBackends(client *upstream.Client, converter managedfields.TypeConverter, events eventRecorder, namespaces adoption) (*backend.Backends, error) {
	owners, err := ownership.NewMover(c.scheme, converter)
	if err != nil {
		return nil, err
	}
	recorder := feedmetrics.New()
	backends, err := backend.New(backend.Options{
		Client:              client,
		Translator:          translate.New(translate.Options{Cluster: c.cluster, UnassignedNamespace: c.options.UnassignedNamespace}),
		MayWrite:            c.gate.MayWrite,
		MaxStaleness:        c.options.MaxStaleness,
		ForeignNamespace:    namespaces.foreign,
		UnassignedNamespace: c.options.UnassignedNamespace,
		Owners:              owners,
		Repaired:            reportRepair(events),
		Metrics:             recorder,
	})
	if err != nil {
		return nil, fmt.Errorf("making the backends: %w", err)
	}
	if err := recorder.Register(nil); err != nil {
		return nil, fmt.Errorf("registering the feeds' metrics: %w", err)
	}
	for kind, f := range feedsOf(backends) {
		recorder.Track(kind, f)
	}
	registerMetrics()
	return backends, nil
}

// feedsOf returns the feeds by the name of their kind.
func feedsOf(backends *backend.Backends) map[string]servedFeed {
	return map[string]servedFeed{
		"sessions": backends.Sessions.Feed(), "projects": backends.Projects.Feed(), "projectsettings": backends.Settings.Feed(),
	}
}

// wire puts backends and generic server together.
func (c CompletedConfig) wire(client *upstream.Client, converter managedfields.TypeConverter, events eventRecorder) (*Server, error) {
	namespaces := newAdoption(c.generic.SharedInformerFactory)
	backends, err := c.newBackends(client, converter, events, namespaces)
	if err != nil {
		return nil, err
	}
	if err := namespaces.notify(backends.Sessions.NamespaceChanged); err != nil {
		return nil, err
	}
	generic, err := c.complete.New(component, genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, fmt.Errorf("making the generic API server: %w", err)
	}
	server := &Server{generic: generic, client: client, backends: backends, events: events, namespacesSynced: namespaces.informer.HasSynced, config: c, certificate: c.certificate, term: termDetail{leadership: c.leadership}}
	if err := legacyregistry.CustomRegister(&stateCollector{backends: backends, term: &server.term}); err != nil {
		return nil, fmt.Errorf("registering the server's metrics: %w", err)
	}
	legacyregistry.RawMustRegister(serving.NewCollector(c.certificate))
	published := healthz.NamedCheck("certificate-authority-published", func(*http.Request) error { return c.certificate.Published() })
	if err := generic.AddReadyzChecks(published); err != nil {
		return nil, fmt.Errorf("adding the readiness check of the certificate: %w", err)
	}
	feeds := feedsOf(backends)
	server.arbiter = c.newArbiter(feeds, events)
	detail := func() string { return server.term.describe() + describe(feeds, server.arbiter) }
	c.readiness.text.Store(&detail)
	generic.Handler.NonGoRestfulMux.Handle(statuspage.Path, statuspage.Handler(component, legacyregistry.DefaultGatherer))
	if err := server.install(c, converter, namespaces); err != nil {
		return nil, err
	}
	for name, synced := range map[string]func() error{"sessions": backends.Sessions.FirstSynced, "projects": backends.Projects.FirstSynced, "projectsettings": backends.Settings.FirstSynced} {
		check := healthz.NamedCheck(name+"-synced", func(*http.Request) error { return synced() })
		if err := generic.AddReadyzChecks(check); err != nil {
			return nil, fmt.Errorf("adding the readiness check of %s: %w", name, err)
		}
	}
	return server, nil
}

// install registers the resources of the group.
func (s *Server) install(c CompletedConfig, converter managedfields.TypeConverter, namespaces adoption) error {
	getter := newRESTOptionsGetter(c.codecs.LegacyCodec(v1alpha1.SchemeGroupVersion), converter, s.backends, c.options.VerifyReads)
	rules := policy{namespaces: namespaceGuard{c.client}, backends: s.backends, unassignedNamespace: c.options.UnassignedNamespace, foreign: namespaces.foreign}
	sessions, err := session.NewREST(c.scheme, getter, session.Hooks{
		BeforeCreate: rules.createInProject(v1alpha1.Resource("sessions"), "Session"),
		BeforeDelete: rules.deleteInNamespace(v1alpha1.Resource("sessions")),
		AfterRequest: s.events.requested,
	})
	if err != nil {
		return fmt.Errorf("serving sessions: %w", err)
	}
	projects, err := project.NewREST(c.scheme, getter, project.Hooks{BeforeDelete: rules.deleteProject})
	if err != nil {
		return fmt.Errorf("serving projects: %w", err)
	}
	settings, err := projectsettings.NewREST(c.scheme, getter, projectsettings.Hooks{
		BeforeCreate: rules.createInProject(v1alpha1.Resource("projectsettings"), "ProjectSettings"),
		BeforeDelete: rules.deleteInNamespace(v1alpha1.Resource("projectsettings")),
	})
	if err != nil {
		return fmt.Errorf("serving project settings: %w", err)
	}
	group := genericapiserver.NewDefaultAPIGroupInfo(v1alpha1.GroupName, c.scheme, metav1.ParameterCodec, c.codecs)
	group.VersionedResourcesStorageMap[v1alpha1.SchemeGroupVersion.Version] = map[string]rest.Storage{
		"sessions":               sessions.Session,
		"sessions/status":        sessions.Status,
		"sessions/start":         sessions.Start,
		"sessions/stop":          sessions.Stop,
		"projects":               projects.Project,
		"projects/status":        projects.Status,
		"projectsettings":        settings.ProjectSettings,
		"projectsettings/status": settings.Status,
	}
	if err := s.generic.InstallAPIGroup(&group); err != nil {
		return fmt.Errorf("installing the group %s: %w", v1alpha1.GroupName, err)
	}
	return nil
}
