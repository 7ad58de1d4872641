package conformance

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

const (
	keyID          = "conformance-key"
	serviceAccount = "ambient-kube"
)

// issuer signs tokens with one key.
type issuer struct {
	t   *testing.T
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	return &issuer{t: t, key: must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))}
}

// writeKeySet writes the JWKS file of the issuer and returns its path.
func (i *issuer) writeKeySet() string {
	i.t.Helper()
	encode := func(number *big.Int) string { return base64.RawURLEncoding.EncodeToString(number.Bytes()) }
	text := must[[]byte](i.t)(json.Marshal(map[string][]map[string]string{"keys": {{
		"kty": "RSA", "kid": keyID, "alg": "RS256", "use": "sig",
		"n": encode(i.key.N), "e": encode(big.NewInt(int64(i.key.E))),
	}}}))
	path := filepath.Join(i.t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// token signs a token that is valid for the given time.
func (i *issuer) token(claim, username string, valid time.Duration) string {
	i.t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{claim: username, "exp": time.Now().Add(valid).Unix()})
	token.Header["kid"] = keyID
	return must[string](i.t)(token.SignedString(i.key))
}

// jwtServer starts a server that requires signed tokens.
func jwtServer(t *testing.T) (*server, *issuer) {
	t.Helper()
	issuer := newIssuer(t)
	return ownServer(t, "jwt", "--jwks-file", issuer.writeKeySet(), "--service-account", serviceAccount), issuer
}

// seesNothing checks that the caller's listings are empty, without an error, and
// that its watches stay open and silent, deletions included.
func seesNothing(t *testing.T, w, writer *world) {
	t.Helper()
	forEachKind(t, func(t *testing.T, kind kind) {
		id := kind.create(writer)
		found, meta, err := kind.list(w.ctx, w, 1, 500)
		if err != nil || len(found) != 0 || meta.GetTotal() != 0 {
			t.Errorf("the list has %d items, total %d, %v; want an empty world without an error", len(found), meta.GetTotal(), err)
		}
		blind, seeing := w.openWatch(kind), writer.watch(kind)
		if err := kind.touch(writer.ctx, writer, id); err != nil {
			t.Fatal(err)
		}
		if err := kind.delete(writer.ctx, writer, id); err != nil {
			t.Fatal(err)
		}
		for seeing.next(id).kind != pb.EventType_EVENT_TYPE_DELETED {
		}
		blind.quiet(id)
	})
}

// seesEverything checks that listings hold what there is and that watches deliver.
func seesEverything(t *testing.T, w *world) {
	t.Helper()
	forEachKind(t, func(t *testing.T, kind kind) {
		events := w.watch(kind)
		id := kind.create(w)
		if got := events.next(id).kind; got != pb.EventType_EVENT_TYPE_CREATED {
			t.Errorf("the event is %s", got)
		}
		if found, _ := readAll(t, w, kind, 500, nil); !slices.Contains(found, id) {
			t.Errorf("the list lacks %s", id)
		}
	})
}

func Test_1_8_TheServiceCallerSeesEverything(t *testing.T) {
	seesEverything(t, newWorld(t))
}

func Test_1_8_WithAStaticTokenOtherCallersSeeAnEmptyWorld(t *testing.T) {
	server := ownServer(t, "static")
	writer := server.world(t, server.token)
	for name, token := range map[string]string{
		"no token":       "",
		"wrong token":    "wrong",
		"a user's token": newIssuer(t).token("preferred_username", "alice", time.Hour),
	} {
		t.Run(name, func(t *testing.T) { seesNothing(t, server.world(t, token), server.world(t, server.token)) })
	}
	seesEverything(t, writer)
}

func Test_1_8_WithAStaticTokenOtherCallersStillCreate(t *testing.T) {
	server := ownServer(t, "static")
	for token, creator := range map[string]string{
		"":      "",
		"wrong": "",
		newIssuer(t).token("preferred_username", "alice", time.Hour): "alice",
		newIssuer(t).token("sub", "bob", time.Hour):                  "bob",
		newIssuer(t).token("sub", "f:1:carol", time.Hour):            "",
	} {
		session := server.world(t, token).createSession()
		if session.GetCreatedByUserId() != creator {
			t.Errorf("the creator is %q, want %q", session.GetCreatedByUserId(), creator)
		}
	}
}

func Test_1_8_ReadingAndWritingOneObjectNeedsNoRights(t *testing.T) {
	server := ownServer(t, "static")
	owner, stranger := server.world(t, server.token), server.world(t, "")
	forEachKind(t, func(t *testing.T, kind kind) {
		id := kind.create(owner)
		_, err := kind.get(stranger.ctx, stranger, id)
		wantCode(t, err, codes.OK)
		wantCode(t, kind.touch(stranger.ctx, stranger, id), codes.OK)
		wantCode(t, kind.delete(stranger.ctx, stranger, id), codes.OK)
		_, err = kind.get(owner.ctx, owner, id)
		wantCode(t, err, codes.NotFound)
	})
}

func Test_1_8_WithJWTNoTokenOrAStaticTokenIsUnauthenticated(t *testing.T) {
	server, issuer := jwtServer(t)
	foreign := newIssuer(t)
	unsigned := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"preferred_username": serviceAccount})
	unsigned.Header["kid"] = keyID
	for name, token := range map[string]string{
		"no token":        "",
		"static token":    server.token,
		"expired":         issuer.token("preferred_username", serviceAccount, -time.Hour),
		"another's key":   foreign.token("preferred_username", serviceAccount, time.Hour),
		"signed by none":  must[string](t)(unsigned.SignedString(jwt.UnsafeAllowNoneSignatureType)),
		"signature broke": strings.TrimRight(issuer.token("preferred_username", serviceAccount, time.Hour), "=")[:400],
	} {
		t.Run(name, func(t *testing.T) {
			w := server.world(t, token)
			forEachKind(t, func(t *testing.T, kind kind) {
				_, _, err := kind.list(w.ctx, w, 1, 1)
				wantCode(t, err, codes.Unauthenticated)
				wantCode(t, kind.touch(w.ctx, w, "any"), codes.Unauthenticated)
				wantCode(t, w.openWatch(kind).end(), codes.Unauthenticated)
			})
		})
	}
}

func Test_1_8_WithJWTAnOrdinaryUserSeesAnEmptyWorld(t *testing.T) {
	server, issuer := jwtServer(t)
	writer := server.world(t, issuer.token("preferred_username", serviceAccount, time.Hour))
	seesNothing(t, server.world(t, issuer.token("preferred_username", "alice", time.Hour)), writer)
}

func Test_1_8_WithJWTTheServiceAccountSeesEverythingInEitherSpelling(t *testing.T) {
	server, issuer := jwtServer(t)
	for _, username := range []string{serviceAccount, "service-account-" + serviceAccount} {
		for _, claim := range []string{"preferred_username", "username", "sub"} {
			t.Run(claim+"="+username, func(t *testing.T) {
				seesEverything(t, server.world(t, issuer.token(claim, username, time.Hour)))
			})
		}
	}
}

func Test_1_8_AStreamOutlivesItsTokenAndNewCallsDoNot(t *testing.T) {
	server, issuer := jwtServer(t)
	lasting := server.world(t, issuer.token("preferred_username", serviceAccount, time.Hour))
	brief := server.world(t, issuer.token("preferred_username", serviceAccount, 3*time.Second))
	events := brief.watch(sessionKind)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); ; <-poll.C {
		_, _, err := sessionKind.list(brief.ctx, brief, 1, 1)
		if err != nil {
			wantCode(t, err, codes.Unauthenticated)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the token did not expire")
		}
	}
	events.next(lasting.createSession().GetMetadata().GetId())
}

func Test_1_8_AnUnreadableKeySetAtStartEndsTheServer(t *testing.T) {
	if ambientd == "" {
		t.Skipf("%s needs a server that it can start and stop", t.Name())
	}
	started, err := start(t.TempDir(), "jwt", "--jwks-file", filepath.Join(t.TempDir(), "missing.json"))
	if err == nil {
		t.Fatalf("the server serves without keys: %v", started.stop())
	}
	if !strings.Contains(err.Error(), "reading the key set") {
		t.Errorf("the server ended for another reason: %v", err)
	}
}

func Test_1_8_HealthCheckIsOpenAndANamedServiceIsNotFound(t *testing.T) {
	for name, w := range everyMode(t) {
		t.Run(name, func(t *testing.T) {
			health := grpc_health_v1.NewHealthClient(w.connection)
			answer, err := health.Check(w.ctx, &grpc_health_v1.HealthCheckRequest{})
			if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
				t.Errorf("health is %v, %v", answer, err)
			}
			_, err = health.Check(w.ctx, &grpc_health_v1.HealthCheckRequest{Service: "ambient.v1.SessionService"})
			wantCode(t, err, codes.NotFound)
		})
	}
}

// everyMode returns callers without a token: of the target, and of a server that
// requires signed tokens when there can be one.
func everyMode(t *testing.T) map[string]*world {
	t.Helper()
	modes := map[string]*world{"target": target.world(t, "")}
	if ambientd != "" {
		server, _ := jwtServer(t)
		modes["jwt"] = server.world(t, "")
	}
	return modes
}

func Test_1_8_WithJWTHealthWatchNeedsAuthentication(t *testing.T) {
	server, issuer := jwtServer(t)
	for token, want := range map[string]codes.Code{
		"": codes.Unauthenticated,
		issuer.token("preferred_username", "alice", time.Hour): codes.OK,
	} {
		w := server.world(t, token)
		ctx, cancel := context.WithCancel(w.ctx)
		stream, err := grpc_health_v1.NewHealthClient(w.connection).Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantCode(t, err, want)
		cancel()
	}
}

func Test_1_8_WithJWTReflectionV1NeedsAuthenticationAndV1AlphaDoesNot(t *testing.T) {
	server, issuer := jwtServer(t)
	for token, want := range map[string]codes.Code{
		"": codes.Unauthenticated,
		issuer.token("preferred_username", "alice", time.Hour): codes.OK,
	} {
		w := server.world(t, token)
		stream, err := reflectionv1.NewServerReflectionClient(w.connection).ServerReflectionInfo(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		// A refused stream may refuse the request too; what counts is the answer.
		if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Logf("the request was refused: %v", err)
		}
		_, err = stream.Recv()
		wantCode(t, err, want)
	}
}

func Test_1_8_ReflectionV1AlphaIsOpenAndListsTheServices(t *testing.T) {
	for name, w := range everyMode(t) {
		t.Run(name, func(t *testing.T) {
			//nolint:staticcheck // v1alpha is what the statement is about
			stream, err := grpc_reflection_v1alpha.NewServerReflectionClient(w.connection).ServerReflectionInfo(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(&grpc_reflection_v1alpha.ServerReflectionRequest{
				MessageRequest: &grpc_reflection_v1alpha.ServerReflectionRequest_ListServices{},
			}); err != nil {
				t.Fatal(err)
			}
			answer, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			var services []string
			for _, service := range answer.GetListServicesResponse().GetService() {
				services = append(services, service.GetName())
			}
			for _, want := range []string{
				"ambient.v1.SessionService", "ambient.v1.ProjectService", "ambient.v1.ProjectSettingsService",
				"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
			} {
				if !slices.Contains(services, want) {
					t.Errorf("the service %s is not listed in %v", want, services)
				}
			}
		})
	}
}
