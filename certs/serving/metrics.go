package serving

import (
	"crypto/x509"
	"encoding/pem"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	expirationDesc = prometheus.NewDesc("ambient_kube_certificate_expiration_timestamp_seconds",
		"When the certificate expires, in seconds since 1970: the one that is served (leaf), and that of our own authority, if it is our own (authority).",
		[]string{"certificate"}, nil)
	publishedDesc = prometheus.NewDesc("ambient_kube_certificate_authority_published",
		"1 if the caBundles that kube-apiserver checks our certificate against are known to hold our own authority, 0 if they could not be read or written; absent where somebody else writes them.",
		nil, nil)
)

// collector shows a source in metrics.
type collector struct{ source Source }

var _ prometheus.Collector = collector{}

// NewCollector returns the metrics of a source.
func NewCollector(source Source) prometheus.Collector { return collector{source} }

// Describe implements prometheus.Collector.
func (c collector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- expirationDesc
	descriptions <- publishedDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(description *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
	}
	data, _ := c.source.CurrentCertKeyContent()
	if block, _ := pem.Decode(data); block != nil {
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			gauge(expirationDesc, float64(certificate.NotAfter.Unix()), "leaf")
		}
	}
	own, ok := c.source.(*managed)
	if !ok {
		return
	}
	own.mutex.Lock()
	told := own.report
	own.mutex.Unlock()
	if !told.authorityNotAfter.IsZero() {
		gauge(expirationDesc, float64(told.authorityNotAfter.Unix()), "authority")
	}
	published := 0.0
	if told.current {
		published = 1
	}
	gauge(publishedDesc, published)
}
