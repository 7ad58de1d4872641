package apiserver

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/ambient-code/ambient-kube/apiserver/doubt"
	feedmetrics "github.com/ambient-code/ambient-kube/apiserver/feed/metrics"
)

// servedFeed is what the server tells of a feed, and asks of it.
type servedFeed interface {
	feedmetrics.Reporter
	doubt.Feed
}

// readinessDetail adds where each feed stands to the verbose answer of /readyz.
// The library's own answer tells names of checks only.
type readinessDetail struct {
	// text returns the lines to add. It is known when the server is made, which is
	// after the chain of handlers was.
	text atomic.Pointer[func() string]
}

// wrap adds the detail to what the handler answers. Strangers, who may ask whether
// we are ready, learn no more than that.
func (d *readinessDetail) wrap(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r)
		text := d.text.Load()
		if _, verbose := r.URL.Query()["verbose"]; !verbose || r.URL.Path != "/readyz" || text == nil {
			return
		}
		if who, known := genericapirequest.UserFrom(r.Context()); known && !slices.Contains(who.GetGroups(), user.AllUnauthenticated) {
			_, _ = fmt.Fprint(w, (*text)())
		}
	})
}

// describe returns a line for each feed, and what to do if one is in doubt.
func describe(feeds map[string]servedFeed, arbiter *doubt.Arbiter) string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(feeds)) {
		state, why := feeds[kind].State()
		fmt.Fprintf(&b, "feed of %s: %s: %s (%d rows; last answer %s, last complete listing begun %s, last event %s)\n", kind, state, why,
			feeds[kind].Len(), before(time.Now().Add(-feeds[kind].Age())), before(feeds[kind].CompleteSince()), before(feeds[kind].LastEvent()))
	}
	if command := arbiter.Command(); command != "" {
		fmt.Fprintf(&b, "deletions are held back; if it is the right upstream, and its rows are really gone: %s\n", command)
	}
	return b.String()
}

// before tells how long ago a time was; times of centuries ago never were.
func before(t time.Time) string {
	if age := time.Since(t); age < 100*365*24*time.Hour {
		return age.Round(100*time.Millisecond).String() + " ago"
	}
	return "never"
}
