package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
)

const (
	// filePause is the time between two looks at a token file.
	filePause = time.Second
	// rejectedPause is the age below which a token that the upstream rejects is
	// not replaced, so that an upstream that rejects all makes no storm.
	rejectedPause = 5 * time.Second
	// maxRetryPause limits the time between two failing tries to get a token.
	maxRetryPause = 30 * time.Second
)

// token is what a source returns.
type token struct {
	value string
	// expiry is when the token loses its worth; zero means never.
	expiry time.Time
	// again is the time after which the source is to be asked again.
	again time.Duration
}

// tokenSource obtains the present token.
type tokenSource func(context.Context) (token, error)

// tokens keeps the present token and says when it changes. A nil *tokens stands
// for calls without credentials.
type tokens struct {
	source tokenSource
	reject chan struct{} // the upstream did not take the token
	first  chan struct{} // closed once the source has answered
	stop   context.CancelFunc
	done   chan struct{} // closed when nothing runs any more

	mu      sync.Mutex
	current token
	err     error
	changed chan struct{}
}

// newTokens returns the tokens that the options describe, or nil if they
// describe none.
func newTokens(ctx context.Context, options Options) (*tokens, error) {
	given := 0
	for _, set := range []bool{options.Token != "", options.TokenFile != "", options.OAuth2.TokenURL != ""} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, errors.New("credentials for the upstream are given in more than one way: choose one of token, token file and OAuth2")
	case options.Token != "":
		value, err := cleanToken(options.Token)
		if err != nil {
			return nil, fmt.Errorf("the token for the upstream: %w", err)
		}
		return fixedToken(value), nil
	case options.TokenFile != "":
		source := fileSource(options.TokenFile)
		initial, err := source(ctx)
		if err != nil {
			return nil, err
		}
		return keepTokens(ctx, source, initial), nil
	case options.OAuth2.TokenURL != "":
		source, err := oauth2Source(options)
		if err != nil {
			return nil, err
		}
		return keepTokens(ctx, source, token{}), nil
	case options.OAuth2.ClientID != "" || options.OAuth2.ClientSecretFile != "":
		return nil, errors.New("OAuth2 credentials for the upstream are given without a token URL")
	default:
		return nil, nil
	}
}

// fixedToken returns tokens that never change.
func fixedToken(value string) *tokens {
	t := &tokens{current: token{value: value}, changed: make(chan struct{}), reject: make(chan struct{}, 1),
		first: make(chan struct{}), done: make(chan struct{}), stop: func() {}}
	close(t.first)
	close(t.done)
	return t
}

// keepTokens asks the source for ever, until close or until ctx ends. An initial
// token without a value means that there is none yet.
func keepTokens(ctx context.Context, source tokenSource, initial token) *tokens {
	ctx, stop := context.WithCancel(ctx)
	t := &tokens{source: source, current: initial, changed: make(chan struct{}), reject: make(chan struct{}, 1),
		first: make(chan struct{}), done: make(chan struct{}), stop: stop}
	if initial.value != "" {
		close(t.first)
	}
	go t.run(ctx, initial)
	return t
}

func (t *tokens) run(ctx context.Context, initial token) {
	defer close(t.done)
	pause, failures := initial.again, 0
	for {
		if !t.wait(ctx, pause) {
			return
		}
		fresh, err := t.source(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failures++
			credentialErrors.Inc()
			if failures == 1 {
				klog.FromContext(ctx).Info("Could not renew the token for the upstream; trying again", "reason", err)
			}
			pause = retryPause(failures)
		} else {
			failures, pause = 0, fresh.again
		}
		t.store(ctx, fresh, err)
	}
}

// wait waits for the pause, or less when the upstream rejects the token: then a
// token that is no longer fresh is replaced. It returns false when ctx ended.
func (t *tokens) wait(ctx context.Context, pause time.Duration) bool {
	fresh := time.NewTimer(min(pause, rejectedPause))
	defer fresh.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-fresh.C:
	}
	if pause <= rejectedPause {
		return true
	}
	end := time.NewTimer(pause - rejectedPause)
	defer end.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.reject:
	case <-end.C:
	}
	return true
}

// retryPause grows from a second to maxRetryPause, with jitter.
func retryPause(failures int) time.Duration {
	pause := min(maxRetryPause, time.Second<<min(failures-1, 10))
	return pause/2 + rand.N(pause/2)
}

func (t *tokens) store(ctx context.Context, fresh token, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
	if err == nil {
		if t.current.value != "" && t.current.value != fresh.value {
			klog.FromContext(ctx).V(2).Info("The token for the upstream changed")
			close(t.changed)
			t.changed = make(chan struct{})
		}
		t.current = fresh
	}
	select {
	case <-t.first:
	default:
		close(t.first)
	}
}

// value returns the present token, waiting for the first one.
func (t *tokens) value(ctx context.Context) (string, error) {
	select {
	case <-t.first:
	case <-t.done:
	case <-ctx.Done():
		return "", status.FromContextError(ctx.Err()).Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	expired := !t.current.expiry.IsZero() && time.Now().After(t.current.expiry)
	switch {
	case t.current.value != "" && !expired:
		return t.current.value, nil
	case t.err != nil:
		return "", status.Errorf(codes.Unavailable, "no token for the upstream: %v", t.err)
	case expired:
		return "", status.Error(codes.Unavailable, "no token for the upstream: the last one has expired")
	default:
		return "", status.Error(codes.Unavailable, "no token for the upstream: the client is closed")
	}
}

// rejected says that the upstream did not take the token.
func (t *tokens) rejected() {
	if t == nil {
		return
	}
	select {
	case t.reject <- struct{}{}:
	default:
	}
}

func (t *tokens) changes() <-chan struct{} {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// close stops asking for tokens and waits until nothing runs any more.
func (t *tokens) close() {
	if t == nil {
		return
	}
	t.stop()
	<-t.done
}

// fileSource reads the token from a file. The content is compared rather than
// the time of change, which a volume's atomic swap does not touch.
func fileSource(file string) tokenSource {
	return func(context.Context) (token, error) {
		content, err := os.ReadFile(file)
		if err != nil {
			return token{}, fmt.Errorf("reading the token file for the upstream: %w", err)
		}
		value, err := cleanToken(string(content))
		if err != nil {
			return token{}, fmt.Errorf("the token file %s for the upstream: %w", file, err)
		}
		return token{value: value, again: filePause}, nil
	}
}

// cleanToken removes white space around a token and refuses what cannot stand in
// a header.
func cleanToken(content string) (string, error) {
	value := strings.TrimSpace(content)
	if value == "" {
		return "", errors.New("it is empty")
	}
	for _, character := range []byte(value) {
		if character <= ' ' || character >= 0x7f {
			return "", errors.New("it holds characters that cannot stand in a header")
		}
	}
	return value, nil
}

// bearer puts the token on each call and stream.
type bearer struct {
	tokens *tokens
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	value, err := b.tokens.value(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + value}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. Plain text
// is the platform's default inside a cluster, so that choosing it is enough.
func (b bearer) RequireTransportSecurity() bool { return b.secure }
