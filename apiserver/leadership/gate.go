package leadership

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// retryAfterSeconds is when a refused client should ask again: hand-overs take a
// second or two.
const retryAfterSeconds = 1

// Gate lets requests of resources pass while this process leads. Everything else,
// discovery and OpenAPI above all, always passes.
type Gate struct {
	codecs runtime.NegotiatedSerializer
	// leads and holder tell whether this process leads, and who is thought to.
	leads  func() bool
	holder func() string

	mu       sync.Mutex
	open     bool
	ended    bool
	inFlight int
	// idle is closed when the gate has ended and the last short request is through.
	idle chan struct{}
	// watching ends when watches have to.
	watching   context.Context
	endWatches context.CancelFunc
}

// NewGate returns a closed gate. The serializer writes refusals.
func NewGate(codecs runtime.NegotiatedSerializer, leads func() bool, holder func() string) *Gate {
	g := &Gate{codecs: codecs, leads: leads, holder: holder, idle: make(chan struct{})}
	g.watching, g.endWatches = context.WithCancel(context.Background())
	return g
}

// Wrap puts the gate in front of the handler.
func (g *Gate) Wrap(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, known := genericapirequest.RequestInfoFrom(r.Context())
		if !known || !info.IsResourceRequest {
			handler.ServeHTTP(w, r)
			return
		}
		long := info.Verb == "watch"
		if err := g.enter(long); err != nil {
			// Over HTTP/2 this becomes a GOAWAY: the next request is to go where the
			// Service leads by then.
			w.Header().Set("Connection", "close")
			responsewriters.ErrorNegotiated(err, g.codecs, schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}, w, r)
			return
		}
		if long {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(g.watching, cancel)()
			handler.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		defer g.leave()
		handler.ServeHTTP(w, r)
	})
}

// MayWrite returns nil while this process leads, else a status error 503 with a time
// to retry after. What has passed the gate may be finished after it was closed.
func (g *Gate) MayWrite() error {
	if g.leads() {
		return nil
	}
	return refusal(fmt.Sprintf("this replica stands by; the lease is held by %q", g.holder()))
}

func (g *Gate) checkLocked() error {
	switch {
	case g.ended:
		return refusal("this replica ends; another one takes over")
	case !g.open && g.leads():
		return refusal("this replica is taking over")
	default:
		return g.MayWrite()
	}
}

func refusal(message string) error {
	err := apierrors.NewServiceUnavailable(message)
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}

func (g *Gate) enter(long bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.checkLocked(); err != nil {
		return err
	}
	if !long {
		g.inFlight++
	}
	return nil
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.settleLocked()
}

func (g *Gate) settleLocked() {
	if g.ended && g.inFlight == 0 {
		close(g.idle)
	}
}

// Open lets requests pass from now on, as long as this process leads.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = true
}

// Close refuses requests for good, ends the watches, and waits until the other
// requests under way are answered, or the context ends. It is called once.
func (g *Gate) Close(ctx context.Context) error {
	g.mu.Lock()
	g.ended = true
	g.settleLocked()
	g.mu.Unlock()
	g.endWatches()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
		return errors.New("requests under way did not end in time")
	}
}
