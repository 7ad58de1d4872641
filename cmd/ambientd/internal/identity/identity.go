// Package identity tells who calls, with the rules and the warts of the real
// server: in most modes a caller without rights is not refused but sees empty
// listings and silent watches.
//
// It owns tokens and key sets. It must not know rows, events or what a call does.
package identity

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Mode says how callers are authenticated.
type Mode string

const (
	// None lets everybody read everything, as the real server of March 2026 does
	// without a token.
	None Mode = "none"
	// Static recognises one token; other callers are served, but listings and
	// watches show them nothing.
	Static Mode = "static"
	// JWT requires a token signed by a known key; listings and watches show
	// something to service accounts only.
	JWT Mode = "jwt"
)

// servicePrefix begins the user names of service accounts.
const servicePrefix = "service-account-"

// Open methods are served without authentication in every mode.
var openMethods = map[string]bool{
	"/grpc.health.v1.Health/Check":                                   true,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": true,
}

// Caller is who makes a call.
type Caller struct {
	// Username is empty when the call carries no JWT.
	Username string
	// Service callers see everything; others see nothing in listings and watches.
	Service bool
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, caller Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// FromContext returns the caller of a call; without one, a caller without rights.
func FromContext(ctx context.Context) Caller {
	if caller, known := ctx.Value(callerKey{}).(Caller); known {
		return caller
	}
	return Caller{}
}

// Authenticator finds out the caller of each call.
type Authenticator struct {
	mode           Mode
	serviceAccount string
	keys           *KeySet
	token          atomic.Pointer[string]
	parser         *jwt.Parser
}

// New returns an authenticator. The token is the static one and may be empty;
// serviceAccount is the user name that counts as a service beside those that begin
// with "service-account-"; keys are needed in mode JWT only.
func New(mode Mode, token, serviceAccount string, keys *KeySet) *Authenticator {
	authenticator := &Authenticator{
		mode:           mode,
		serviceAccount: serviceAccount,
		keys:           keys,
		parser:         jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()})),
	}
	authenticator.SetToken(token)
	return authenticator
}

// SetToken changes the static token from the next call on. Streams that are open
// stay open: the token is looked at when they open, never again.
func (a *Authenticator) SetToken(token string) { a.token.Store(&token) }

// Authenticate returns the caller of a call to a method (/package.Service/Method),
// or a status error when the call is refused.
func (a *Authenticator) Authenticate(ctx context.Context, method string) (Caller, error) {
	if a.mode == None {
		return Caller{Username: username(bearerToken(ctx)), Service: true}, nil
	}
	token := bearerToken(ctx)
	caller := a.recognise(token)
	if a.mode == Static || openMethods[method] {
		return caller, nil
	}
	if token == "" {
		return Caller{}, status.Error(codes.Unauthenticated, "missing or invalid authorization header")
	}
	if _, err := a.parser.Parse(token, a.keys.find); err != nil {
		return Caller{}, status.Error(codes.Unauthenticated, fmt.Sprintf("invalid bearer token: %v", err))
	}
	return caller, nil
}

// recognise decides whether the caller is a service. It believes a JWT without
// looking at its signature, and does nothing at all when neither a token nor a
// service account is configured: both are the real server's ways.
func (a *Authenticator) recognise(token string) Caller {
	caller := Caller{Username: username(token)}
	static := *a.token.Load()
	switch {
	case static == "" && a.serviceAccount == "":
	case static != "" && subtle.ConstantTimeCompare([]byte(token), []byte(static)) == 1:
		caller.Service = true
	case caller.Username == "":
	case caller.Username == a.serviceAccount, strings.HasPrefix(caller.Username, servicePrefix):
		caller.Service = true
	}
	return caller
}

// bearerToken returns the token of the call, empty when it has none.
func bearerToken(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return ""
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return token
}

// username returns the user that a JWT names, without verifying it; empty for
// anything that is not a JWT.
func username(token string) string {
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		return ""
	}
	for _, claim := range []string{"preferred_username", "username"} {
		if name, ok := claims[claim].(string); ok && name != "" {
			return name
		}
	}
	if subject, ok := claims["sub"].(string); ok && !strings.Contains(subject, ":") {
		return subject
	}
	return ""
}
