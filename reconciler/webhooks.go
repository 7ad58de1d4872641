package reconciler

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ambient-code/ambient-kube/reconciler/webhook"
)

// serveWebhooks serves the webhooks until ctx ends, if there are to be any.
// Whether this process leads makes no difference. What goes wrong later is told
// to fail.
func (o Options) serveWebhooks(ctx context.Context, c *clients, registry prometheus.Registerer, tasks *sync.WaitGroup, fail context.CancelCauseFunc) error {
	if !o.webhooks() {
		return nil
	}
	server, err := webhook.Listen(webhook.Options{
		Address:         o.WebhookBindAddress,
		CertificateFile: o.WebhookCertificateFile,
		KeyFile:         o.WebhookKeyFile,
		Exempt:          o.WebhookExemptUsers,
		Projects:        c.ambient,
		Registry:        registry,
	})
	if err != nil {
		return err
	}
	tasks.Go(func() {
		if err := server.Serve(ctx); err != nil {
			fail(err)
		}
	})
	return nil
}
