package apiserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRequestsWaitUntilTheFrontProxyIsKnown(t *testing.T) {
	known := false
	handler := afterFrontProxy(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }), func() bool { return known })
	ask := func(path string) *http.Response {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder.Result()
	}
	for _, path := range []string{"/apis/ambient.io/v1alpha1/sessions", "/apis", "/openapi/v3", "/readyzebra"} {
		if answer := ask(path); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q, want a 503 with it", path, answer.StatusCode, answer.Header.Get("Retry-After"))
		}
	}
	for _, path := range []string{"/readyz", "/livez/ping", "/metrics"} {
		if answer := ask(path); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, want 200", path, answer.StatusCode)
		}
	}
	known = true
	if answer := ask("/apis"); answer.StatusCode != http.StatusOK {
		t.Errorf("once it is known: %d, want 200", answer.StatusCode)
	}
}
