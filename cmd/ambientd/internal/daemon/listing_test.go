package daemon

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/ambient-kube/apiserver/backend"
	"github.com/ambient-code/ambient-kube/apiserver/translate"
	"github.com/ambient-code/ambient-kube/apiserver/upstream"
	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// Somebody's sessions with long prompts are more than our client takes in one
// message. It knows all rows nevertheless, and notices what no event tells.
func TestOurClientListsWhatDoesNotFitIntoOneMessage(t *testing.T) {
	daemon := run(t, nil)
	client, err := upstream.Dial(t.Context(), upstream.Options{Address: daemon.addresses.GRPC, MaxReceiveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	long, id := strings.Repeat("x", 100<<10), ""
	const rows = 40 // of which ten fit
	for range rows {
		row, err := client.Sessions.CreateSession(t.Context(), &ambientv1.CreateSessionRequest{Name: "long", Prompt: &long})
		if err != nil {
			t.Fatal(err)
		}
		id = row.GetMetadata().GetId()
	}
	if _, err := client.Sessions.ListSessions(t.Context(), &ambientv1.ListSessionsRequest{Page: 1, Size: 500}); !upstream.TooLarge(err) {
		t.Fatalf("one message with all rows: %v, so that the test proves nothing", err)
	}
	daemon.control(http.MethodPut, "/faults", `{"silent":true}`)

	backends, err := backend.New(backend.Options{Client: client, Translator: translate.New(translate.Options{Cluster: "cluster"}), MaxStaleness: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- backends.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the backends ended: %v", err)
		}
	}()
	feed := backends.Sessions.Feed()
	select {
	case <-feed.Synced():
	case <-ctx.Done():
		state, detail := feed.State()
		t.Fatalf("%d of %d sessions are known, the feed is %s: %s", feed.Len(), rows, state, detail)
	}
	if feed.Len() != rows {
		t.Errorf("%d of %d sessions are known", feed.Len(), rows)
	}
	if _, err := client.Sessions.DeleteSession(t.Context(), &ambientv1.DeleteSessionRequest{Id: id}); err != nil {
		t.Fatal(err)
	}
	// The first one settles what was known.
	for range 2 {
		if err := feed.AwaitListing(ctx, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, found := feed.Row(id); found {
		t.Error("a deletion that no event told is not noticed")
	}
}
