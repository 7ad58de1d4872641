package harness

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// Patience is how long a test waits for what should happen soon: long,
	// because machines are slow, since it costs nothing while all is well.
	Patience = 60 * time.Second
	// interval is the pause between two looks at a condition.
	interval = 50 * time.Millisecond
)

// Eventually waits until the condition returns nil and fails the test with its
// last answer if that takes longer than Patience.
func Eventually(t testing.TB, what string, condition func() error) {
	t.Helper()
	Within(t, Patience, what, condition)
}

// Within is Eventually with a limit that is part of what is tested. It returns
// how long the condition took.
func Within(t testing.TB, limit time.Duration, what string, condition func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := condition()
		if err == nil {
			return time.Since(begun)
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("%s: not within %s: %v", what, limit, err)
		case <-t.Context().Done():
			t.Fatalf("%s: the test ended: %v", what, err)
		}
	}
}

// Contains fails the test unless the text holds all the parts.
func Contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

type counter struct{ atomic.Int64 }

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// Name returns a name that no other test uses and that is allowed for every
// object.
func (s *Stand) Name(t testing.TB) string {
	const longest = 40
	readable := notInNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-")
	readable = strings.Trim(readable[:min(len(readable), longest)], "-")
	return fmt.Sprintf("%s-%s%d", readable, s.run, s.names.Add(1))
}
