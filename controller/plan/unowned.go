package plan

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sort"
)

// refuseUnowned fills Unowned, if anything has changed that it is made of.
func (a *announcer) refuseUnowned() {
	if a.regrouped {
		a.b.plan.Unowned, a.regrouped = a.unowned(), false
	}
}

// unowned returns, sorted, what may be refused of the aggregates that are announced: they draw packets for
// addresses that no Service has, and a default route would lead those back to where they came from. Not of
// it is what is known to belong to somebody else. Addresses of Services are: what is left to be
// forwarded to one has not been translated by whoever serves it, and would turn round as well.
func (a *announcer) unowned() []netip.Prefix {
	aggregates := a.aggregates.Map()
	if aggregates.Len() == 0 {
		return nil
	}
	if a.owned == nil {
		a.owned = a.b.ownedBySomebody(maps.Keys(a.literals.by))
	}
	var out []netip.Prefix
	for prefix := range aggregates.Keys() {
		if !a.owned.cover(prefix) {
			out = a.owned.appendWithout(out, prefix)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// noteAggregate keeps what is announced in place of addresses of Services.
func (a *announcer) noteAggregate(prefix netip.Prefix, announced bool) {
	aggregate := announced && !prefix.IsSingleIP() && len(a.members.of(prefix)) > 0
	if _, known := a.aggregates.Get(prefix); known == aggregate {
		return
	}
	a.regrouped = true
	if aggregate {
		a.aggregates.Set(prefix, true)
	} else {
		a.aggregates.Delete(prefix)
	}
}

// ownedBySomebody collects the networks and addresses that packets are rightly forwarded to: pods, nodes,
// connected networks (but for single addresses, which are our own), peers, API servers, what the user
// has said to be protected, what is advertised as it is written, and Services whose addresses are passed on.
func (b *builder) ownedBySomebody(written iter.Seq[netip.Prefix]) *prefixSet {
	all := map[netip.Prefix]bool{}
	host := func(addr netip.Addr) {
		if addr = addr.WithZone(""); addr.IsValid() {
			all[netip.PrefixFrom(addr, addr.BitLen())] = true
		}
	}
	for _, rule := range b.pods {
		all[rule.Prefix.Masked()] = true
	}
	for p := range written {
		all[p] = true
	}
	if b.relaysServices() { // packets for them come here and go on to other nodes
		for _, rule := range b.serviceRules() {
			all[rule.Prefix] = true
		}
	}
	for _, p := range slices.Concat(b.node.PodCIDRs, b.nodeRanges, parsePrefixes(b.speaker.Spec.Kernel.ProtectedPrefixes)) {
		all[p.Masked()] = true
	}
	for _, network := range b.local.Networks {
		if !network.Prefix.IsSingleIP() {
			all[network.Prefix.Masked()] = true
		}
	}
	for addr := range b.nodeAddresses {
		host(addr)
	}
	for _, addr := range b.snap.APIServers {
		host(addr)
	}
	for _, t := range b.targets {
		host(t.peer.Address)
	}
	return newPrefixSet(all)
}

// prefixSet finds the prefixes of a set that overlap another one.
type prefixSet struct {
	all    map[netip.Prefix]bool
	sorted []netip.Prefix
}

func newPrefixSet(all map[netip.Prefix]bool) *prefixSet {
	return &prefixSet{all, slices.SortedFunc(maps.Keys(all), netip.Prefix.Compare)}
}

// cover reports whether one of the set covers the prefix, or is the same.
func (s *prefixSet) cover(prefix netip.Prefix) bool {
	for bits := range prefix.Bits() + 1 {
		if p, err := prefix.Addr().Prefix(bits); err == nil && s.all[p] {
			return true
		}
	}
	return false
}

// within reports whether one of the set lies inside the prefix.
func (s *prefixSet) within(prefix netip.Prefix) bool {
	from := sort.Search(len(s.sorted), func(i int) bool { return s.sorted[i].Addr().Compare(prefix.Addr()) >= 0 })
	for _, p := range s.sorted[from:] {
		if !prefix.Contains(p.Addr()) {
			return false
		}
		if p.Bits() >= prefix.Bits() {
			return true
		}
	}
	return false
}

// appendWithout appends the parts of a prefix that none of the set lies in. None covers the whole.
func (s *prefixSet) appendWithout(out []netip.Prefix, prefix netip.Prefix) []netip.Prefix {
	if s.all[prefix] {
		return out
	}
	if !s.within(prefix) {
		return append(out, prefix)
	}
	bits := prefix.Bits() + 1 // there is a longer one inside
	low := netip.PrefixFrom(prefix.Addr(), bits)
	high := netip.PrefixFrom(lastOf(low).Next(), bits)
	return s.appendWithout(s.appendWithout(out, low), high)
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}
