package conformance

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/ambient-code/ambient-kube/apiserver/upstream/ambientv1"
)

func Test_1_7_ARequestOver4MiBIsResourceExhausted(t *testing.T) {
	w := newWorld(t)
	_, err := w.sessions.CreateSession(w.ctx, &pb.CreateSessionRequest{Name: "large", Prompt: proto.String(strings.Repeat("p", 5<<20))})
	wantCode(t, err, codes.ResourceExhausted)
	stored := w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = proto.String(strings.Repeat("p", 3<<20)) })
	if got := len(w.getSession(stored.GetMetadata().GetId()).GetPrompt()); got != 3<<20 {
		t.Errorf("a prompt of 3 MiB has %d bytes", got)
	}
	if err := sessionKind.delete(w.ctx, w, stored.GetMetadata().GetId()); err != nil {
		t.Fatal(err)
	}
}

func Test_1_7_APageOver4MiBIsResourceExhaustedAtTheClientUnlessItsLimitIsRaised(t *testing.T) {
	w := ownOrShared(t)
	prompt := strings.Repeat("p", 20_000)
	for range 250 {
		w.createSession(func(r *pb.CreateSessionRequest) { r.Prompt = &prompt })
	}
	_, _, err := sessionKind.list(w.ctx, w, 1, 500)
	wantCode(t, err, codes.ResourceExhausted)
	raised := w.server.world(t, w.server.token, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	_, _, err = sessionKind.list(raised.ctx, raised, 1, 500)
	wantCode(t, err, codes.OK)
}

// Test_1_7_PingsMoreOftenThanEvery5MinutesGetGoAway speaks HTTP/2 itself, because
// gRPC's own client never pings more often than every 10 s: with those pings a
// stream lives for 31 s.
func Test_1_7_PingsMoreOftenThanEvery5MinutesGetGoAway(t *testing.T) {
	connection := dialRaw(t)
	framer := http2.NewFramer(connection, connection)
	if _, err := connection.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(framer.WriteSettings(), openRawWatch(framer)); err != nil {
		t.Fatal(err)
	}
	if err := connection.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The first ping is allowed, and so are two strikes.
	for answered := 0; ; {
		if answered < 6 {
			if err := framer.WritePing(false, [8]byte{byte(answered)}); err != nil {
				t.Fatal(err)
			}
		}
		for pinged := false; !pinged; {
			frame, err := framer.ReadFrame()
			if err != nil {
				t.Fatalf("after %d pings: %v", answered, err)
			}
			switch frame := frame.(type) {
			case *http2.PingFrame:
				pinged = frame.IsAck()
			case *http2.GoAwayFrame:
				if frame.ErrCode != http2.ErrCodeEnhanceYourCalm || string(frame.DebugData()) != "too_many_pings" {
					t.Errorf("GOAWAY with %s and %q", frame.ErrCode, frame.DebugData())
				}
				if answered < 2 {
					t.Errorf("GOAWAY after %d pings", answered)
				}
				return
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					if err := framer.WriteSettingsAck(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if answered++; answered > 6 {
			t.Fatal("7 pings in a row were answered")
		}
	}
}

func dialRaw(t *testing.T) net.Conn {
	t.Helper()
	var connection net.Conn
	var err error
	if target.caFile == "" {
		connection, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", target.address)
	} else {
		authority, readErr := os.ReadFile(target.caFile)
		if readErr != nil {
			t.Fatal(readErr)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(authority)
		connection, err = (&tls.Dialer{Config: &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", target.address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() }) // the server may have closed it first
	return connection
}

// openRawWatch opens a watch stream, so that the connection is not idle.
func openRawWatch(framer *http2.Framer) error {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"},
		{Name: ":path", Value: pb.SessionService_WatchSessions_FullMethodName}, {Name: ":authority", Value: target.address},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		{Name: "authorization", Value: "Bearer " + target.token},
	} {
		if err := encoder.WriteField(field); err != nil {
			return err
		}
	}
	return errors.Join(
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, make([]byte, 5))) // an empty message
}

func Test_2_10_KillEndsStreamsAsUnavailable(t *testing.T) {
	server := ownServer(t, "static")
	w := server.world(t, server.token)
	events := w.watch(sessionKind)
	if err := server.kill(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, events.end(), codes.Unavailable)
}
