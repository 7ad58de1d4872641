package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// needControl skips the test at a server that is not ours: see
// Stand.NeedsEmbeddedUpstream.
func (u *Upstream) needControl(t testing.TB) {
	t.Helper()
	if u.control == "" {
		t.Skip("needs the fault switches of the embedded upstream")
	}
}

// Fault makes the upstream faulty until the test ends. The settings are those of
// its control interface, as JSON. Tests that call it run alone.
func (u *Upstream) Fault(t testing.TB, settings string) {
	t.Helper()
	u.needControl(t)
	t.Cleanup(func() { u.Heal(t) })
	if err := u.setFaults(t.Context(), http.MethodPut, settings); err != nil {
		t.Fatalf("making the upstream faulty: %v", err)
	}
}

// Heal ends all faults of the upstream.
func (u *Upstream) Heal(t testing.TB) {
	t.Helper()
	if err := u.setFaults(context.WithoutCancel(t.Context()), http.MethodDelete, ""); err != nil {
		t.Fatalf("healing the upstream: %v", err)
	}
}

func (u *Upstream) setFaults(ctx context.Context, method, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, u.control+"/faults", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking for faults: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	return nil
}
