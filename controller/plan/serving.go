package plan

import (
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// Readiness is what a node waits for before it announces addresses of Services.
type Readiness struct {
	Delay  time.Duration // from when a prefix becomes one to announce here
	Probes []v1alpha1.ReadinessProbe
	// Addresses are those of the Node: a service proxy may listen on them alone.
	Addresses []netip.Addr
}

// Serving is how this node's service proxy is asked whether it serves what a prefix stands
// for. The zero Serving: it cannot be asked.
type Serving struct {
	Ports []uint16 // healthCheckNodePorts of Services with endpoints here; sorted
	Any   bool     // one of them is enough, as for an aggregate; else all have to say yes
}

// Serving returns how to ask about a prefix. Of one that stands for no address of a Service,
// or is advertised for another reason as well, services is false.
func (p *Plan) Serving(prefix netip.Prefix) (s Serving, services bool) {
	a := p.announcer
	if a == nil || slices.Contains(a.podCIDRs, prefix) || len(a.literals.by[prefix]) > 0 {
		return Serving{}, false
	}
	members := a.members.of(prefix)
	if prefix.IsSingleIP() && len(members) == 0 {
		return Serving{Ports: compact(a.ports(prefix.Addr(), a.hold(prefix.Addr()).claims))}, true
	}
	var ports []uint16
	for _, addr := range members {
		h := a.hold(addr)
		if h.by == "" {
			continue // it is not what the aggregate is announced for
		}
		own := a.ports(addr, h.claims)
		if len(own) == 0 {
			return Serving{}, true // an aggregate is announced once one address in it is
		}
		ports = append(ports, own...)
	}
	return Serving{Ports: compact(ports), Any: true}, true
}

// Handover returns who is to hear an address on that this node gives away: its endpoints here
// are about to end and still serve, and those that are ready are on other nodes, which announce
// it each in its own time. nil: nobody, for the address is announced, or cannot be served here.
func (p *Plan) Handover(prefix netip.Prefix) *bgp.Audience {
	a := p.announcer
	if a == nil || !prefix.IsSingleIP() {
		return nil
	}
	addr, family := prefix.Addr(), bgp.FamilyOf(prefix.Addr())
	if quiet, _ := a.quiet.Get(addr); len(quiet) != 1 || quiet[0].reason != ReasonNoLocalEndpoint || !a.b.local.forwards(family) {
		return nil
	}
	var endpoints int32
	h := a.hold(addr)
	seen := map[*snapshot.Service]bool{} // one may have the address as two kinds
	for _, c := range a.live(h.claims, family) {
		here := a.presenceOf(c.service, family).drainingHere
		if !c.local() || here == 0 {
			return nil
		}
		if !seen[c.service] {
			endpoints += here
		}
		seen[c.service] = true
	}
	if audience := a.audience(h.quiet[0].by, family, endpoints); len(audience.Exports) > 0 {
		return audience
	}
	return nil
}

// Elsewhere reports whether an address is one of Local Services alone, and whether they all
// have ready endpoints on other nodes.
func (p *Plan) Elsewhere(prefix netip.Prefix) (local, ready bool) {
	a := p.announcer
	if a == nil || !prefix.IsSingleIP() {
		return false, false
	}
	family := bgp.FamilyOf(prefix.Addr())
	claims := a.live(a.hold(prefix.Addr()).claims, family) // the others have let go of it
	local, ready = len(claims) > 0, len(claims) > 0
	for _, c := range claims {
		if !c.local() {
			return false, false
		}
		at := a.presenceOf(c.service, family)
		ready = ready && at.ready > at.readyHere
	}
	return local, ready
}

// ports returns the healthCheckNodePorts of the Services that claim an address, as far as they
// count ready endpoints here: of those that are about to end, a service proxy says no.
func (a *announcer) ports(addr netip.Addr, claims []claim) []uint16 {
	var out []uint16
	for _, c := range claims {
		if c.kind == v1alpha1.AddressClusterIP || !c.local() || c.service.HealthCheckNodePort == 0 {
			continue
		}
		if a.presenceOf(c.service, bgp.FamilyOf(addr)).readyHere > 0 {
			out = append(out, c.service.HealthCheckNodePort)
		}
	}
	return out
}

func compact(ports []uint16) []uint16 {
	slices.Sort(ports)
	return slices.Compact(ports)
}

// SaysClusterIPs reports whether a BGPAdvertisement asks for ClusterIPs to be announced here.
func (p *Plan) SaysClusterIPs() bool {
	return p.announcer != nil && slices.ContainsFunc(p.announcer.sayings, func(s saying) bool {
		return s.spec != nil && s.spec.Services != nil && len(s.to) > 0 && slices.Contains(s.spec.Services.AddressTypes, v1alpha1.AddressClusterIP)
	})
}

// OfPods reports whether a prefix lies inside the cluster's networks of pods.
func (p *Plan) OfPods(prefix netip.Prefix) bool {
	return p.announcer != nil && slices.ContainsFunc(p.announcer.b.pods, func(r bgp.PrefixRule) bool { return within(prefix, r.Prefix) })
}

// ServicesAt names the Services for which an address is announced or was to be, sorted.
func (p *Plan) ServicesAt(addr netip.Addr) []string {
	if p.announcer == nil {
		return nil
	}
	return servicesOf(p.announcer.hold(addr).claims)
}
