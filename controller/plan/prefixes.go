package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// literals are the prefixes that are advertised as BGPAdvertisements write them.
type literals struct {
	by     map[netip.Prefix][]int // the sayings that say them, ascending
	silent []literal              // those that are written and not said, sorted by saying and as they are written
}

// literal is a prefix that a saying would say.
type literal struct {
	saying  int
	prefix  netip.Prefix
	reason  string
	message string
}

func forced(p v1alpha1.AdvertisedPrefix) bool { return p.Force != nil && *p.Force }

// listenToPrefixes finds out which of the written prefixes are said, and why the others are not.
func (a *announcer) listenToPrefixes() {
	a.literals.by = map[netip.Prefix][]int{}
	var others []*snapshot.Node
	for i := range a.sayings {
		spec := a.sayings[i].spec
		if spec == nil || len(spec.Prefixes) == 0 {
			continue
		}
		if others == nil {
			others = a.b.otherNodes()
		}
		for _, p := range spec.Prefixes {
			prefix, err := netip.ParsePrefix(p.Prefix)
			if err != nil {
				continue // validation has spoken of it
			}
			if reason, message := a.b.mayNotSay(prefix, others); reason != "" {
				a.literals.silent = append(a.literals.silent, literal{i, prefix, reason, message})
				a.b.refuse(a.sayings[i].ref, prefix.String(), reason, message)
				continue
			}
			if !forced(p) && !a.b.local.leadsTo(prefix) {
				a.literals.silent = append(a.literals.silent, literal{i, prefix, v1alpha1.ReasonNoRoute, fmt.Sprintf(
					"this node has no route to exactly %s but what Fairway may have learned: it is advertised once there is one, or with force: true", prefix)})
				continue
			}
			a.literals.by[prefix] = append(a.literals.by[prefix], i)
		}
	}
}

// mayNotSay returns why a prefix is advertised by nobody who writes it down, even by force; "":
// it may be. What covers more than what is named here is left to who writes it.
func (b *builder) mayNotSay(prefix netip.Prefix, others []*snapshot.Node) (reason, message string) {
	if prefix.Bits() == 0 {
		return ReasonDefaultRoute, "a default route is not advertised: a node is no way to everywhere, and every node has one"
	}
	for _, special := range specialPurpose {
		if within(prefix, special) {
			return ReasonSpecialPurpose, fmt.Sprintf("the prefix lies inside %s, which is nothing that is routed (RFC 6890)", special)
		}
	}
	for _, s := range b.services {
		if within(prefix, s) {
			return ReasonServiceRange, fmt.Sprintf("the prefix lies inside the cluster's Service range %s, and its addresses are advertised by where they are served: "+
				"write services with addressTypes, and aggregation for shorter prefixes", s)
		}
	}
	for _, node := range others {
		if prefix.IsSingleIP() && slices.Contains(node.Addresses, prefix.Addr()) {
			return ReasonAddressOfNode, fmt.Sprintf("the prefix is an address of Node %s", node.Name)
		}
		for _, theirs := range node.PodCIDRs {
			if within(prefix, theirs) {
				return ReasonPodCIDROverlap, fmt.Sprintf("the prefix lies inside %s, the pod CIDR of Node %s, which advertises it", theirs, node.Name)
			}
		}
	}
	return "", ""
}

// otherNodes returns all Nodes but this one, sorted by name.
func (b *builder) otherNodes() []*snapshot.Node {
	nodes := make([]*snapshot.Node, 0, len(b.snap.Nodes))
	for _, name := range slices.Sorted(maps.Keys(b.snap.Nodes)) {
		if name != b.node.Name {
			nodes = append(nodes, b.snap.Nodes[name])
		}
	}
	return nodes
}

// leadsTo reports whether this node knows what to do with a prefix: it has a route of exactly
// that prefix which is not one of ours, or it is one of its addresses.
func (l Local) leadsTo(prefix netip.Prefix) bool {
	return slices.Contains(l.Routed, prefix) || prefix.IsSingleIP() && slices.Contains(l.Addresses, prefix.Addr())
}

// silentPrefixes are those that a BGPAdvertisement writes and that this node does not advertise for
// want of a route. That is as it should be where others have one.
func (p *Plan) silentPrefixes() (out []Refusal) {
	if p.announcer == nil {
		return nil
	}
	for _, l := range p.announcer.literals.silent {
		if l.reason == v1alpha1.ReasonNoRoute {
			out = append(out, Refusal{p.announcer.sayings[l.saying].ref, l.prefix.String(), l.reason, l.message})
		}
	}
	return out
}
