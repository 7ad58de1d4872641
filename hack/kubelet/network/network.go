// Package network stands for the network of a cluster on one machine.
//
// Every pod gets an address of its own, 10.244.x.y. Nobody routes it: its process
// listens on a loopback address of its own, and this package translates. Three ways
// lead to pods: what kube-apiserver dials comes in through an egress proxy (HTTP
// CONNECT on a socket), as in clusters whose control plane is outside of the pods'
// network; Services have a loopback address each, for what pods dial; and whoever
// probes asks for the Local address. It must not know what runs in the pods.
package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// servicesBlock is the third byte of the loopback addresses of Services; pods stay
// below it.
const servicesBlock = 200

// pods is the range of the pods' addresses.
var pods = netip.MustParsePrefix("10.244.0.0/16")

// Network is the network of one cluster. Its methods may be called at the same time.
type Network struct {
	// block is the second byte of our loopback addresses, so that clusters beside
	// each other have different ones.
	block    byte
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	informer cache.SharedIndexInformer
	synced   []cache.InformerSynced

	mutex sync.Mutex
	next  uint16
}

// New makes a network that reads Services and their endpoints by the informers,
// which the caller starts.
func New(factory informers.SharedInformerFactory) *Network {
	services, endpoints := factory.Core().V1().Services(), factory.Discovery().V1().EndpointSlices()
	return &Network{
		block: byte(32 + rand.IntN(200)), services: services.Lister(), slices: endpoints.Lister(), informer: services.Informer(),
		synced: []cache.InformerSynced{services.Informer().HasSynced, endpoints.Informer().HasSynced}, next: 2,
	}
}

// Attach returns the address of one more pod.
func (n *Network) Attach() netip.Addr {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	number := n.next
	if n.next++; n.next>>8 == servicesBlock {
		n.next = 2
	}
	return netip.AddrFrom4([4]byte{10, 244, byte(number >> 8), byte(number)})
}

// Local is the loopback address that stands for the address of a pod.
func (n *Network) Local(pod netip.Addr) netip.Addr {
	bytes := pod.As4()
	return netip.AddrFrom4([4]byte{127, n.block, bytes[2], bytes[3]})
}

// service is the loopback address that stands for a Service; false for one without
// an address of its own.
func (n *Network) service(service *corev1.Service) (netip.Addr, bool) {
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil || !address.Is4() || len(service.Spec.Selector) == 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte{127, n.block, servicesBlock, address.As4()[3]}), true
}

// Hosts returns a hosts file with the names of all Services, for a pod.
func (n *Network) Hosts() (string, error) {
	all, err := n.services.List(labels.Everything())
	if err != nil {
		return "", fmt.Errorf("listing Services: %w", err)
	}
	lines := []string{"127.0.0.1 localhost"}
	for _, service := range all {
		if address, ok := n.service(service); ok {
			name := service.Name + "." + service.Namespace
			lines = append(lines, fmt.Sprintf("%s %s.svc.cluster.local %s.svc %s", address, name, name, name))
		}
	}
	slices.Sort(lines)
	text := ""
	for _, line := range lines {
		text += line + "\n"
	}
	return text, nil
}

// errNoEndpoint is why nothing can be reached at a Service.
var errNoEndpoint = errors.New("no endpoint of the Service is ready")

// resolve turns what somebody in the cluster dials, a pod or a Service, into an
// address of this machine. Another address stays as it is.
func (n *Network) resolve(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("reading the address %s: %w", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", fmt.Errorf("reading the address %s: %w", address, err)
	}
	if pods.Contains(ip) {
		return net.JoinHostPort(n.Local(ip).String(), port), nil
	}
	all, err := n.services.List(labels.Everything())
	if err != nil {
		return "", fmt.Errorf("listing Services: %w", err)
	}
	for _, service := range all {
		if service.Spec.ClusterIP != host {
			continue
		}
		for _, served := range service.Spec.Ports {
			if strconv.Itoa(int(served.Port)) == port {
				return n.endpoint(service, served.Name)
			}
		}
	}
	return address, nil
}

// endpoint chooses one of the ready endpoints of a Service's port, and returns its
// address on this machine.
func (n *Network) endpoint(service *corev1.Service, port string) (string, error) {
	selector := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, err := n.slices.EndpointSlices(service.Namespace).List(selector)
	if err != nil {
		return "", fmt.Errorf("listing endpoints: %w", err)
	}
	var ready []string
	for _, slice := range found {
		for _, served := range slice.Ports {
			if served.Name == nil || served.Port == nil || *served.Name != port {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				if endpoint.Conditions.Ready == nil || !*endpoint.Conditions.Ready {
					continue
				}
				for _, address := range endpoint.Addresses {
					if ip, err := netip.ParseAddr(address); err == nil {
						ready = append(ready, net.JoinHostPort(n.Local(ip).String(), strconv.Itoa(int(*served.Port))))
					}
				}
			}
		}
	}
	if len(ready) == 0 {
		return "", fmt.Errorf("%s/%s, port %s: %w", service.Namespace, service.Name, port, errNoEndpoint)
	}
	return ready[rand.IntN(len(ready))], nil
}
