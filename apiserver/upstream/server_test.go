package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

// fakeUpstream answers GetSession as told and remembers the tokens it saw.
type fakeUpstream struct {
	ambientv1.UnimplementedSessionServiceServer

	mu     sync.Mutex
	tokens []string
	answer func(ctx context.Context, request *ambientv1.GetSessionRequest) (*ambientv1.Session, error)
}

func (f *fakeUpstream) GetSession(ctx context.Context, request *ambientv1.GetSessionRequest) (*ambientv1.Session, error) {
	incoming, _ := metadata.FromIncomingContext(ctx)
	f.mu.Lock()
	f.tokens = append(f.tokens, incoming.Get("authorization")...)
	answer := f.answer
	f.mu.Unlock()
	if answer == nil {
		return &ambientv1.Session{Name: request.GetId()}, nil
	}
	return answer(ctx, request)
}

func (f *fakeUpstream) CreateSession(context.Context, *ambientv1.CreateSessionRequest) (*ambientv1.Session, error) {
	return &ambientv1.Session{}, nil
}

func (f *fakeUpstream) WatchSessions(_ *ambientv1.WatchSessionsRequest, stream grpc.ServerStreamingServer[ambientv1.SessionWatchEvent]) error {
	_, bounded := stream.Context().Deadline()
	id := "unbounded"
	if bounded {
		id = "bounded"
	}
	return stream.Send(&ambientv1.SessionWatchEvent{ResourceId: id})
}

func (f *fakeUpstream) respond(answer func(context.Context, *ambientv1.GetSessionRequest) (*ambientv1.Session, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fakeUpstream) seenTokens() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.tokens...)
}

// serve runs the fake on the address until the test ends or stop is called.
func (f *fakeUpstream) serve(t *testing.T, address string, certificate *tls.Certificate) (listening string, stop func()) {
	t.Helper()
	return f.serveOn(t, listen(t, address), certificate)
}

func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	return listener
}

func (f *fakeUpstream) serveOn(t *testing.T, listener net.Listener, certificate *tls.Certificate) (listening string, stop func()) {
	t.Helper()
	var options []grpc.ServerOption
	if certificate != nil {
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(certificate)))
	}
	server := grpc.NewServer(options...)
	ambientv1.RegisterSessionServiceServer(server, f)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			t.Errorf("serving: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() {
		server.Stop()
		<-done
	})
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func dial(t *testing.T, options Options) *Client {
	t.Helper()
	client, err := Dial(t.Context(), options)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return client
}

func get(ctx context.Context, client *Client) error {
	_, err := client.Sessions.GetSession(ctx, &ambientv1.GetSessionRequest{Id: "a"})
	return err
}
