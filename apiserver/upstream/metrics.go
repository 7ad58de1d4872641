package upstream

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	requestDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Name:           "ambient_kube_upstream_request_duration_seconds",
		Help:           "Duration of unary calls to the upstream in seconds, calls refused here included.",
		Buckets:        []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		StabilityLevel: metrics.ALPHA,
	}, []string{"method", "code"})
	credentialErrors = metrics.NewCounter(&metrics.CounterOpts{
		Name:           "ambient_kube_upstream_credential_errors_total",
		Help:           "Number of failed tries to obtain the token for the upstream.",
		StabilityLevel: metrics.ALPHA,
	})
)

// Metrics returns the metrics of all clients of a process. Dial registers them where
// /metrics is served from.
func Metrics() []metrics.Registerable {
	return []metrics.Registerable{requestDuration, credentialErrors}
}

var registerMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(Metrics()...) })

// observeUnary measures each unary call.
func observeUnary(ctx context.Context, method string, request, reply any, connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	start := time.Now()
	err := invoke(ctx, method, request, reply, connection, options...)
	name := method[strings.LastIndex(method, "/")+1:]
	requestDuration.WithLabelValues(name, status.Code(err).String()).Observe(time.Since(start).Seconds())
	return err
}
