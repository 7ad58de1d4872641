package upstream

import (
	"context"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTargetGetsTheDefaultPort(t *testing.T) {
	for address, want := range map[string]string{
		"ambient-api-server":      "ambient-api-server:9000",
		"ambient-api-server:":     "ambient-api-server:9000",
		"ambient-api-server:8001": "ambient-api-server:8001",
		"10.0.0.1":                "10.0.0.1:9000",
		"::1":                     "[::1]:9000",
		"[::1]":                   "[::1]:9000",
		"[::1]:7":                 "[::1]:7",
		":9001":                   "localhost:9001",
		" host ":                  "host:9000",
		"unix:///run/upstream":    "unix:///run/upstream",
		"dns:///host:1":           "dns:///host:1",
		"":                        "",
		"http://host:9000":        "",
		"host/path":               "",
	} {
		got, err := targetOf(address)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v; want %q", address, got, err, want)
		}
	}
}

func TestDialRefusesOptionsThatContradict(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]Options{
		"no address":               {},
		"two kinds of credentials": {Address: "a", Token: "x", TokenFile: empty},
		"missing token file":       {Address: "a", TokenFile: empty + "-not"},
		"empty token file":         {Address: "a", TokenFile: empty},
		"token with a line break":  {Address: "a", Token: "one\ntwo"},
		"CA file without TLS":      {Address: "a", TLS: TLSOptions{CAFile: empty}},
		"CA file without PEM":      {Address: "a", TLS: TLSOptions{Enabled: true, CAFile: empty}},
		"OAuth2 without secret":    {Address: "a", OAuth2: OAuth2Options{TokenURL: "https://idp/token", ClientID: "me"}},
		"OAuth2 without URL":       {Address: "a", OAuth2: OAuth2Options{ClientID: "me"}},
		"OAuth2 with a bad URL":    {Address: "a", OAuth2: OAuth2Options{TokenURL: "idp", ClientID: "me", ClientSecretFile: empty}},
		"OAuth2 with empty secret": {Address: "a", OAuth2: OAuth2Options{TokenURL: "https://idp/t", ClientID: "me", ClientSecretFile: empty}},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := Dial(t.Context(), options)
			if err == nil {
				_ = client.Close()
				t.Fatal("accepted")
			}
		})
	}
}

func TestUnaryCallsEndAfterTheTimeoutAndStreamsDoNot(t *testing.T) {
	fake := &fakeUpstream{}
	var left time.Duration
	fake.respond(func(ctx context.Context, _ *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return &ambientv1.Session{}, nil
	})
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, Timeout: 20 * time.Second})
	if err := get(t.Context(), client); err != nil || left < 10*time.Second || left > 20*time.Second {
		t.Errorf("without a deadline of its own: %v left, %v", left, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := get(short, client); err != nil || left > 5*time.Second {
		t.Errorf("with a shorter deadline: %v left, %v", left, err)
	}
	stream, err := client.Sessions.WatchSessions(t.Context(), &ambientv1.WatchSessionsRequest{})
	if err != nil {
		t.Fatalf("opening: %v", err)
	}
	if event, err := stream.Recv(); err != nil || event.GetResourceId() != "unbounded" {
		t.Errorf("the stream is %s, %v", event.GetResourceId(), err)
	}
}

func TestMessagesMayBeLargeToReceiveAndNotToSend(t *testing.T) {
	fake := &fakeUpstream{}
	large := strings.Repeat("x", 6<<20)
	fake.respond(func(context.Context, *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
		return &ambientv1.Session{Prompt: &large}, nil
	})
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address})
	if err := get(t.Context(), client); err != nil {
		t.Errorf("receiving 6 MiB: %v", err)
	}
	_, err := client.Sessions.CreateSession(t.Context(), &ambientv1.CreateSessionRequest{Prompt: &large})
	if status.Code(err) != codes.ResourceExhausted || !NeverSent(err) {
		t.Errorf("sending 6 MiB: %v, never sent %t", err, NeverSent(err))
	}
	limited := dial(t, Options{Address: address, MaxReceiveBytes: 1 << 20})
	if err := get(t.Context(), limited); status.Code(err) != codes.ResourceExhausted || NeverSent(err) || !TooLarge(err) {
		t.Errorf("receiving over the limit: %v, never sent %t, too large %t", err, NeverSent(err), TooLarge(err))
	}
}

func TestCallsFailWithinASecondWhileNobodyListens(t *testing.T) {
	fake := &fakeUpstream{}
	address, stop := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address})
	if err := get(t.Context(), client); err != nil {
		t.Fatalf("before: %v", err)
	}
	stop()
	for range 5 {
		began := time.Now()
		err := get(t.Context(), client)
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("got %v, want Unavailable", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("refused after %s", took)
		}
	}
	if err := get(t.Context(), client); !NeverSent(err) || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a call to nobody: %v, never sent %t", err, NeverSent(err))
	}
	fake.serve(t, address, nil)
	eventually(t, "calls after the return", func() error { return get(t.Context(), client) })
}

func TestCallsFailWithinASecondWhileConnectionsHang(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var client *Client
	refused := func() {
		if err := get(t.Context(), client); status.Code(err) != codes.Unavailable || !NeverSent(err) {
			t.Errorf("got %v, never sent %t", err, NeverSent(err))
		}
	}
	first := quickestOf(2, func() {
		client = dial(t, Options{Address: listener.Addr().String()})
		refused()
	})
	if first > time.Second {
		t.Errorf("the first call of each client was refused after %s or more", first)
	}
	// What one call waited for in vain the others do not wait for.
	if quickest := quickestOf(4, refused); quickest > connectPatience/2 {
		t.Errorf("each of the later calls was refused after %s or more", quickest)
	}
}

// quickestOf returns the shortest time that something takes; a machine that is busy
// makes single ones longer.
func quickestOf(times int, what func()) time.Duration {
	quickest := time.Duration(math.MaxInt64)
	for range times {
		began := time.Now()
		what()
		quickest = min(quickest, time.Since(began))
	}
	return quickest
}

func TestCallsAreRefusedAtOnceWhileTheUpstreamHangs(t *testing.T) {
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, Timeout: 50 * time.Millisecond})
	// Connecting may take longer than a call has.
	eventually(t, "a connection", func() error { return get(t.Context(), client) })
	hang := make(chan struct{})
	fake.respond(func(ctx context.Context, _ *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
		select {
		case <-hang:
			return &ambientv1.Session{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	for range failureLimit {
		if err := get(t.Context(), client); status.Code(err) != codes.DeadlineExceeded || NeverSent(err) || !Ambiguous(err) {
			t.Fatalf("a hanging call: %v, never sent %t", err, NeverSent(err))
		}
	}
	if err := get(t.Context(), client); status.Code(err) != codes.Unavailable || !NeverSent(err) {
		t.Errorf("the next call: %v, never sent %t", err, NeverSent(err))
	}
	close(hang)
	eventually(t, "calls after the hang", func() error { return get(t.Context(), client) })
}

func TestDurationsAreMeasuredByMethodAndCode(t *testing.T) {
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address})
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "ambient_kube_upstream_request_duration_seconds" {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			if labels["method"] == "GetSession" && labels["code"] == "OK" && metric.GetHistogram().GetSampleCount() > 0 {
				return
			}
		}
	}
	t.Error("no sample for GetSession with code OK")
}

// eventually tries until there is no error, for at most ten seconds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	eventuallyWithin(t, 10*time.Second, what, try)
}

func eventuallyWithin(t *testing.T, patience time.Duration, what string, try func() error) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: still %v", what, err)
		}
	}
}
