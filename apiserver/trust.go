package apiserver

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/doubt"
)

// releasesTotal counts what people released.
var releasesTotal = metrics.NewCounterVec(&metrics.CounterOpts{
	Name:           "ambient_kube_feed_releases_total",
	Help:           "Number of times that a person let the feed of the kind believe deletions that it held back.",
	StabilityLevel: metrics.ALPHA,
}, []string{"kind"})

// trustReporter tells of feeds that hold back deletions, in events on the Lease
// that a person answers on.
type trustReporter struct {
	events          eventRecorder
	leases          coordinationclient.LeaseInterface
	namespace, name string
}

var _ doubt.Reporter = trustReporter{}

// Doubted implements doubt.Reporter.
func (r trustReporter) Doubted(ctx context.Context, kind, reason, command string) {
	if command != "" {
		reason += ". If it is the right upstream, and its rows are really gone: " + command
	}
	r.events.recorder.Eventf(r.lease(ctx), corev1.EventTypeWarning, "UpstreamDoubted", "%s: %s", kind, reason)
}

// Released implements doubt.Reporter.
func (r trustReporter) Released(ctx context.Context, kind string) {
	releasesTotal.WithLabelValues(kind).Inc()
	klog.InfoS("A person released what a feed held back", "kind", kind)
	r.events.recorder.Eventf(r.lease(ctx), corev1.EventTypeNormal, "UpstreamBelieved", "%s: a person released the deletions that were held back", kind)
}

// Trusted implements doubt.Reporter.
func (r trustReporter) Trusted(ctx context.Context, kind string) {
	r.events.recorder.Eventf(r.lease(ctx), corev1.EventTypeNormal, "UpstreamTrusted", "%s: no deletion is held back any more", kind)
}

// leaseTimeout bounds the look at the Lease that an event is about.
const leaseTimeout = 5 * time.Second

// lease returns a reference to the Lease with its UID, by which kubectl describe looks
// for events; without, if the Lease can't be read now.
func (r trustReporter) lease(ctx context.Context) *corev1.ObjectReference {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	reference := &corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: r.namespace, Name: r.name}
	lease, err := r.leases.Get(ctx, r.name, metav1.GetOptions{})
	if err != nil {
		klog.FromContext(ctx).Info("Could not read the Lease; kubectl describe won't show an event about it", "lease", r.name, "err", err)
		return reference
	}
	reference.UID = lease.UID
	return reference
}

// newArbiter makes what asks a person about feeds in doubt.
func (c CompletedConfig) newArbiter(feeds map[string]servedFeed, events eventRecorder) *doubt.Arbiter {
	asked := map[string]doubt.Feed{}
	for kind, f := range feeds {
		asked[kind] = f
	}
	namespace, name := c.options.LeaseNamespace, c.options.LeaseName
	leases := c.client.CoordinationV1().Leases(namespace)
	return &doubt.Arbiter{
		Leases: leases, Namespace: namespace, Name: name, Feeds: asked,
		Reporter: trustReporter{events: events, leases: leases, namespace: namespace, name: name},
	}
}
