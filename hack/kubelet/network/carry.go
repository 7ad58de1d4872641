package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// dialTimeout bounds the way to a process on this machine.
const dialTimeout = 5 * time.Second

// Run carries connections until the context ends: those that kube-apiserver asks
// for on the socket, and those to the addresses of Services.
func (n *Network) Run(ctx context.Context, socket string) error {
	// One that was left by a killed process would look like a living one.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an old socket: %w", err)
	}
	proxy, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("opening the egress proxy: %w", err)
	}
	if !cache.WaitForCacheSync(ctx.Done(), n.synced...) {
		return errors.Join(ctx.Err(), proxy.Close())
	}
	var carriers sync.WaitGroup
	defer carriers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	carriers.Go(func() { accept(ctx, proxy, n.connect) })
	doors := &doors{network: n, open: map[string]net.Listener{}}
	registration, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { doors.adjust(ctx, &carriers, object) },
		UpdateFunc: func(_, object any) { doors.adjust(ctx, &carriers, object) },
	})
	if err != nil {
		return fmt.Errorf("following Services: %w", err)
	}
	<-ctx.Done()
	if err := n.informer.RemoveEventHandler(registration); err != nil {
		return fmt.Errorf("ending to follow Services: %w", err)
	}
	return nil
}

// accept hands each connection to serve, in a goroutine of its own, until the
// context ends; then it waits for all of them.
func accept(ctx context.Context, listener net.Listener, serve func(context.Context, net.Conn) error) {
	var connections sync.WaitGroup
	defer connections.Wait()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		connection, err := listener.Accept()
		if err != nil {
			if ctx.Err() == nil {
				klog.FromContext(ctx).Error(err, "Accepting a connection")
			}
			return
		}
		connections.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
			if err := serve(ctx, connection); err != nil && ctx.Err() == nil {
				klog.FromContext(ctx).Info("A connection was not carried", "err", err)
			}
		})
	}
}

// connect serves one request of kube-apiserver's to be carried somewhere.
func (n *Network) connect(ctx context.Context, client net.Conn) error {
	defer func() { _ = client.Close() }()
	reader := bufio.NewReader(client)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return fmt.Errorf("reading a CONNECT: %w", err)
	}
	server, err := n.dial(ctx, request.Host)
	if err != nil {
		_, writing := fmt.Fprintf(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return errors.Join(err, writing)
	}
	if _, err := fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return errors.Join(fmt.Errorf("answering a CONNECT: %w", err), server.Close())
	}
	splice(client, server)
	return nil
}

func (n *Network) dial(ctx context.Context, address string) (net.Conn, error) {
	local, err := n.resolve(address)
	if err != nil {
		return nil, err
	}
	server, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", local)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", address, err)
	}
	return server, nil
}

// splice carries both ways until one side is done, and closes both.
func splice(one, other net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{one, other}, {other, one}} {
		both.Go(func() {
			// Whatever ends one way ends the connection.
			if _, err := io.Copy(way[0], way[1]); err != nil && !errors.Is(err, net.ErrClosed) {
				klog.V(2).InfoS("A connection has ended", "err", err)
			}
			_, _ = one.Close(), other.Close()
		})
	}
	both.Wait()
}

// doors are the open ports of Services.
type doors struct {
	network *Network
	mutex   sync.Mutex
	open    map[string]net.Listener
}

// adjust opens the ports of a Service that are not open yet. They stay open when the
// Service goes: nothing answers there then.
func (d *doors) adjust(ctx context.Context, carriers *sync.WaitGroup, object any) {
	service, ok := object.(*corev1.Service)
	if !ok {
		return
	}
	address, ok := d.network.service(service)
	if !ok {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for _, port := range service.Spec.Ports {
		door := net.JoinHostPort(address.String(), strconv.Itoa(int(port.Port)))
		if d.open[door] != nil || ctx.Err() != nil {
			continue
		}
		listener, err := net.Listen("tcp", door)
		if err != nil {
			// Ports below 1024 need rights, and no pod of ours dials them.
			klog.FromContext(ctx).Info("A Service is not reached by pods", "service", klog.KObj(service), "port", port.Port, "err", err)
			continue
		}
		d.open[door] = listener
		behind := netip.MustParseAddr(service.Spec.ClusterIP)
		carriers.Go(func() {
			accept(ctx, listener, func(ctx context.Context, client net.Conn) error {
				server, err := d.network.dial(ctx, net.JoinHostPort(behind.String(), strconv.Itoa(int(port.Port))))
				if err != nil {
					return errors.Join(err, client.Close())
				}
				splice(client, server)
				return nil
			})
		})
	}
}
