package reconciler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/client-go/tools/leaderelection"

	"github.com/ambient-code/ambient-kube/reconciler/agenticsession"
	"github.com/ambient-code/ambient-kube/statuspage"
)

// probes answers whether the process is alive and ready, and serves metrics.
type probes struct {
	election *leaderelection.HealthzAdaptor

	mutex sync.Mutex
	// waiting is what the process waits for, "" once it is ready.
	waiting string
	// sources are what metrics are gathered from.
	sources prometheus.Gatherers
	// required must all be nil for the process to be ready.
	required []func() error
}

var _ prometheus.Gatherer = (*probes)(nil)

// gather says what metrics are gathered from, from now on.
func (p *probes) gather(sources ...prometheus.Gatherer) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.sources = sources
}

// Gather implements prometheus.Gatherer.
func (p *probes) Gather() ([]*dto.MetricFamily, error) {
	p.mutex.Lock()
	sources := p.sources
	p.mutex.Unlock()
	return sources.Gather()
}

// require adds what must be nil for the process to be ready.
func (p *probes) require(condition func() error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.required = append(p.required, condition)
}

// electionTimeout is how long a lease may be expired until the process, which
// should have ended then, counts as stuck.
const electionTimeout = 20 * time.Second

func newProbes() *probes {
	return &probes{election: leaderelection.NewLeaderHealthzAdaptor(electionTimeout), waiting: "starting"}
}

// waitFor says what the process waits for; "" for nothing.
func (p *probes) waitFor(what string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.waiting = what
}

func (p *probes) live(w http.ResponseWriter, request *http.Request) {
	if err := p.election.Check(request); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}

// ready is about the process, not about the lead: a standby that waits for the
// lease is ready, or else no roll-out would ever end.
func (p *probes) ready(w http.ResponseWriter, _ *http.Request) {
	p.mutex.Lock()
	waiting, required := p.waiting, p.required
	p.mutex.Unlock()
	for _, condition := range required {
		if err := condition(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	if waiting != "" {
		http.Error(w, "waiting for "+waiting, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serve answers on address until ctx ends.
func (p *probes) serve(ctx context.Context, address string, further map[string]http.Handler) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /livez", p.live)
	routes.HandleFunc("GET /readyz", p.ready)
	routes.Handle("GET /metrics", promhttp.HandlerFor(p, promhttp.HandlerOpts{}))
	routes.Handle("GET "+statuspage.Path, statuspage.Handler(agenticsession.FieldManager, p))
	for path, handler := range further {
		routes.Handle(path, handler)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("opening --health-bind-address: %w", err)
	}
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serving probes on %s: %w", address, err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("ending the probes: %w", err)
	}
	if err := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving probes on %s: %w", address, err)
	}
	return nil
}

// describe joins the names of what is waited for.
func describe(names []string) string { return strings.Join(names, ", ") }
