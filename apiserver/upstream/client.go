package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"k8s.io/klog/v2"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

const (
	// DefaultPort is where the upstream serves gRPC unless told otherwise.
	DefaultPort = "9000"
	// DefaultTimeout limits a call whose context ends later.
	DefaultTimeout = 30 * time.Second
	// DefaultMaxReceiveBytes holds a page of 500 sessions with long prompts; the
	// library's own limit of 4 MiB does not.
	DefaultMaxReceiveBytes = 64 << 20
	// MaxSendBytes is the largest message that the upstream takes.
	MaxSendBytes = 4 << 20
	// deadAfter is how long what was sent may stay unacknowledged by the other
	// machine's kernel before the connection is given up. A node that dies says
	// nothing, and the kernel by itself would try for a quarter of an hour.
	deadAfter = 10 * time.Second
	// pingPause is the time between pings. The upstream ends connections that ping
	// more often than every five minutes.
	pingPause = 10 * time.Minute
)

// Options say where the upstream is and who we are there. At most one of Token,
// TokenFile and OAuth2 is set.
type Options struct {
	// Address is host, host:port, or a target of grpc such as unix:///path. The
	// port defaults to DefaultPort.
	Address string
	// TLS secures the connection. Disabled means plain text.
	TLS TLSOptions
	// TokenFile holds a bearer token and is read again when it changes.
	TokenFile string
	// Token is a bearer token that never changes.
	Token string
	// OAuth2 obtains bearer tokens with client credentials.
	OAuth2 OAuth2Options
	// Traces records a span for each unary call whose context has one, and sends its
	// context along; nil for none.
	Traces trace.TracerProvider
	// Timeout limits each unary call whose context ends later. Defaults to
	// DefaultTimeout.
	Timeout time.Duration
	// MaxReceiveBytes limits one received message. Defaults to
	// DefaultMaxReceiveBytes.
	MaxReceiveBytes int
}

// TLSOptions say how the upstream's certificate is verified.
type TLSOptions struct {
	// Enabled turns TLS on.
	Enabled bool
	// CAFile holds the PEM certificates that are trusted instead of the system's.
	// It is read again for each connection.
	CAFile string
	// ServerName is expected in the certificate instead of the address's host.
	ServerName string
}

// OAuth2Options describe the client-credentials flow.
type OAuth2Options struct {
	// TokenURL is the token endpoint. Empty means that OAuth2 is not used.
	TokenURL string
	// ClientID identifies us at the token endpoint.
	ClientID string
	// ClientSecretFile holds the client's secret; it is read for each request.
	ClientSecretFile string
	// Scopes are asked for with each token.
	Scopes []string
}

// Client makes calls to the upstream. It may be used concurrently.
type Client struct {
	// Sessions, Projects and ProjectSettings are the upstream's services.
	Sessions        ambientv1.SessionServiceClient
	Projects        ambientv1.ProjectServiceClient
	ProjectSettings ambientv1.ProjectSettingsServiceClient

	connection *grpc.ClientConn
	tokens     *tokens
}

// Dial prepares a Client. It reads the files that the options name, but does not
// wait for the upstream. The Client obtains tokens until Close or until ctx
// ends; ctx carries the logger, too.
func Dial(ctx context.Context, options Options) (*Client, error) {
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	if options.MaxReceiveBytes <= 0 {
		options.MaxReceiveBytes = DefaultMaxReceiveBytes
	}
	target, err := targetOf(options.Address)
	if err != nil {
		return nil, err
	}
	transport, err := transportCredentials(options.TLS)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(ctx, options)
	if err != nil {
		return nil, err
	}
	registerMetrics()
	guard := newGuard(target, options.Timeout, tokens)
	dialOptions := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithChainUnaryInterceptor(traced(options.Traces), observeUnary, guard.unary),
		grpc.WithChainStreamInterceptor(guard.stream),
		grpc.WithStatsHandler(sentTracker{}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(options.MaxReceiveBytes),
			grpc.MaxCallSendMsgSize(MaxSendBytes),
			grpc.WaitForReady(false),
		),
		// Pings that are so rare find little by themselves; that there are any makes
		// grpc limit how long the kernel waits for acknowledgements.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingPause, Timeout: deadAfter}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Feeds call all the time; an idle connection would only cost the next
		// writer a handshake.
		grpc.WithIdleTimeout(0),
	}
	if tokens != nil {
		if !options.TLS.Enabled && !isLocal(target) {
			klog.FromContext(ctx).Info("The bearer token travels in plain text, since TLS to the upstream is off", "address", target)
		}
		dialOptions = append(dialOptions, grpc.WithPerRPCCredentials(bearer{tokens: tokens, secure: options.TLS.Enabled}))
	}
	connection, err := grpc.NewClient(target, dialOptions...)
	if err != nil {
		tokens.close()
		return nil, fmt.Errorf("preparing the connection to the upstream at %q: %w", target, err)
	}
	guard.connection = connection
	connection.Connect()
	return &Client{
		Sessions:        ambientv1.NewSessionServiceClient(connection),
		Projects:        ambientv1.NewProjectServiceClient(connection),
		ProjectSettings: ambientv1.NewProjectSettingsServiceClient(connection),
		connection:      connection,
		tokens:          tokens,
	}, nil
}

// Close ends all calls and waits until nothing of the Client runs any more.
func (c *Client) Close() error {
	c.tokens.close()
	if err := c.connection.Close(); err != nil {
		return fmt.Errorf("closing the connection to the upstream: %w", err)
	}
	return nil
}

// CredentialsChanged returns a channel that is closed when the token changes.
// The upstream looks at the token of a stream only when it is opened, so streams
// are to be opened anew then. The next change closes another channel: ask for
// the channel before opening the stream.
func (c *Client) CredentialsChanged() <-chan struct{} {
	return c.tokens.changes()
}

// targetOf completes an address with the default port.
func targetOf(address string) (string, error) {
	address = strings.TrimSpace(address)
	if address == "" {
		return "", errors.New("the address of the upstream is empty: give host:port")
	}
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") || strings.Contains(address, ":///") {
		return address, nil
	}
	if strings.Contains(address, "://") {
		return "", fmt.Errorf("the address of the upstream is %q: give host:port, without a scheme", address)
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		if port == "" {
			port = DefaultPort
		}
		if host == "" {
			host = "localhost"
		}
		return net.JoinHostPort(host, port), nil
	}
	host := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	target := net.JoinHostPort(host, DefaultPort)
	if strings.ContainsAny(host, "[]/ ") {
		return "", fmt.Errorf("the address of the upstream is %q: give host:port", address)
	}
	return target, nil
}

// isLocal tells whether what is sent to the target stays on this machine.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	host, _, err := net.SplitHostPort(target[strings.LastIndex(target, "/")+1:])
	if err != nil {
		return false
	}
	address := net.ParseIP(host)
	return host == "localhost" || (address != nil && address.IsLoopback())
}

// transportCredentials returns what secures the connection.
func transportCredentials(options TLSOptions) (credentials.TransportCredentials, error) {
	if !options.Enabled {
		if options.CAFile != "" || options.ServerName != "" {
			return nil, errors.New("a CA file or server name for the upstream is given, but TLS to it is off")
		}
		return insecure.NewCredentials(), nil
	}
	return newReloadingTLS(options)
}
