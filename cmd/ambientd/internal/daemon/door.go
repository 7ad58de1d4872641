package daemon

import (
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// door accepts connections and hands them to the current gRPC server. The server
// can be exchanged for a new one while the address stays: the only way to send
// GOAWAY to all clients without ceasing to listen.
type door struct {
	listener  net.Listener
	newServer func() *grpc.Server

	mutex       sync.Mutex
	current     *room
	servers     []*grpc.Server
	connections map[*connection]struct{}
	closed      bool
	problem     error

	running sync.WaitGroup
}

func newDoor(listener net.Listener, newServer func() *grpc.Server) *door {
	d := &door{listener: listener, newServer: newServer, connections: map[*connection]struct{}{}}
	d.open()
	return d
}

// open starts a server for the connections to come; call it with the mutex held or
// before anybody else knows the door.
func (d *door) open() {
	server := d.newServer()
	d.current = &room{address: d.listener.Addr(), connections: make(chan net.Conn), done: make(chan struct{})}
	d.servers = append(d.servers, server)
	current := d.current
	d.running.Go(func() {
		err := server.Serve(current)
		if errors.Is(err, grpc.ErrServerStopped) { // even before it began
			return
		}
		d.mutex.Lock()
		d.problem = errors.Join(d.problem, err)
		d.mutex.Unlock()
	})
}

// serve accepts connections until the door is closed.
func (d *door) serve() error {
	for {
		accepted, err := d.listener.Accept()
		d.mutex.Lock()
		current, closed := d.current, d.closed
		if err == nil && !closed {
			tracked := &connection{Conn: accepted, door: d}
			d.connections[tracked] = struct{}{}
			accepted = tracked
		}
		d.mutex.Unlock()
		switch {
		case closed && err == nil:
			return accepted.Close()
		case closed:
			return nil
		case err != nil:
			return err
		}
		select {
		case current.connections <- accepted:
		case <-current.done:
			// The server was exchanged just now; the client connects again.
			if err := accepted.Close(); err != nil {
				return err
			}
		}
	}
}

// goAway sends GOAWAY on all connections; open streams go on until they end.
func (d *door) goAway() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.closed {
		return
	}
	old := d.servers[len(d.servers)-1]
	d.open()
	d.running.Go(old.GracefulStop)
}

// cut closes all connections.
func (d *door) cut() {
	d.mutex.Lock()
	var open []*connection
	for connection := range d.connections {
		open = append(open, connection)
	}
	d.mutex.Unlock()
	for _, connection := range open {
		_ = connection.Close() // what matters is that it is gone
	}
}

// close stops accepting, lets calls and streams end for at most the given time,
// then cuts them, and waits until everything has ended.
func (d *door) close(patience time.Duration) error {
	d.mutex.Lock()
	d.closed = true
	servers := d.servers
	d.mutex.Unlock()
	err := d.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	var ending sync.WaitGroup
	for _, server := range servers {
		ending.Go(server.GracefulStop)
	}
	ended := make(chan struct{})
	d.running.Go(func() {
		ending.Wait()
		close(ended)
	})
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		for _, server := range servers {
			server.Stop()
		}
	}
	d.running.Wait()
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return errors.Join(err, d.problem)
}

// room is the listener of one server behind the door.
type room struct {
	address     net.Addr
	connections chan net.Conn
	once        sync.Once
	done        chan struct{}
}

// Accept returns the next connection that the door hands over.
func (r *room) Accept() (net.Conn, error) {
	select {
	case accepted := <-r.connections:
		return accepted, nil
	case <-r.done:
		return nil, net.ErrClosed
	}
}

// Close ends the room; the door stays open.
func (r *room) Close() error {
	r.once.Do(func() { close(r.done) })
	return nil
}

// Addr returns the address of the door.
func (r *room) Addr() net.Addr { return r.address }

// connection takes itself off the door's list when it is closed.
type connection struct {
	net.Conn
	door *door
}

// Close closes the connection.
func (c *connection) Close() error {
	c.door.mutex.Lock()
	delete(c.door.connections, c)
	c.door.mutex.Unlock()
	return c.Conn.Close()
}
