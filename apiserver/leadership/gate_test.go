package leadership

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

func newGate(leads func() bool) *Gate {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return NewGate(serializer.NewCodecFactory(scheme), leads, func() string { return "the other" })
}

// ask sends a request of the verb through the gate; an empty verb asks for discovery.
func ask(ctx context.Context, handler http.Handler, verb string) *httptest.ResponseRecorder {
	info := &genericapirequest.RequestInfo{IsResourceRequest: verb != "", Verb: verb, APIGroup: "ambient.io", APIVersion: "v1"}
	request := httptest.NewRequest(http.MethodGet, "/apis/ambient.io/v1/sessions", nil)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request.WithContext(genericapirequest.WithRequestInfo(ctx, info)))
	return answer
}

func TestDecision27OnlyTheLeaderServesResources(t *testing.T) {
	leads := atomic.Bool{}
	gate := newGate(leads.Load)
	handler := gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	expect := func(when string, want int) {
		t.Helper()
		if answer := ask(t.Context(), handler, ""); answer.Code != http.StatusOK {
			t.Errorf("%s: discovery gets %d", when, answer.Code)
		}
		for _, verb := range []string{"get", "list", "watch", "create"} {
			answer := ask(t.Context(), handler, verb)
			if answer.Code != want {
				t.Errorf("%s: %s gets %d, want %d", when, verb, answer.Code, want)
			}
			if want == http.StatusServiceUnavailable && (answer.Header().Get("Retry-After") == "" || answer.Header().Get("Connection") != "close") {
				t.Errorf("%s: the refusal's header is %v", when, answer.Header())
			}
		}
	}
	expect("a standby", http.StatusServiceUnavailable)
	leads.Store(true)
	expect("a leader without an epoch", http.StatusServiceUnavailable)
	gate.Open()
	expect("a leader", http.StatusOK)
	leads.Store(false)
	expect("one that was paused too long", http.StatusServiceUnavailable)
	if gate.MayWrite() == nil {
		t.Error("one that was paused too long may write")
	}
	leads.Store(true)
	if err := gate.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("one that ends", http.StatusServiceUnavailable)
	if err := gate.MayWrite(); err != nil {
		t.Errorf("one that ends may not finish what is under way: %v", err)
	}
}

func TestDecision27TheGateClosesAfterTheLastRequest(t *testing.T) {
	gate := newGate(func() bool { return true })
	gate.Open()
	entered, finish := make(chan struct{}, 2), make(chan struct{})
	handler := gate.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-finish:
		case <-r.Context().Done():
		}
	}))
	answered := make(chan struct{}, 2)
	for _, verb := range []string{"watch", "create"} {
		go func() {
			ask(context.Background(), handler, verb)
			answered <- struct{}{}
		}()
		<-entered
	}
	hasty, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gate.Close(hasty); err == nil {
		t.Error("it closed while a request was under way")
	}
	// The watch has ended by itself, the other request has not.
	<-answered
	select {
	case <-gate.idle:
		t.Error("it is idle while a request is under way")
	default:
	}
	close(finish)
	<-answered
	<-gate.idle
	if gate.watching.Err() == nil {
		t.Error("watches go on")
	}
}
