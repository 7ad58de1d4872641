package reconciler

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	kubescheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/apiserver/apis/ambient/v1alpha1"
	"github.com/ambient-code/ambient-kube/apiserver/client/versioned"
)

// clients reach the API servers.
type clients struct {
	kube     kubernetes.Interface
	ambient  versioned.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
}

// newClients returns clients that share one transport, and count their requests.
func newClients(config *rest.Config, registry prometheus.Registerer) (*clients, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ambient_kube_reconciler_requests_total",
		Help: "Requests to the API servers, by method and status code (0 if there was no answer).",
	}, []string{"method", "code"})
	registry.MustRegister(requests)
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			code := 0
			if response != nil {
				code = response.StatusCode
			}
			requests.WithLabelValues(request.Method, strconv.Itoa(code)).Inc()
			return response, err
		})
	})
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the transport to the API servers: %w", err)
	}
	c := &clients{}
	if c.kube, err = kubernetes.NewForConfigAndClient(config, transport); err != nil {
		return nil, fmt.Errorf("making the client of the cluster: %w", err)
	}
	if c.ambient, err = versioned.NewForConfigAndClient(config, transport); err != nil {
		return nil, fmt.Errorf("making the client of the native API: %w", err)
	}
	if c.dynamic, err = dynamic.NewForConfigAndClient(config, transport); err != nil {
		return nil, fmt.Errorf("making the client of custom resources: %w", err)
	}
	if c.metadata, err = metadata.NewForConfigAndClient(config, transport); err != nil {
		return nil, fmt.Errorf("making the client of metadata: %w", err)
	}
	return c, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// eventScheme knows the kinds that events are about.
func eventScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(kubescheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}
