package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// Importer turns learned paths into routes, or refuses them. It is a value of its plan:
// another plan has another Importer, and its results for one prefix depend on nothing else.
type Importer struct {
	kernel    Kernel
	networks  []Network
	addresses map[netip.Addr]bool
	ownPods   []netip.Prefix
	services  []netip.Prefix
	protected []netip.Prefix
}

// newImporter captures the guards. The peers' import rules are the speaker's to keep.
func (b *builder) newImporter() *Importer {
	im := &Importer{networks: b.local.Networks, addresses: map[netip.Addr]bool{}, services: b.services, kernel: b.plan.Kernel}
	for _, a := range b.local.Addresses {
		im.addresses[a.WithZone("")] = true
	}
	if b.node != nil {
		im.ownPods = b.node.PodCIDRs
	}
	if b.speaker != nil {
		im.protected = parsePrefixes(b.speaker.Spec.Kernel.ProtectedPrefixes)
	}
	return im
}

// Equal reports whether the two decide alike on every prefix.
func (im *Importer) Equal(other *Importer) bool {
	return reflect.DeepEqual(im, other)
}

// Decision is what becomes of one learned prefix: a route, or refusals, or both where some
// of its paths can be used and others cannot.
type Decision struct {
	Route    *routes.Route
	Refusals []Refusal
}

// Decide returns what becomes of a prefix. A prefix without paths has neither route nor refusals.
func (im *Importer) Decide(c bgp.RIBChange) Decision {
	if len(c.Paths) == 0 || im.kernel == (Kernel{}) { // without a speaker nothing is learned
		return Decision{}
	}
	if reason, message := im.guard(c.Prefix); reason != "" {
		return Decision{Refusals: []Refusal{refusalOf(c.Prefix, c.Paths[0], reason, message)}}
	}
	var d Decision
	var hops []routes.NextHop
	for _, p := range c.Paths {
		hop, reason, message := im.resolve(p)
		if reason != "" {
			d.Refusals = append(d.Refusals, refusalOf(c.Prefix, p, reason, message))
			continue
		}
		hops = append(hops, hop)
	}
	if len(hops) > 0 {
		d.Route = im.route(c.Prefix, hops)
	}
	slices.SortFunc(d.Refusals, func(a, b Refusal) int { return compareRefs(a.Object, b.Object) })
	return d
}

func refusalOf(prefix netip.Prefix, p bgp.Path, reason, message string) Refusal {
	return Refusal{Object: Ref{"Session", p.Peer}, Subject: prefix.String(), Reason: reason, Message: message}
}

// route builds the wanted route from the next hops; the same set of hops gives the same route.
func (im *Importer) route(prefix netip.Prefix, hops []routes.NextHop) *routes.Route {
	slices.SortFunc(hops, func(a, b routes.NextHop) int {
		return cmp.Or(a.Gateway.Compare(b.Gateway), cmp.Compare(a.Link, b.Link))
	})
	hops = slices.Compact(hops)
	if n := im.kernel.MaxPaths; len(hops) > n {
		hops = hops[:n]
	}
	return &routes.Route{Key: im.Key(prefix), NextHops: hops}
}

// guard holds against every peer, whatever its import rules say.
func (im *Importer) guard(prefix netip.Prefix) (reason, message string) {
	if prefix.IsSingleIP() && im.addresses[prefix.Addr()] {
		return ReasonOwnAddress, "the prefix is an address of this node"
	}
	for _, own := range im.ownPods {
		if within(prefix, own) {
			return ReasonOwnPodCIDR, fmt.Sprintf("the prefix lies inside this node's own pod CIDR %s", own)
		}
	}
	for _, n := range im.networks {
		if within(prefix, n.Prefix) {
			return ReasonConnectedNetwork, fmt.Sprintf("the prefix equals or lies inside the connected network %s", n.Prefix)
		}
	}
	for _, s := range im.services {
		if within(prefix, s) {
			return ReasonServiceRange, fmt.Sprintf("the prefix lies inside the cluster's Service range %s", s)
		}
	}
	for _, p := range im.protected {
		if within(prefix, p) {
			return ReasonProtected, fmt.Sprintf("the prefix lies inside the protected prefix %s", p)
		}
	}
	return "", ""
}

// within reports whether inner equals outer or is more specific.
func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// resolve turns the next hop of one path into a way out of the node.
func (im *Importer) resolve(p bgp.Path) (hop routes.NextHop, reason, message string) {
	plain := p.NextHop.WithZone("")
	if im.addresses[plain] {
		return hop, ReasonNextHopIsSelf, fmt.Sprintf("the next hop %s is an address of this node", p.NextHop)
	}
	network, ok := networkOf(im.networks, p.NextHop)
	if !ok {
		return hop, ReasonNextHopNotOnLink, fmt.Sprintf("the next hop %s is on none of this node's connected networks", p.NextHop)
	}
	return routes.NextHop{Gateway: plain, Link: network.Link, Weight: 1}, "", ""
}

// Key returns the key under which a learned prefix stands in the kernel.
func (im *Importer) Key(prefix netip.Prefix) routes.Key {
	return routes.Key{Table: im.kernel.Table, Prefix: prefix, Metric: im.kernel.Metric}
}
