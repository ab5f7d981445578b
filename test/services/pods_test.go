package services

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fairway-bgp/fairway/test/lab"
)

const podPort = 8080

// phase is where a pod is in its life, as EndpointSlices tell of it.
type phase int

const (
	starting phase = iota // its readiness probe has yet to succeed
	ready
	draining // it was deleted, and still serves until its grace period ends
	failing  // it was deleted, and its readiness probe fails
	gone
)

func (p phase) conditions() discoveryv1.EndpointConditions {
	is := func(b bool) *bool { return &b }
	return discoveryv1.EndpointConditions{
		Ready:       is(p == ready),
		Serving:     is(p == ready || p == draining),
		Terminating: is(p == draining || p == failing),
	}
}

// pod answers each connection with a line of its own name and the client's address, and each
// line with the same line.
type pod struct {
	name       string
	node       *node
	host       *lab.Host
	ipv4, ipv6 netip.Addr
	phase      phase

	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool
	ended    bool
}

// startPod adds a pod that listens, and that no EndpointSlice tells of yet.
func (n *node) startPod() *pod {
	n.rig.t.Helper()
	n.pods++
	ipv4, ipv6 := fmt.Sprintf("10.244.%d.%d", n.index, 9+n.pods), fmt.Sprintf("fd00:10:244:%d::%d", n.index, 9+n.pods)
	p := &pod{name: fmt.Sprintf("%s-%d", n.Name(), n.pods), node: n, open: map[net.Conn]bool{}}
	p.host = n.Pod(ipv4+"/24", ipv6+"/64")
	p.ipv4, p.ipv6 = netip.MustParseAddr(ipv4), netip.MustParseAddr(ipv6)
	listener, err := p.host.Listen("tcp", fmt.Sprintf(":%d", podPort))
	if err != nil {
		n.rig.t.Fatal(err)
	}
	p.listener = listener
	n.rig.t.Cleanup(p.end)
	go p.serve()
	return p
}

func (p *pod) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return // it has ended
		}
		if p.keep(conn) {
			go p.answer(conn)
		}
	}
}

func (p *pod) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		_ = conn.Close()
		return false
	}
	p.open[conn] = true
	return true
}

func (p *pod) answer(conn net.Conn) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
		_ = conn.Close()
	}()
	source, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return
	}
	if _, err := fmt.Fprintf(conn, "%s %s\n", p.name, source.Addr().Unmap()); err != nil {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
}

// end is the end of the pod's process: its listener and its connections go.
func (p *pod) end() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for conn := range p.open {
		_ = conn.Close()
	}
}

func (p *pod) lives() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended
}

// app is a set of pods and the Services that choose them.
type app struct {
	rig      *rig
	services []*service
	pods     []*pod   // those that have not ended
	everyPod sync.Map // *pod by name
}

// service has every kind of address there is, of both families, under one traffic policy.
type service struct {
	name      string
	local     bool
	addresses []address
}

type address struct {
	service *service
	kind    string
	addr    netip.Addr
}

func (a address) String() string { return fmt.Sprintf("%s of %s, %s", a.kind, a.service.name, a.addr) }

// keepsSource reports whether pods see the client's own address: kube-proxy masquerades what
// comes from outside to a ClusterIP, whatever the policy.
func (a address) keepsSource() bool { return a.service.local && a.kind != clusterIP }

const (
	clusterIP      = "ClusterIP"
	externalIP     = "ExternalIP"
	loadBalancerIP = "LoadBalancerIP"
)

func newService(name string, number int, local bool) *service {
	s := &service{name: name, local: local}
	for _, of := range []struct{ kind, ipv4, ipv6 string }{
		{clusterIP, "10.96.0.10%d", "fd00:10:96::10%d"},
		{externalIP, "198.18.10.%d", "2001:db8:e::%d"},
		{loadBalancerIP, "198.18.20.%d", "2001:db8:f::%d"},
	} {
		for _, format := range []string{of.ipv4, of.ipv6} {
			s.addresses = append(s.addresses, address{s, of.kind, netip.MustParseAddr(fmt.Sprintf(format, number))})
		}
	}
	return s
}

func (s *service) of(kind string) (addrs []string) {
	for _, a := range s.addresses {
		if a.kind == kind {
			addrs = append(addrs, a.addr.String())
		}
	}
	return addrs
}

func (s *service) object() *corev1.Service {
	dual, inside, outside := corev1.IPFamilyPolicyRequireDualStack, corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyCluster
	if s.local {
		inside, outside = corev1.ServiceInternalTrafficPolicyLocal, corev1.ServiceExternalTrafficPolicyLocal
	}
	o := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Namespace: "default"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, IPFamilyPolicy: &dual, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			ClusterIP: s.of(clusterIP)[0], ClusterIPs: s.of(clusterIP), ExternalIPs: s.of(externalIP),
			InternalTrafficPolicy: &inside, ExternalTrafficPolicy: outside,
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(podPort)}},
		},
	}
	for _, addr := range s.of(loadBalancerIP) {
		o.Status.LoadBalancer.Ingress = append(o.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: addr})
	}
	return o
}

// create creates the Services, and the EndpointSlices of their pods.
func (a *app) create() {
	a.rig.t.Helper()
	a.publish()
	for _, s := range a.services {
		services, object := a.rig.cp.Client().CoreV1().Services("default"), s.object()
		made, err := services.Create(a.rig.t.Context(), object, metav1.CreateOptions{})
		if err != nil {
			a.rig.t.Fatal(err)
		}
		made.Status = object.Status
		if _, err := services.UpdateStatus(a.rig.t.Context(), made, metav1.UpdateOptions{}); err != nil {
			a.rig.t.Fatal(err)
		}
	}
}

// publish writes what there is of pods into EndpointSlices, as their controller would.
func (a *app) publish() {
	a.rig.t.Helper()
	slices := a.rig.cp.Client().DiscoveryV1().EndpointSlices("default")
	for _, s := range a.services {
		for _, slice := range []*discoveryv1.EndpointSlice{a.slice(s, discoveryv1.AddressTypeIPv4), a.slice(s, discoveryv1.AddressTypeIPv6)} {
			_, err := slices.Update(a.rig.t.Context(), slice, metav1.UpdateOptions{})
			if apierrors.IsNotFound(err) {
				_, err = slices.Create(a.rig.t.Context(), slice, metav1.CreateOptions{})
			}
			if err != nil {
				a.rig.t.Fatal(err)
			}
		}
	}
}

func (a *app) slice(s *service, family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	port, name, protocol := int32(podPort), "", corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: strings.ToLower(s.name + "-" + string(family)), Labels: map[string]string{discoveryv1.LabelServiceName: s.name},
		},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Port: &port, Name: &name, Protocol: &protocol}},
		Endpoints:   []discoveryv1.Endpoint{},
	}
	for _, p := range a.pods {
		if p.phase == gone {
			continue
		}
		addr, nodeName := p.ipv4, p.node.Name()
		if family == discoveryv1.AddressTypeIPv6 {
			addr = p.ipv6
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{addr.String()}, NodeName: &nodeName, Conditions: p.phase.conditions(),
		})
	}
	return slice
}

// add starts a pod on a node and says that it is ready.
func (a *app) add(n *node) *pod {
	a.rig.t.Helper()
	p := n.startPod()
	a.pods = append(a.pods, p)
	a.everyPod.Store(p.name, p)
	a.enter(p, starting)
	a.enter(p, ready)
	return p
}

func (a *app) enter(p *pod, next phase) {
	a.rig.t.Helper()
	p.phase = next
	a.publish()
}

// ready returns the nodes with pods that are ready, and the pods' names.
func (a *app) ready() (nodes []*node, pods map[string]*pod) {
	pods = map[string]*pod{}
	seen := map[*node]bool{}
	for _, p := range a.pods {
		if p.phase != ready {
			continue
		}
		pods[p.name] = p
		if !seen[p.node] {
			seen[p.node] = true
			nodes = append(nodes, p.node)
		}
	}
	return nodes, pods
}
