package upstream

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A node that dies says nothing: its connections stand, and nobody acknowledges what
// is sent on them. The kernel by itself would go on for a quarter of an hour.
func TestAConnectionToADeadNodeIsGivenUp(t *testing.T) {
	fake := &fakeUpstream{}
	node := &mortal{Listener: listen(t, "127.0.0.1:0")}
	address, _ := fake.serveOn(t, node, nil)
	client := dial(t, Options{Address: address, Timeout: 100 * time.Millisecond})
	// Connecting may take longer than a call has.
	eventually(t, "a connection", func() error { return get(t.Context(), client) })
	node.die(t)
	if err := get(t.Context(), client); err == nil {
		t.Fatal("a dead node answered")
	}
	// Another node has the address by now.
	eventuallyWithin(t, 4*deadAfter, "calls after the node's death", func() error { return get(t.Context(), client) })
}

// mortal is a listener whose connections can be made deaf.
type mortal struct {
	net.Listener

	mu    sync.Mutex
	conns []*net.TCPConn
}

// Accept remembers each connection. It hides from grpc that it is one of TCP: the
// server would limit how long it waits for acknowledgements, and then say goodbye,
// which a dead node does not.
func (m *mortal) Accept() (net.Conn, error) {
	conn, err := m.Listener.Accept()
	tcp, is := conn.(*net.TCPConn)
	if !is {
		return nil, err //nolint:wrapcheck // grpc looks at it
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, tcp)
	return struct{ net.Conn }{conn}, err
}

// die lets the kernel drop whatever arrives for the connections made until now, before
// it acknowledges it.
func (m *mortal) die(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var failure error
		err = raw.Control(func(descriptor uintptr) {
			drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
			failure = unix.SetsockoptSockFprog(int(descriptor), syscall.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(drop)), Filter: &drop[0]})
		})
		if err := errors.Join(err, failure); err != nil {
			t.Fatalf("making a connection deaf: %v", err)
		}
	}
}
