package snapshot

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/bgp"
)

// Service is a Service that has addresses, trimmed.
type Service struct {
	Namespace, Name string
	Labels          Labels
	ClusterIPs      []netip.Addr
	ExternalIPs     []netip.Addr
	// LoadBalancerIPs are those of the ingress points that are reached by routing to them, not
	// through a proxy of the load balancer's own (ipMode Proxy).
	LoadBalancerIPs   []netip.Addr
	LoadBalancerClass string
	// InternalLocal and ExternalLocal: only endpoints on the node that a packet comes to serve
	// it, by a cluster IP or by one of the others.
	InternalLocal, ExternalLocal bool
	// HealthCheckNodePort says on each node whether a Local Service has an endpoint there; 0: none.
	HealthCheckNodePort uint16
	// Problems are the parts of the object that could not be read, in words.
	Problems []string
}

// Key returns namespace/name.
func (s *Service) Key() string { return s.Namespace + "/" + s.Name }

// EndpointSlice is an EndpointSlice of a Service, trimmed to how many endpoints are where.
type EndpointSlice struct {
	Service string // namespace/name
	Family  bgp.Family
	Nodes   []Endpoints // sorted by node, each once
}

// The Service of the API server itself.
const (
	APIServerNamespace = metav1.NamespaceDefault
	APIServerService   = "kubernetes"
)

// Endpoints are those of one slice on one node; Node is "" for those on none.
type Endpoints struct {
	Node     string
	Ready    int32
	Draining int32 // they serve what is open, and are about to end
}

// Namespace is a Namespace, trimmed.
type Namespace struct {
	Labels Labels
}

// ServiceFrom trims a Service; nil when it has no address that could be advertised
// (headless, ExternalName, not yet assigned).
func ServiceFrom(in *corev1.Service) *Service {
	if in.Spec.Type == corev1.ServiceTypeExternalName || in.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil // no service proxy serves any address of it
	}
	out := &Service{
		Namespace:     shared(in.Namespace),
		Name:          strings.Clone(in.Name),
		Labels:        LabelsFrom(in.Labels),
		InternalLocal: in.Spec.InternalTrafficPolicy != nil && *in.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal,
		ExternalLocal: in.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
	out.ClusterIPs = out.addresses("clusterIP", clusterIPs(in))
	out.ExternalIPs = out.addresses("externalIP", in.Spec.ExternalIPs)
	if in.Spec.Type == corev1.ServiceTypeLoadBalancer {
		out.LoadBalancerIPs = out.addresses("load balancer IP", ingressIPs(in))
		if in.Spec.LoadBalancerClass != nil {
			out.LoadBalancerClass = shared(*in.Spec.LoadBalancerClass)
		}
		out.HealthCheckNodePort = uint16(in.Spec.HealthCheckNodePort) // the API server keeps it within
	}
	if len(out.ClusterIPs)+len(out.ExternalIPs)+len(out.LoadBalancerIPs)+len(out.Problems) == 0 {
		return nil
	}
	return out
}

func clusterIPs(in *corev1.Service) []string {
	if len(in.Spec.ClusterIPs) == 0 && in.Spec.ClusterIP != "" {
		return []string{in.Spec.ClusterIP}
	}
	return in.Spec.ClusterIPs
}

func ingressIPs(in *corev1.Service) []string {
	var out []string
	for _, point := range in.Status.LoadBalancer.Ingress {
		if point.IPMode == nil || *point.IPMode == corev1.LoadBalancerIPModeVIP {
			out = append(out, point.IP) // "" where it has only a host name
		}
	}
	return out
}

// addresses parses; what is no address is left out and named in Problems.
func (s *Service) addresses(what string, in []string) []netip.Addr {
	var out []netip.Addr
	for _, text := range in {
		if text == corev1.ClusterIPNone || text == "" {
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
			s.Problems = append(s.Problems, fmt.Sprintf("%s %q is not an IP address", what, text))
			continue
		}
		if addr = addr.Unmap(); !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out
}

// SliceFrom trims an EndpointSlice; nil when it is of no Service, or of names and not addresses.
func SliceFrom(in *discoveryv1.EndpointSlice) *EndpointSlice {
	service := in.Labels[discoveryv1.LabelServiceName]
	out := &EndpointSlice{Service: in.Namespace + "/" + service}
	switch in.AddressType {
	case discoveryv1.AddressTypeIPv4:
		out.Family = bgp.IPv4Unicast
	case discoveryv1.AddressTypeIPv6:
		out.Family = bgp.IPv6Unicast
	}
	if service == "" || out.Family == 0 {
		return nil
	}
	for i := range in.Endpoints {
		out.count(&in.Endpoints[i])
	}
	slices.SortFunc(out.Nodes, func(a, b Endpoints) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// APIServersFrom returns the addresses of API servers: those of the ready endpoints of an
// EndpointSlice of their Service; none of any other.
func APIServersFrom(in *discoveryv1.EndpointSlice) []netip.Addr {
	if in.Namespace != APIServerNamespace || in.Labels[discoveryv1.LabelServiceName] != APIServerService {
		return nil
	}
	var out []netip.Addr
	for i := range in.Endpoints {
		e := &in.Endpoints[i]
		if !isReady(e) {
			continue
		}
		for _, text := range e.Addresses {
			if addr, err := netip.ParseAddr(text); err == nil {
				out = append(out, addr.Unmap())
			}
		}
	}
	return out
}

func isReady(e *discoveryv1.Endpoint) bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

func (s *EndpointSlice) count(e *discoveryv1.Endpoint) {
	ready := isReady(e)
	serving := ready
	if e.Conditions.Serving != nil {
		serving = *e.Conditions.Serving
	}
	draining := !ready && serving && e.Conditions.Terminating != nil && *e.Conditions.Terminating
	if !ready && !draining {
		return
	}
	node := ""
	if e.NodeName != nil {
		node = shared(*e.NodeName)
	}
	i := slices.IndexFunc(s.Nodes, func(n Endpoints) bool { return n.Node == node })
	if i < 0 {
		i = len(s.Nodes)
		s.Nodes = append(s.Nodes, Endpoints{Node: node})
	}
	if ready {
		s.Nodes[i].Ready++
	} else {
		s.Nodes[i].Draining++
	}
}

// NamespaceFrom trims a Namespace.
func NamespaceFrom(in metav1.Object) *Namespace {
	return &Namespace{Labels: LabelsFrom(in.GetLabels())}
}
