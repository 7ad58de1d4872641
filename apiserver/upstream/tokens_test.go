package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func writeFile(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCallsCarryTheTokenAsBearer(t *testing.T) {
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, Token: "  fixed\n"})
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got := fake.seenTokens(); !slices.Equal(got, []string{"Bearer fixed"}) {
		t.Errorf("the upstream saw %q", got)
	}
}

func TestATokenFileIsReadAgainWhenItChanges(t *testing.T) {
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	file := filepath.Join(t.TempDir(), "token")
	writeFile(t, file, "first\n")
	client := dial(t, Options{Address: address, TokenFile: file})
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	changed := client.CredentialsChanged()
	select {
	case <-changed:
		t.Fatal("changed before the file did")
	default:
	}
	// As a volume does it: another file is put in place.
	writeFile(t, file+".new", "second\n")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("the change was not announced")
	}
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got := fake.seenTokens(); !slices.Equal(got, []string{"Bearer first", "Bearer second"}) {
		t.Errorf("the upstream saw %q", got)
	}
	select {
	case <-client.CredentialsChanged():
		t.Error("the next channel is closed already")
	default:
	}
}

func TestATokenFileThatVanishesLeavesTheLastToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		writeFile(t, file, "first")
		tokens, err := newTokens(t.Context(), Options{TokenFile: file})
		if err != nil {
			t.Fatal(err)
		}
		defer tokens.close()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if value, err := tokens.value(t.Context()); value != "first" || err != nil {
			t.Errorf("got %q, %v", value, err)
		}
		writeFile(t, file, "second")
		time.Sleep(maxRetryPause + filePause)
		if value, err := tokens.value(t.Context()); value != "second" || err != nil {
			t.Errorf("got %q, %v", value, err)
		}
	})
}

func TestATokenIsRenewedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issued := 0
		source := func(context.Context) (token, error) {
			issued++
			expiry := time.Now().Add(10 * time.Minute)
			return token{value: string(rune('a' + issued)), expiry: expiry, again: renewalPause(expiry, time.Now())}, nil
		}
		tokens := keepTokens(t.Context(), source, token{})
		defer tokens.close()
		for range 60 { // an hour, each minute
			if value, err := tokens.value(t.Context()); value == "" || err != nil {
				t.Fatalf("no token: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if issued < 6 || issued > 8 {
			t.Errorf("issued %d tokens of ten minutes in an hour", issued)
		}
	})
}

func TestATokenThatIsRejectedIsReplacedOnceItIsNotFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var issued atomic.Int64
		tokens := keepTokens(t.Context(), func(context.Context) (token, error) {
			issued.Add(1)
			return token{value: "t", again: time.Hour}, nil
		}, token{})
		defer tokens.close()
		synctest.Wait()
		for range 100 { // ten seconds of rejections
			tokens.rejected()
			time.Sleep(100 * time.Millisecond)
		}
		if issued.Load() < 2 || issued.Load() > 3 {
			t.Errorf("issued %d tokens in ten seconds of rejections", issued.Load())
		}
	})
}

func TestCallsSayWhyThereIsNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("the token endpoint is down")
		expiry := time.Now().Add(time.Minute)
		first := true
		tokens := keepTokens(t.Context(), func(context.Context) (token, error) {
			if first {
				first = false
				return token{value: "t", expiry: expiry, again: time.Second}, nil
			}
			return token{}, broken
		}, token{})
		defer tokens.close()
		time.Sleep(30 * time.Second)
		if value, err := tokens.value(t.Context()); value != "t" || err != nil {
			t.Errorf("while the token lasts: %q, %v", value, err)
		}
		time.Sleep(time.Minute)
		_, err := tokens.value(t.Context())
		if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "no token for the upstream: "+broken.Error() {
			t.Errorf("after the token expired: %v", err)
		}
	})
}

func TestOAuth2TokensAreObtainedWithTheSecretOfTheMoment(t *testing.T) {
	secrets := make(chan string, 10)
	endpoint := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		id, secret, basic := request.BasicAuth()
		if !basic || id != "me" || request.FormValue("grant_type") != "client_credentials" || request.FormValue("scope") != "ambient more" {
			http.Error(response, "bad request", http.StatusBadRequest)
			return
		}
		secrets <- secret
		response.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(response).Encode(map[string]any{"access_token": "for-" + secret, "token_type": "bearer", "expires_in": 2}); err != nil {
			t.Errorf("answering: %v", err)
		}
	}))
	defer endpoint.Close()
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "one\n")
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, OAuth2: OAuth2Options{
		TokenURL: endpoint.URL, ClientID: "me", ClientSecretFile: file, Scopes: []string{"ambient", "more"}}})
	changed := client.CredentialsChanged()
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, "two\n")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("the token was not renewed")
	}
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if got := fake.seenTokens(); !slices.Equal(got, []string{"Bearer for-one", "Bearer for-two"}) {
		t.Errorf("the upstream saw %q", got)
	}
}

func TestACallWithoutATokenIsNotSent(t *testing.T) {
	endpoint := httptest.NewServer(http.NotFoundHandler())
	defer endpoint.Close()
	file := filepath.Join(t.TempDir(), "secret")
	writeFile(t, file, "one")
	fake := &fakeUpstream{}
	address, _ := fake.serve(t, "127.0.0.1:0", nil)
	client := dial(t, Options{Address: address, OAuth2: OAuth2Options{TokenURL: endpoint.URL, ClientID: "me", ClientSecretFile: file}})
	err := get(t.Context(), client)
	if status.Code(err) != codes.Unavailable || !NeverSent(err) {
		t.Errorf("got %v, never sent %t", err, NeverSent(err))
	}
	if seen := fake.seenTokens(); len(seen) != 0 {
		t.Errorf("the upstream saw %q", seen)
	}
}
