package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// tokenRequestTimeout limits one request to the token endpoint.
	tokenRequestTimeout = 10 * time.Second
	// unknownLifetimePause is the time between two requests when the endpoint
	// does not say how long its tokens last.
	unknownLifetimePause = 30 * time.Minute
	// shortestPause keeps an endpoint that returns expired tokens from being
	// asked without end.
	shortestPause = time.Second
)

// oauth2Source obtains tokens with client credentials. The endpoint is verified
// against the system's CAs and those of the upstream.
func oauth2Source(options Options) (tokenSource, error) {
	endpoint, err := url.Parse(options.OAuth2.TokenURL)
	if err != nil || endpoint.Host == "" || (endpoint.Scheme != "https" && endpoint.Scheme != "http") {
		return nil, fmt.Errorf("the OAuth2 token URL %q is not an http(s) URL", options.OAuth2.TokenURL)
	}
	if options.OAuth2.ClientID == "" || options.OAuth2.ClientSecretFile == "" {
		return nil, fmt.Errorf("OAuth2 at %s needs a client id and a client secret file", endpoint.Host)
	}
	if _, err := readSecret(options.OAuth2.ClientSecretFile); err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: tokenRequestTimeout, ForceAttemptHTTP2: true}
	if options.TLS.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if pool, err = readCAs(pool, options.TLS.CAFile); err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	// Tokens are asked for rarely: a kept connection would only be found dead.
	transport.DisableKeepAlives = true
	client := &http.Client{Transport: transport, Timeout: tokenRequestTimeout}
	return func(ctx context.Context) (token, error) {
		secret, err := readSecret(options.OAuth2.ClientSecretFile)
		if err != nil {
			return token{}, err
		}
		config := clientcredentials.Config{
			ClientID: options.OAuth2.ClientID, ClientSecret: secret,
			TokenURL: options.OAuth2.TokenURL, Scopes: options.OAuth2.Scopes,
		}
		fresh, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
		if err != nil {
			return token{}, fmt.Errorf("requesting a token for the upstream from %s: %w", endpoint.Host, withoutBody(err))
		}
		value, err := cleanToken(fresh.AccessToken)
		if err != nil {
			return token{}, fmt.Errorf("the token from %s: %w", endpoint.Host, err)
		}
		return token{value: value, expiry: fresh.Expiry, again: renewalPause(fresh.Expiry, time.Now())}, nil
	}, nil
}

// withoutBody shortens the error of a token endpoint, which may repeat the
// request, secret included.
func withoutBody(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return err
	}
	if refused.ErrorCode != "" {
		return fmt.Errorf("%s: %s", refused.Response.Status, refused.ErrorCode)
	}
	return errors.New(refused.Response.Status)
}

// renewalPause returns how long a token is used: until a fifth of its life is
// left, but at most until a minute before its end when that is later.
func renewalPause(expiry, now time.Time) time.Duration {
	if expiry.IsZero() {
		return unknownLifetimePause
	}
	left := expiry.Sub(now)
	return max(shortestPause, min(left, max(left*4/5, left-time.Minute)))
}

func readSecret(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the OAuth2 client secret file: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("the OAuth2 client secret file %s is empty", file)
	}
	return secret, nil
}
