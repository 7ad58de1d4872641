package apiserver

import (
	corev1 "k8s.io/api/core/v1"
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
	events eventRecorder
	lease  *corev1.ObjectReference
}

var _ doubt.Reporter = trustReporter{}

// Doubted implements doubt.Reporter.
func (r trustReporter) Doubted(kind, reason, command string) {
	if command != "" {
		reason += ". If it is the right upstream, and its rows are really gone: " + command
	}
	r.events.recorder.Eventf(r.lease, corev1.EventTypeWarning, "UpstreamDoubted", "%s: %s", kind, reason)
}

// Released implements doubt.Reporter.
func (r trustReporter) Released(kind string) {
	releasesTotal.WithLabelValues(kind).Inc()
	klog.InfoS("A person released what a feed held back", "kind", kind)
	r.events.recorder.Eventf(r.lease, corev1.EventTypeNormal, "UpstreamBelieved", "%s: a person released the deletions that were held back", kind)
}

// Trusted implements doubt.Reporter.
func (r trustReporter) Trusted(kind string) {
	r.events.recorder.Eventf(r.lease, corev1.EventTypeNormal, "UpstreamTrusted", "%s: no deletion is held back any more", kind)
}

// newArbiter makes what asks a person about feeds in doubt.
func (c CompletedConfig) newArbiter(feeds map[string]servedFeed, events eventRecorder) *doubt.Arbiter {
	asked := map[string]doubt.Feed{}
	for kind, f := range feeds {
		asked[kind] = f
	}
	namespace, name := c.options.LeaseNamespace, c.options.LeaseName
	return &doubt.Arbiter{
		Leases: c.client.CoordinationV1().Leases(namespace), Namespace: namespace, Name: name, Feeds: asked,
		Reporter: trustReporter{events, &corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: namespace, Name: name}},
	}
}
