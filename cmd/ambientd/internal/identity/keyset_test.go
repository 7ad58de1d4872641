package identity

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func writeKeySet(t *testing.T, path, id string, key *rsa.PrivateKey) {
	t.Helper()
	encode := func(number *big.Int) string { return base64.RawURLEncoding.EncodeToString(number.Bytes()) }
	text := fmt.Sprintf(`{"keys":[{"kty":"EC","kid":"other"},{"kty":"RSA","kid":%q,"n":%q,"e":%q}]}`,
		id, encode(key.N), encode(big.NewInt(int64(key.E))))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sign(t *testing.T, id string, key *rsa.PrivateKey) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{"sub": "service-account-x"})
	token.Header["kid"] = id
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func with(authorization ...string) context.Context {
	return metadata.NewIncomingContext(context.Background(), metadata.MD{"authorization": authorization})
}

func TestANewKeyIsFoundAfterFifteenSeconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	writeKeySet(t, path, "old", newKey(t))
	keys, err := LoadKeySet(path)
	if err != nil {
		t.Fatal(err)
	}
	rotated := newKey(t)
	writeKeySet(t, path, "new", rotated)
	authenticator := New(JWT, "", "x", keys)
	call := with("Bearer " + sign(t, "new", rotated))
	if _, err := authenticator.Authenticate(call, "/a/B"); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the file was read again at once: %v", err)
	}
	keys.read = keys.read.Add(-keyRefresh - time.Second)
	caller, err := authenticator.Authenticate(call, "/a/B")
	if err != nil || !caller.Service || caller.Username != "service-account-x" {
		t.Errorf("caller = %+v, %v", caller, err)
	}
}

func TestAKeySetThatCannotBeReadIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	for content, want := range map[string]string{
		"": "decoding the key set",
		`{"keys":[{"kty":"RSA","kid":"a","n":"!"}]}`: `modulus of key "a"`,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKeySet(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error = %v, want %q", content, err, want)
		}
	}
}

func TestWhoIsAServiceCaller(t *testing.T) {
	key := newKey(t)
	unverified := sign(t, "unknown", key) // of service-account-x
	for _, test := range []struct {
		name           string
		mode           Mode
		token, account string
		authorization  []string
		service        bool
		username       string
	}{
		{"everybody in mode none", None, "", "", nil, true, ""},
		{"the holder of the static token", Static, "secret", "", []string{"Bearer secret"}, true, ""},
		{"whatever the case of the scheme", Static, "secret", "", []string{"bearer secret"}, true, ""},
		{"nobody without a token", Static, "secret", "", nil, false, ""},
		{"nobody with another scheme", Static, "secret", "", []string{"Basic secret"}, false, ""},
		{"nobody with a bare token", Static, "secret", "", []string{"secret"}, false, ""},
		{"nobody with a longer token", Static, "secret", "", []string{"Bearer secrets"}, false, ""},
		{"a service account whose signature nobody looked at", Static, "secret", "", []string{"Bearer " + unverified}, true, "service-account-x"},
		{"nobody when neither token nor account is configured", Static, "", "", []string{"Bearer " + unverified}, false, "service-account-x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			caller, err := New(test.mode, test.token, test.account, nil).Authenticate(with(test.authorization...), "/a/B")
			if err != nil || caller.Service != test.service || caller.Username != test.username {
				t.Errorf("caller = %+v, %v", caller, err)
			}
		})
	}
}

func TestAChangedTokenCountsFromTheNextCall(t *testing.T) {
	authenticator := New(Static, "old", "", nil)
	authenticator.SetToken("new")
	for token, want := range map[string]bool{"old": false, "new": true} {
		if caller, err := authenticator.Authenticate(with("Bearer "+token), "/a/B"); err != nil || caller.Service != want {
			t.Errorf("%s: %+v, %v", token, caller, err)
		}
	}
}
