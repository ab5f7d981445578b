package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// fromMesh is a part of what other nodes tell that BGPAdvertisements pass on.
type fromMesh struct {
	name  string
	asks  func(*v1alpha1.AdvertisedFromMesh) *bool
	rules []bgp.PrefixRule
}

func (k fromMesh) of(spec *v1alpha1.BGPAdvertisementSpec) bool {
	if spec == nil || spec.FromMesh == nil {
		return false
	}
	asks := k.asks(spec.FromMesh)
	return asks != nil && *asks
}

func (b *builder) fromMeshKinds() []fromMesh {
	return []fromMesh{
		{"podCIDRs", func(m *v1alpha1.AdvertisedFromMesh) *bool { return m.PodCIDRs }, b.pods},
		{"services", func(m *v1alpha1.AdvertisedFromMesh) *bool { return m.Services }, b.serviceRules()},
	}
}

// relaysServices reports whether this node passes on addresses of Services that other nodes tell.
func (b *builder) relaysServices() bool {
	for _, ad := range b.plan.Accepted.Advertisements {
		if m := ad.Spec.FromMesh; m != nil && m.Services != nil && *m.Services && selects(ad.Spec.NodeSelector, b.node.Labels) {
			return true
		}
	}
	return false
}

// serviceRules are the prefixes by which addresses of Services are known when another node tells them:
// those in the Service ranges, and in the ranges of a BGPAdvertisement that tells the mesh.
func (b *builder) serviceRules() []bgp.PrefixRule {
	ranges := slices.Clone(b.services)
	for _, ad := range b.plan.Accepted.Advertisements {
		if s := ad.Spec.Services; s != nil && ad.Spec.To.Mesh != nil && *ad.Spec.To.Mesh {
			ranges = append(append(ranges, parsePrefixes(s.LoadBalancerIPRanges)...), parsePrefixes(s.ExternalIPRanges)...)
		}
	}
	rules := make([]bgp.PrefixRule, len(ranges))
	for i, p := range ranges {
		rules[i] = bgp.PrefixRule{Prefix: p, MinLength: uint8(p.Bits()), MaxLength: uint8(p.Addr().BitLen())}
	}
	slices.SortFunc(rules, compareRules)
	return slices.Compact(rules)
}

// heardRelay is what one peer hears of what other nodes tell.
type heardRelay struct {
	by         *saying // the first, which decides whose next hop
	attributes bgp.Attributes
	nextHops   []netip.Prefix // none: ours
}

// key tells apart what cannot be told by one statement.
func (h heardRelay) key() string { return fmt.Sprint(h.nextHops, h.attributes) }

// planRelays fills Desired.Relays: what other nodes tell this one and it tells routers.
func (a *announcer) planRelays() {
	if !slices.ContainsFunc(a.sayings, func(s saying) bool { return s.spec != nil && s.spec.FromMesh != nil }) {
		return
	}
	from := a.b.peersWhere(func(t target) bool { return t.mesh }) // shared by all
	for _, kind := range a.b.fromMeshKinds() {
		for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
			rules := slices.DeleteFunc(slices.Clone(kind.rules), func(r bgp.PrefixRule) bool { return bgp.FamilyOf(r.Prefix.Addr()) != family })
			heard := a.relayedTo(kind, family)
			if len(from) > 0 && len(rules) > 0 {
				a.b.plan.Desired.Relays = append(a.b.plan.Desired.Relays, a.relays(from, rules, heard)...)
			}
		}
		a.refuseUnheard(kind, len(from))
	}
}

// relays groups the peers by what they hear; each hears in one relay.
func (a *announcer) relays(from []string, rules []bgp.PrefixRule, heard map[string]heardRelay) []bgp.Relay {
	byHops, exports := map[string]int{}, map[string]int{}
	var out []bgp.Relay
	for _, t := range a.b.targets { // in a fixed order
		h, hears := heard[t.peer.Name]
		if !hears {
			continue
		}
		hops := fmt.Sprint(h.nextHops)
		i, known := byHops[hops]
		if !known {
			i = len(out)
			byHops[hops] = i
			out = append(out, bgp.Relay{From: from, Prefixes: rules, NextHops: h.nextHops})
		}
		j, known := exports[h.key()]
		if !known {
			j = len(out[i].Exports)
			exports[h.key()] = j
			out[i].Exports = append(out[i].Exports, bgp.Export{Attributes: h.attributes})
		}
		out[i].Exports[j].To = append(out[i].Exports[j].To, t.peer.Name)
	}
	for i := range out {
		for j := range out[i].Exports {
			slices.Sort(out[i].Exports[j].To)
		}
	}
	return out
}

// relayedTo returns who hears a kind of what other nodes tell, by peer. The sayings are in the order
// of their precedence.
func (a *announcer) relayedTo(kind fromMesh, family bgp.Family) map[string]heardRelay {
	heard := map[string]heardRelay{}
	for i := range a.sayings {
		s := &a.sayings[i]
		if !kind.of(s.spec) {
			continue
		}
		for _, t := range a.b.targets {
			if t.mesh || !slices.Contains(s.to, t.peer.Name) || !slices.Contains(t.peer.Families, family) {
				continue
			}
			h, known := heard[t.peer.Name]
			if !known {
				hops, can := a.relayNextHops(s, t, family)
				if !can {
					continue
				}
				h = heardRelay{by: s, nextHops: hops}
			}
			if known && s.keepsNextHop() != h.by.keepsNextHop() {
				a.relayLost = append(a.relayLost, overridden(s.ref, "nextHop", t.peer.Name))
			}
			for _, field := range merge(&h.attributes, s.attributes) {
				a.relayLost = append(a.relayLost, overridden(s.ref, field, t.peer.Name))
			}
			h.attributes.LocalPref = nil // told within an AS only
			heard[t.peer.Name] = h
		}
	}
	return heard
}

func (s *saying) keepsNextHop() bool { return s.spec.NextHop == v1alpha1.NextHopUnchanged }

// relayNextHops returns the networks in which the next hops of other nodes stay, none for our own
// next hop; false where the peer cannot be told, which is then said.
func (a *announcer) relayNextHops(s *saying, t target, family bgp.Family) (networks []netip.Prefix, can bool) {
	refuse := func(subject, reason, message string) { a.b.refuse(s.ref, subject, reason, message) }
	switch {
	case t.peer.Internal(a.b.asn):
		refuse(t.peer.Name, ReasonInternalPeer, "the peer is of our own AS: what one peer there tells is not passed on to another (RFC 4271, section 9.2.1); let it have sessions with the nodes, or make the session external")
		return nil, false
	case t.peer.AddPaths.SendMax > 0:
		refuse(t.peer.Name, ReasonSeveralPaths, "the peer is told several paths (addPaths.sendMax), and would not hear when one is no longer meant for it; leave addPaths.sendMax out")
		return nil, false
	case !s.keepsNextHop():
		return nil, a.b.local.forwards(family) && (t.peer.NextHops.For(family).IsValid() || t.peer.Lends(family))
	}
	if networks = a.b.sharedWith(t.peer, family); len(networks) == 0 {
		refuse(t.peer.Name, ReasonNextHopNotShared, fmt.Sprintf("this node shares no network of %s with the peer, so next hops of other nodes would be off its link; write nextHop: Self", family))
		return nil, false
	}
	if off := a.b.nodesOutside(networks, family); len(off) > 0 {
		refuse(t.peer.Name, ReasonNextHopNotShared, fmt.Sprintf("nothing of %s is told to the peer with its next hop unchanged: not in %s, which this node shares with the peer (RFC 4271, section 5.1.3); "+
			"write nextHop: Self", listed(off), joinedTexts(networks)))
	}
	return networks, true
}

// sharedWith returns the networks of a family that this node shares with a peer; of one that
// is several hops away any.
func (b *builder) sharedWith(peer bgp.Peer, family bgp.Family) (out []netip.Prefix) {
	if peer.EBGPMultihopTTL > 0 || peer.TTLSecurityHops > 1 {
		if family == bgp.IPv4Unicast {
			return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
		}
		return []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	}
	network, onLink := b.networkOf(peer.Address)
	if !onLink {
		return nil
	}
	if bgp.FamilyOf(peer.Address) == family {
		return []netip.Prefix{network.Prefix}
	}
	for _, n := range b.local.Networks { // the same link
		if n.Link == network.Link && bgp.FamilyOf(n.Addr) == family && !n.Addr.IsLinkLocalUnicast() && !n.Prefix.IsSingleIP() {
			out = append(out, n.Prefix)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// nodesOutside names the other nodes of this one's mesh, sorted, whose addresses lie in none of the networks.
func (b *builder) nodesOutside(networks []netip.Prefix, family bgp.Family) (names []string) {
	for name, node := range b.snap.Nodes {
		addr := nodeAddress(node, family)
		if name != b.node.Name && addr.IsValid() && !holds(networks, addr) && b.partOf(node) != (part{}) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refuseUnheard says so where nobody tells this node what it is to pass on.
func (a *announcer) refuseUnheard(kind fromMesh, peers int) {
	for i := range a.sayings {
		if s := &a.sayings[i]; kind.of(s.spec) {
			switch {
			case peers == 0:
				a.b.refuse(s.ref, "fromMesh", ReasonNoMesh, "this node has no sessions with other nodes, so there is nothing of theirs to advertise: give its BGPSpeaker a topology")
			case len(kind.rules) == 0:
				a.b.refuse(s.ref, "fromMesh."+kind.name, v1alpha1.ReasonClusterCIDRsUnknown, "no ranges are known by which to tell what other nodes may have advertised: set cluster.podCIDRs or cluster.serviceCIDRs of the BGPSpeaker")
			}
		}
	}
}

func joinedTexts[T fmt.Stringer](list []T) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return strings.Join(out, " ")
}

func overridden(ref Ref, field, peer string) Refusal {
	return Refusal{ref, field, ReasonOverridden, fmt.Sprintf(
		"another BGPAdvertisement of the same prefixes to %s has a higher precedence, or is older", ObjectOf(peer))}
}

// relayPeers returns those whom a saying has told what other nodes tell, sorted.
func (a *announcer) relayPeers(s *saying) (to []string) {
	for _, r := range a.b.plan.Desired.Relays {
		for _, export := range r.Exports {
			for _, name := range export.To {
				if slices.Contains(s.to, name) {
					to = append(to, name)
				}
			}
		}
	}
	slices.Sort(to)
	return slices.Compact(to)
}
