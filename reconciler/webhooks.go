package reconciler

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ambient-code/ambient-kube/certs/publish"
	"github.com/ambient-code/ambient-kube/certs/serving"
	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/reconciler/webhook"
)

// webhookConfigurations are those of manifests/base.
var webhookConfigurations = []publish.Target{
	publish.ValidatingWebhooks("ambient-agenticsessions"),
	publish.ValidatingWebhooks("ambient-project-namespaces"),
}

// serveWebhooks serves the webhooks until ctx ends, if there are to be any.
// Whether this process leads makes no difference. What goes wrong later is told
// to fail.
func (o Options) serveWebhooks(ctx context.Context, c *clients, registry prometheus.Registerer, probes *probes, tasks *sync.WaitGroup, fail context.CancelCauseFunc) error {
	if !o.webhooks() {
		return nil
	}
	certificate, err := o.WebhookCertificate.New(serving.Server{
		Namespace: o.LeaseNamespace, Service: agenticsession.FieldManager, Targets: webhookConfigurations,
		Client: c.kube, Dynamic: c.dynamic,
	})
	if err != nil {
		return fmt.Errorf("preparing the certificate of the webhooks: %w", err)
	}
	registry.MustRegister(serving.NewCollector(certificate))
	server, err := webhook.Listen(webhook.Options{
		Address:     o.WebhookBindAddress,
		Certificate: certificate,
		Exempt:      o.WebhookExemptUsers,
		Projects:    c.ambient,
		Registry:    registry,
	})
	if err != nil {
		return err
	}
	probes.require(certificate.Published)
	tasks.Go(func() {
		if err := certificate.Run(ctx); err != nil {
			fail(err)
		}
	})
	tasks.Go(func() {
		if err := server.Serve(ctx); err != nil {
			fail(err)
		}
	})
	return nil
}
