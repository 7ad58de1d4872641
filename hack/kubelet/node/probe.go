package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/ambient-code/ambient-kube/hack/health"
)

// check is one of a container's probes, and how it went.
type check struct {
	*corev1.Probe
	name string
	next time.Time
	// failures and successes are in a row.
	failures, successes int32
}

// The probes of a container.
const (
	startup   = "startup"
	liveness  = "liveness"
	readiness = "readiness"
)

func newChecks(container corev1.Container) []*check {
	var checks []*check
	for _, probe := range []struct {
		name  string
		probe *corev1.Probe
	}{{startup, container.StartupProbe}, {liveness, container.LivenessProbe}, {readiness, container.ReadinessProbe}} {
		if probe.probe != nil {
			checks = append(checks, &check{Probe: probe.probe, name: probe.name})
		}
	}
	return checks
}

// errUnhealthy says that a process is to be ended, because of its probes.
var errUnhealthy = errors.New("a probe failed too often")

// probe makes the probes that are due. Until the one of the startup succeeds there
// are no others.
func (w *worker) probe(ctx context.Context) error {
	w.state.up = true
	needsReadiness := false
	for _, c := range w.checks {
		needsReadiness = needsReadiness || c.name == readiness
		if c.name == startup && c.successes > 0 {
			continue
		}
		if time.Now().After(c.next) {
			c.next = time.Now().Add(time.Duration(c.PeriodSeconds) * time.Second)
			err := w.ask(ctx, c.Probe)
			if err == nil {
				c.failures, c.successes = 0, c.successes+1
			} else if ctx.Err() == nil {
				c.failures, c.successes = c.failures+1, 0
				w.state.message = c.name + " probe failed: " + err.Error()
			}
		}
		switch {
		case c.name == readiness:
			if c.successes >= c.SuccessThreshold {
				w.state.ready, w.state.message = true, ""
			} else if c.failures >= c.FailureThreshold {
				w.state.ready = false
			}
		case c.failures >= c.FailureThreshold:
			return fmt.Errorf("%s: %w: %s", c.name, errUnhealthy, w.state.message)
		case c.name == startup && c.successes == 0:
			w.state.up = false
			return nil
		}
	}
	if !needsReadiness {
		w.state.ready = true
	}
	return nil
}

// ask makes one probe.
func (w *worker) ask(ctx context.Context, probe *corev1.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(probe.TimeoutSeconds)*time.Second)
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		port, err := w.port(probe.HTTPGet.Port.StrVal, probe.HTTPGet.Port.IntVal)
		if err != nil {
			return err
		}
		scheme := strings.ToLower(string(probe.HTTPGet.Scheme))
		return get(ctx, scheme+"://"+net.JoinHostPort(w.local.String(), port)+probe.HTTPGet.Path)
	case probe.GRPC != nil:
		return health.Check(ctx, net.JoinHostPort(w.local.String(), strconv.Itoa(int(probe.GRPC.Port))))
	}
	return errors.New("this kind of probe is not known here")
}

// get wants an answer below 400, from whoever serves there, as a kubelet does.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // a kubelet verifies no certificate of a probe
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return nil
}
