package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
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
	if err := u.ask(t.Context(), http.MethodPut, "/faults", settings); err != nil {
		t.Fatalf("making the upstream faulty: %v", err)
	}
}

// Heal ends all faults of the upstream.
func (u *Upstream) Heal(t testing.TB) {
	t.Helper()
	if err := u.ask(context.WithoutCancel(t.Context()), http.MethodDelete, "/faults", ""); err != nil {
		t.Fatalf("healing the upstream: %v", err)
	}
}

// Act makes the upstream do something once: cut (every connection, without a
// word), eof (every watch stream ends cleanly) or goaway.
func (u *Upstream) Act(t testing.TB, action string) {
	t.Helper()
	u.needControl(t)
	if err := u.ask(t.Context(), http.MethodPost, "/actions/"+action, ""); err != nil {
		t.Fatalf("making the upstream %s: %v", action, err)
	}
}

// ChangeToken makes another token the valid one, for this client at once, and for
// our API server as soon as it reads the file again.
func (u *Upstream) ChangeToken(t testing.TB, token string) {
	t.Helper()
	u.needControl(t)
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatalf("encoding a token: %v", err)
	}
	if err := u.ask(t.Context(), http.MethodPut, "/token", string(body)); err != nil {
		t.Fatalf("changing the upstream's token: %v", err)
	}
	u.token.set(token)
	// A reader must never see half of it.
	next := u.tokenFile + ".next"
	if err := os.WriteFile(next, []byte(token+"\n"), 0o600); err != nil {
		t.Fatalf("writing the upstream's token: %v", err)
	}
	if err := os.Rename(next, u.tokenFile); err != nil {
		t.Fatalf("replacing the upstream's token: %v", err)
	}
}

// ask sends a request to the upstream's control interface.
func (u *Upstream) ask(ctx context.Context, method, path, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, u.control+path, strings.NewReader(body))
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
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	return nil
}
