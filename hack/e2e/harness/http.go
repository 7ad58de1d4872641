package harness

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/ambient-code/ambient-kube/hack/stack"
)

// Request is a plain HTTP request.
type Request struct {
	Method string
	// Path is the path with the query.
	Path string
	// ContentType is that of the body; JSON by default.
	ContentType string
	Body        string
	Header      map[string]string
	// Timeout is how long the answer may take; Patience by default.
	Timeout time.Duration
}

// Answer is the answer to a Request.
type Answer struct {
	Code   int
	Header http.Header
	Body   string
	// Status is the body as a Status; empty when it is another object.
	Status metav1.Status
	// Took is the time until the whole answer was there.
	Took time.Duration
}

// Causes returns the fields that the Status complains about.
func (a Answer) Causes() []string {
	if a.Status.Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range a.Status.Details.Causes {
		fields = append(fields, cause.Field)
	}
	return fields
}

// Do sends the request to kube-apiserver as the administrator.
func (s *Stand) Do(t testing.TB, request Request) Answer {
	t.Helper()
	config := s.Stack.Config()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	return send(t, client, config.Host, request)
}

// DoDirectly sends the request to our API server itself, without any credential
// but those in its headers and the given certificate, which may be nil.
func (s *Stand) DoDirectly(t testing.TB, certificate *tls.Certificate, request Request) Answer {
	t.Helper()
	return send(t, s.DirectClient(t, certificate), "https://"+s.Stack.ExtensionAddress(), request)
}

// ReconcilerMetrics returns what the reconciler's /metrics says.
func (s *Stand) ReconcilerMetrics(ctx context.Context) (string, error) {
	return s.AskReconciler(ctx, "/metrics")
}

// AskReconciler returns what the reconciler answers on the port of its probes.
func (s *Stand) AskReconciler(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Stack.ReconcilerHealthAddress()+path, nil)
	if err != nil {
		return "", fmt.Errorf("asking for %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking for %s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return string(text), nil
}

// DirectClient returns a client of our API server itself that shows the given
// certificate, which may be nil.
func (s *Stand) DirectClient(t testing.TB, certificate *tls.Certificate) *http.Client {
	t.Helper()
	roots, err := s.Stack.ServingRoots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settings := &tls.Config{RootCAs: roots, ServerName: stack.ServerName, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		settings.Certificates = []tls.Certificate{*certificate}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: settings, DisableKeepAlives: true}}
}

// Administrator returns the certificate of the administrator.
func (s *Stand) Administrator(t testing.TB) *tls.Certificate {
	t.Helper()
	config := s.Stack.Config()
	certificate, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate
}

func send(t testing.TB, client *http.Client, host string, request Request) Answer {
	t.Helper()
	timeout := request.Timeout
	if timeout == 0 {
		timeout = Patience
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	prepared, err := http.NewRequestWithContext(ctx, request.Method, host+request.Path, strings.NewReader(request.Body))
	if err != nil {
		t.Fatal(err)
	}
	prepared.Header.Set("Accept", "application/json")
	if request.Body != "" {
		prepared.Header.Set("Content-Type", "application/json")
	}
	if request.ContentType != "" {
		prepared.Header.Set("Content-Type", request.ContentType)
	}
	for name, value := range request.Header {
		prepared.Header.Set(name, value)
	}
	begun := time.Now()
	response, err := client.Do(prepared)
	if err != nil {
		t.Fatalf("%s %s: %v", request.Method, request.Path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", request.Method, request.Path, err)
	}
	answer := Answer{Code: response.StatusCode, Header: response.Header, Body: string(body), Took: time.Since(begun)}
	if status := (metav1.Status{}); json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		answer.Status = status
	}
	return answer
}
