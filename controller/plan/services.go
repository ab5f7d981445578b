package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// holding is what becomes of one address of Services on this node.
type holding struct {
	by     sayings // who says it
	host   sayings // of those, who says the address itself, and not only an aggregate
	quiet  []quiet // why nobody does, where somebody was to
	claims []claim // those that somebody says or was to say; the others count for nothing
	barred []barred
	// endpoints are those on this node by which it serves the address; 0 where any node serves it alike.
	endpoints int32
}

// barred is a claim that somebody was to say, and nobody may.
type barred struct {
	claim
	reason string
}

// quiet is why those who were to say an address do not.
type quiet struct {
	by     sayings
	reason string
}

// amiss reports whether the reason is a mistake of somebody, and not merely how things stand.
func (q quiet) amiss() bool { return amiss(q.reason) }

func amiss(reason string) bool {
	switch reason {
	case ReasonOutsideRanges, ReasonAddressOfNode, ReasonAddressInPodCIDR, ReasonSpecialPurpose:
		return true
	}
	return false
}

// hold finds out what becomes of an address.
func (a *announcer) hold(addr netip.Addr) holding {
	claims := a.claims.of(addr)
	if len(claims) == 0 {
		return holding{}
	}
	var h holding
	for i := range a.sayings {
		chosen, kept := a.choose(&a.sayings[i], addr, claims)
		h.barred = append(h.barred, kept...)
		switch {
		case len(chosen) > 0:
			h.by = h.by.with(i)
			if !a.sayings[i].aggregates(addr) || slices.ContainsFunc(chosen, claim.local) {
				h.host = h.host.with(i)
			}
			for _, c := range chosen {
				if !slices.Contains(h.claims, c) {
					h.claims = append(h.claims, c)
				}
			}
		case len(kept) > 0:
			h.quiet = append(h.quiet, quiet{sayings("").with(i), firstOf(kept)})
		}
	}
	h.barred = slices.DeleteFunc(h.barred, func(b barred) bool { return slices.Contains(h.claims, b.claim) })
	if h.by == "" {
		return h
	}
	h.quiet = nil
	if reason := a.unserved(addr, h.claims); reason != "" {
		return holding{quiet: []quiet{{h.by, reason}}, claims: h.claims, barred: h.barred}
	}
	h.endpoints = a.endpointsHere(h.claims, bgp.FamilyOf(addr))
	return h
}

// firstOf returns one of the reasons, always the same one.
func firstOf(kept []barred) (reason string) {
	for _, b := range kept {
		reason = first(reason, b.reason)
	}
	return reason
}

// choose returns the claims to the address that a saying chooses, and those it would choose but
// may not say.
func (a *announcer) choose(s *saying, addr netip.Addr, claims []claim) (chosen []claim, kept []barred) {
	if s.spec == nil || s.spec.Services == nil {
		return nil, nil
	}
	for _, c := range claims {
		if !slices.Contains(s.spec.Services.AddressTypes, c.kind) || !s.services.Matches(c.service.Labels) ||
			!a.selectsNamespace(s.namespaces, c.service.Namespace) {
			continue
		}
		if why := a.barred(s, addr, c); why != "" {
			kept = append(kept, barred{c, why})
			continue
		}
		chosen = append(chosen, c)
	}
	return chosen, kept
}

// selectsNamespace reports whether the Services of a namespace are chosen; those of one that is
// not known only where all are.
func (a *announcer) selectsNamespace(selector labels.Selector, name string) bool {
	if selector.Empty() {
		return true
	}
	namespace := a.b.snap.Namespaces[name]
	return namespace != nil && selector.Matches(namespace.Labels)
}

// barred returns why a saying must not say an address, whoever serves it; "" where it may.
func (a *announcer) barred(s *saying, addr netip.Addr, c claim) (reason string) {
	if holds(specialPurpose, addr) {
		return ReasonSpecialPurpose
	}
	switch c.kind {
	case v1alpha1.AddressExternalIP:
		if !holds(s.externalIPRanges, addr) {
			return ReasonOutsideRanges
		}
	case v1alpha1.AddressLoadBalancerIP:
		if class := c.service.LoadBalancerClass; class != "" && class != v1alpha1.LoadBalancerClass {
			return ReasonOtherLoadBalancer
		}
		if len(s.loadBalancerIPRanges) > 0 {
			if !holds(s.loadBalancerIPRanges, addr) {
				return ReasonOutsideRanges
			}
		} else if a.inNodeNetwork(addr) {
			return ReasonOutsideRanges
		}
	}
	if a.b.nodeAddresses[addr] {
		return ReasonAddressOfNode
	}
	if slices.ContainsFunc(a.b.pods, func(r bgp.PrefixRule) bool { return r.Prefix.Contains(addr) }) {
		return ReasonAddressInPodCIDR
	}
	return ""
}

// holds reports whether one of the ranges holds the address.
func holds(ranges []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// inNodeNetwork reports whether the address is one of a network of nodes.
func (a *announcer) inNodeNetwork(addr netip.Addr) bool {
	if _, connected := networkOf(a.b.local.Networks, addr); connected {
		return true
	}
	return holds(a.b.nodeRanges, addr)
}

// unserved returns why an address must not be announced by this node: nothing would answer. ""
// where it is to be.
func (a *announcer) unserved(addr netip.Addr, claims []claim) (reason string) {
	family := bgp.FamilyOf(addr)
	if len(claims) == 1 { // nearly always
		return a.presenceOf(claims[0].service, family).unserved(claims[0].local())
	}
	live := a.live(claims, family)
	if len(live) == 0 {
		return ReasonNoReadyEndpoint
	}
	served := 0
	for _, c := range live {
		if why := a.presenceOf(c.service, family).unserved(c.local()); why == "" {
			served++
		} else {
			reason = first(reason, why)
		}
	}
	switch alike := a.alike(live, family); {
	case served == len(live), alike && served > 0:
		return ""
	case !alike && served > 0 && len(servicesOf(claims)) > 1:
		return ReasonAddressShared
	}
	return reason
}

// first returns one of two reasons, always the same one; "" is none.
func first(a, b string) string {
	if a == "" {
		return b
	}
	return min(a, b)
}

// live returns the claims of Services that some node serves: the others have let go of the address.
func (a *announcer) live(claims []claim, family bgp.Family) []claim {
	return slices.DeleteFunc(slices.Clone(claims), func(c claim) bool { return !a.presenceOf(c.service, family).served(c.local()) })
}

// presence is where the endpoints of a Service are, of one family.
type presence struct {
	ready, readyHere, draining, drainingHere int32
}

func (p presence) any() bool { return p.ready+p.draining > 0 }

// served reports whether any node serves a Service.
func (p presence) served(local bool) bool { return p.ready > 0 || local && p.draining > 0 }

// unserved returns why this node does not serve a Service; "" where it does.
func (p presence) unserved(local bool) (reason string) {
	switch {
	case !local && p.ready > 0, local && p.readyHere > 0:
		return ""
	case local && p.ready == 0 && p.drainingHere > 0:
		return "" // better those that are about to end than none
	case local && p.any():
		return ReasonNoLocalEndpoint
	}
	return ReasonNoReadyEndpoint
}

func (a *announcer) presenceOf(service *snapshot.Service, family bgp.Family) presence {
	var p presence
	for _, slice := range a.slices.of(service.Key()) {
		if slice.Family != family {
			continue
		}
		for _, n := range slice.Nodes {
			p.ready += n.Ready
			p.draining += n.Draining
			if n.Node == a.b.node.Name {
				p.readyHere += n.Ready
				p.drainingHere += n.Draining
			}
		}
	}
	return p
}

// endpointsHere counts this node's endpoints of Services that share an address, together: their
// traffic comes by one route. 0 where one of them is served by any node, for which endpoints here say nothing.
func (a *announcer) endpointsHere(claims []claim, family bgp.Family) int32 {
	var sum int32
	seen := make([]*snapshot.Service, 0, 1)
	for _, c := range claims { // a Service may have the address as two kinds
		p := a.presenceOf(c.service, family)
		switch {
		case !p.served(c.local()):
			continue
		case !c.local():
			return 0
		case slices.Contains(seen, c.service):
			continue
		case p.ready > 0:
			sum += p.readyHere
		default:
			sum += p.drainingHere
		}
		seen = append(seen, c.service)
	}
	return sum
}

// alike reports whether any node that serves one of the live claims serves all of them: all
// leave it to any node, or all to the same ones.
func (a *announcer) alike(claims []claim, family bgp.Family) bool {
	if len(claims) < 2 {
		return true
	}
	local := claims[0].local()
	if slices.ContainsFunc(claims, func(c claim) bool { return c.local() != local }) {
		return false
	}
	if !local {
		return true
	}
	first := a.placement(claims[0].service, family)
	return !slices.ContainsFunc(claims, func(c claim) bool { return a.placement(c.service, family) != first })
}

// placement says on which nodes a Service has endpoints, as text.
func (a *announcer) placement(service *snapshot.Service, family bgp.Family) string {
	ready, draining := map[string]bool{}, map[string]bool{}
	for _, slice := range a.slices.of(service.Key()) {
		for _, n := range slice.Nodes {
			if slice.Family == family && n.Ready > 0 {
				ready[n.Node] = true
			}
			if slice.Family == family && n.Draining > 0 {
				draining[n.Node] = true
			}
		}
	}
	if len(ready) == 0 {
		ready = draining
	}
	return strings.Join(slices.Sorted(maps.Keys(ready)), " ")
}

// refuseAddress tells on each Service that has the address what is wrong with it, if anything is.
func (a *announcer) refuseAddress(addr netip.Addr, h holding) {
	for _, b := range h.barred {
		if amiss(b.reason) {
			a.b.refuse(Ref{"Service", b.service.Key()}, addr.String(), b.reason, a.explain(addr, b.claim, b.reason, nil))
		}
	}
	family, sharers := bgp.FamilyOf(addr), servicesOf(h.claims)
	if len(sharers) < 2 || a.alike(a.live(h.claims, family), family) {
		return
	}
	message := a.explain(addr, claim{}, ReasonAddressShared, sharers)
	for _, service := range sharers {
		a.b.refuse(Ref{"Service", service}, addr.String(), ReasonAddressShared, message)
	}
}

// explain says in words why an address of a Service is not announced, or not everywhere.
func (a *announcer) explain(addr netip.Addr, c claim, reason string, sharers []string) string {
	switch reason {
	case ReasonOutsideRanges:
		if c.kind == v1alpha1.AddressExternalIP {
			return fmt.Sprintf("the external IP %s lies in no range of externalIPRanges of a BGPAdvertisement that chooses the Service, so it is not announced for it: "+
				"who writes a Service could otherwise draw any address to the cluster", addr)
		}
		return fmt.Sprintf("the load balancer IP %s lies in no range of loadBalancerIPRanges of a BGPAdvertisement that chooses the Service, "+
			"or names none and the address lies in a network of nodes, so it is not announced for it", addr)
	case ReasonAddressOfNode:
		return fmt.Sprintf("%s is an address of a node, so it is not announced for the Service; give the Service another", addr)
	case ReasonAddressInPodCIDR:
		return fmt.Sprintf("%s lies inside the pods' networks, so it is not announced for the Service; give the Service another", addr)
	case ReasonSpecialPurpose:
		return fmt.Sprintf("%s is nothing that is routed (RFC 6890), so it is not announced for the Service; give the Service another", addr)
	case ReasonAddressShared:
		return fmt.Sprintf("%s is shared by %s, which differ in their traffic policies or in where their endpoints are, so only nodes that serve all of them announce it",
			addr, listed(sharers))
	case ReasonOtherLoadBalancer:
		return fmt.Sprintf("the Service is of the load balancer class %q, and not %q or none, so its load balancer IPs are another's to announce", c.service.LoadBalancerClass, v1alpha1.LoadBalancerClass)
	case ReasonNoLocalEndpoint:
		return "the traffic policy is Local and this node has no endpoint of the Service"
	case ReasonNoReadyEndpoint:
		return fmt.Sprintf("no endpoint of the Service is ready for %s", bgp.FamilyOf(addr))
	}
	return reason
}

// servicesOf names the Services of claims, sorted.
func servicesOf(claims []claim) []string {
	names := map[string]bool{}
	for _, c := range claims {
		names[c.service.Key()] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// mostListed is how many Services a message names.
const mostListed = 8

func listed(names []string) string {
	if more := len(names) - mostListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), more)
	}
	return strings.Join(names, " and ")
}

// Silence is an address that somebody was to announce, and why this node does not.
type Silence struct {
	Service string // namespace/name
	Address netip.Addr
	Reason  string
	Message string
}

// Silences returns, sorted, the addresses of Services that a BGPAdvertisement chooses and that
// this node does not announce. It looks at all of them: it is for people and tests.
func (p *Plan) Silences() []Silence {
	var out []Silence
	a := p.announcer
	if a == nil {
		return nil
	}
	for addr := range a.quiet.Map().Keys() {
		h := a.hold(addr)
		sharers := servicesOf(h.claims)
		for _, b := range h.barred {
			out = append(out, Silence{b.service.Key(), addr, b.reason, a.explain(addr, b.claim, b.reason, nil)})
		}
		for _, c := range h.claims { // for all of them there is the one reason
			out = append(out, Silence{c.service.Key(), addr, h.quiet[0].reason, a.explain(addr, c, h.quiet[0].reason, sharers)})
		}
	}
	slices.SortFunc(out, func(a, b Silence) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Reason, b.Reason))
	})
	return slices.Compact(out)
}
