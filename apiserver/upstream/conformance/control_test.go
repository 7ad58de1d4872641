package conformance

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
)

// faults are the settings of the control interface that the tests use.
type faults struct {
	Silent          bool     `json:"silent,omitempty"`
	EventDelay      string   `json:"eventDelay,omitempty"`
	EventsPerSecond float64  `json:"eventsPerSecond,omitempty"`
	Methods         []string `json:"methods,omitempty"`
	CallDelay       string   `json:"callDelay,omitempty"`
	UpdateWindow    string   `json:"updateWindow,omitempty"`
	StatusWindow    string   `json:"statusWindow,omitempty"`
}

// inject makes the server misbehave until the test ends. A test that needs it is
// skipped when the server has no control interface.
func inject(t *testing.T, s *server, settings faults) {
	t.Helper()
	if s.control == "" {
		t.Skipf("%s needs a fault switch", t.Name())
	}
	request(t, s, http.MethodPut, "/faults", settings)
	t.Cleanup(func() { release(t, s) })
}

// held is a delay that ends when the test releases it.
const held = "1h"

// release ends all injected faults; what waits because of one goes on at once.
func release(t *testing.T, s *server) {
	t.Helper()
	request(t, s, http.MethodDelete, "/faults", nil)
}

// calls returns how often a method was called since the server's start. Calls that
// wait for a database connection do not count yet.
func calls(t *testing.T, s *server, method string) int {
	t.Helper()
	var counters struct{ Calls map[string]int }
	if err := json.Unmarshal(request(t, s, http.MethodGet, "/counters", nil), &counters); err != nil {
		t.Fatal(err)
	}
	return counters.Calls[method]
}

// act makes a fault happen once.
func act(t *testing.T, s *server, action string) {
	t.Helper()
	if s.control == "" {
		t.Skipf("%s needs a fault switch", t.Name())
	}
	request(t, s, http.MethodPost, "/actions/"+action, nil)
}

func request(t *testing.T, s *server, method, path string, body any) []byte {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.control+path, bytes.NewReader(text))
	if t.Context().Err() != nil { // in a cleanup
		request, err = http.NewRequest(method, "http://"+s.control+path, bytes.NewReader(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer
}
