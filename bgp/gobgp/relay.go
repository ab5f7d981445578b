package gobgp

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// What peers within our AS tell is passed on to others as what we originate is told: by a number
// that its paths bear, here from their import on, and one statement of the export policy for each.
// Another audience is another number, so that all of its paths are told, or withdrawn, anew.
//
// Whose next hop may stay is decided on import too. GoBGP looks at the next hop of the new path
// when it asks whether the old one was told, and would withdraw nothing where the new one may not be.

// relayKind tells numbers of relays from marks of other kinds.
const relayKind = 3

// relay is a class of paths that others tell.
type relay struct {
	class
	rules    []bgp.PrefixRule // of the family
	nextHops []netip.Prefix   // in which the next hop has to be, and then stays; none: ours takes its place
}

// key identifies the relay as that of a class does, and by what is passed on.
func (r relay) key(except map[netip.Addr]bool) string {
	return fmt.Sprint(r.class.key(except), r.rules, r.nextHops)
}

// wantedRelay is a relay and those whose paths belong to it, by address.
type wantedRelay struct {
	relay
	from []netip.Addr
}

// relaysOf resolves what is to be passed on, by family. Peers within our AS hear none of it: to
// pass on there what comes from there is reflection.
func relaysOf(w wanted, asn uint32) []wantedRelay {
	var out []wantedRelay
	for _, r := range w.relayed {
		audience := &bgp.Audience{Exports: r.Exports}
		for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
			now := wantedRelay{relay: relay{class: class{family: family, members: w.members(audience, family)}, nextHops: r.NextHops}}
			maps.DeleteFunc(now.members, func(addr netip.Addr, _ member) bool { return w.peers[addr].Internal(asn) })
			for _, rule := range r.Prefixes {
				if bgp.FamilyOf(rule.Prefix.Addr()) == family {
					now.rules = append(now.rules, rule)
				}
			}
			for _, name := range r.From {
				if addr, there := w.byName[name]; there && slices.Contains(w.peers[addr].Families, family) {
					now.from = append(now.from, addr)
				}
			}
			if len(now.members) > 0 && len(now.rules) > 0 && len(now.from) > 0 {
				out = append(out, now)
			}
		}
	}
	return out
}

// numberRelays gives each relay a number, which stays as that of a class does, and tells which
// numbers the paths of a peer may bear.
func numberRelays(old map[int]relay, now []wantedRelay, fresh, gone map[netip.Addr]bool) (map[int]relay, map[netip.Addr][]int) {
	plain := make([]relay, len(now))
	for i, r := range now {
		plain[i] = r.relay
	}
	relays, numbers := assign(old, plain, fresh, gone), map[netip.Addr][]int{}
	out := make(map[int]relay, len(now))
	for i, number := range relays {
		out[number] = now[i].relay
		for _, addr := range now[i].from {
			numbers[addr] = append(numbers[addr], number)
		}
	}
	for _, list := range numbers {
		slices.Sort(list)
	}
	return out, numbers
}

// withRelays returns what is passed on while the speaker goes from p to next.
func (p policy) withRelays(next policy) map[int]relay {
	both := maps.Clone(p.relays)
	if both == nil {
		both = map[int]relay{}
	}
	for number, r := range next.relays {
		r.class = r.with(p.relays[number].class)
		both[number] = r
	}
	return both
}

// importRelays mark what is passed on, and leave to the rules of each peer whether it is let in.
func (b *policyBuilder) importRelays(p policy) []*api.Statement {
	var statements []*api.Statement
	for _, number := range slices.Sorted(maps.Keys(p.relays)) {
		r := p.relays[number]
		var from []netip.Addr
		for _, addr := range sortedAddrs(p.imports) {
			if slices.Contains(p.imports[addr].relays, number) {
				from = append(from, addr)
			}
		}
		prefixes := prefixSet(r.rules, r.family)
		if len(from) == 0 || len(prefixes) == 0 {
			continue
		}
		name := fmt.Sprintf("import-relay-%d", number)
		b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_PREFIX, Name: name, Prefixes: prefixes})
		statements = append(statements, &api.Statement{
			Name: name,
			Conditions: &api.Conditions{
				PrefixSet:     &api.MatchSet{Type: api.MatchSet_ANY, Name: name},
				NeighborSet:   b.neighbors(name, from),
				NextHopInList: texts(r.nextHops),
			},
			Actions: &api.Actions{LargeCommunity: &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: []string{relayMark(number)}}},
		})
	}
	return statements
}

func relayMark(number int) string {
	return fmt.Sprintf("%d:%d:%d", uint32(internalASN), relayKind, number)
}

// exportRelays let the paths that bear the number of a relay through to those who hear it. They come
// before the statements of reflection, which refuse to these peers what is reflected to others.
func (b *policyBuilder) exportRelays(p policy) []*api.Statement {
	hearers := map[netip.Addr]bool{}
	for _, r := range p.relays {
		for addr := range r.members {
			hearers[addr] = true
		}
	}
	if len(hearers) == 0 {
		return nil
	}
	const name = "relay-not-exported" // GoBGP itself takes no notice of these (RFC 1997)
	b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_COMMUNITY, Name: name, List: []string{"^65535:6528[1-3]$"}})
	keep := rejectRoute(name, api.Conditions_ROUTE_TYPE_INTERNAL)
	keep.Conditions.CommunitySet = &api.MatchSet{Type: api.MatchSet_ANY, Name: name}
	keep.Conditions.NeighborSet = b.neighbors(name, sortedAddrs(hearers))
	statements := []*api.Statement{keep}
	for _, number := range slices.Sorted(maps.Keys(p.relays)) {
		r := p.relays[number]
		set := fmt.Sprintf("relay-%d", number)
		groups := groupByExport(r.members)
		if len(groups) > 0 {
			b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_LARGE_COMMUNITY, Name: set, List: []string{relayMark(number)}})
		}
		for i, group := range groups {
			name := fmt.Sprintf("%s-%d", set, i)
			conditions := &api.Conditions{
				NeighborSet:       b.neighbors(name, group.peers),
				RouteType:         api.Conditions_ROUTE_TYPE_INTERNAL,
				LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_ANY, Name: set},
				AfiSafiIn:         []*api.Family{apiFamily(r.family)},
			}
			statements = append(statements, relayStatements(name, conditions, group.member, r, p.asn)...)
		}
	}
	return statements
}

// relayStatements set what the peers are told beside what came with the path. An action either
// takes large communities away, such as ours, or adds some; so adding is a statement by itself.
func relayStatements(name string, conditions *api.Conditions, m member, r relay, asn uint32) []*api.Statement {
	actions := exportActions(m, asn)
	actions.LocalPref, actions.ExtCommunity, actions.LargeCommunity = nil, nil, withoutMarks()
	actions.OriginAction = &api.OriginAction{Origin: api.RouteOriginType_ORIGIN_IGP} // what one reflector has from another bears EGP
	if len(r.nextHops) > 0 {
		actions.Nexthop = &api.NexthopAction{Unchanged: true}
	}
	if actions.Community != nil {
		actions.Community.Type = api.CommunityAction_ADD
	}
	accept := &api.Statement{Name: name, Conditions: conditions, Actions: actions}
	if m.export == nil || len(m.export.LargeCommunities) == 0 {
		return []*api.Statement{accept}
	}
	add := &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: texts(m.export.LargeCommunities)}
	return []*api.Statement{{Name: name + "-large", Conditions: conditions, Actions: &api.Actions{LargeCommunity: add}}, accept}
}

// relaysOn returns the numbers of the relays by which a path is passed on.
func relaysOn(p *api.Path) (numbers []int) {
	for _, packed := range p.GetPattrs() {
		switch packed.MessageName() {
		case "apipb.LargeCommunitiesAttribute":
			var large api.LargeCommunitiesAttribute
			_ = packed.UnmarshalTo(&large) // one that is not what it is called has none
			for _, c := range large.GetCommunities() {
				if c.GetGlobalAdmin() == internalASN && c.GetLocalData1() == relayKind {
					numbers = append(numbers, int(c.GetLocalData2()))
				}
			}
		case "apipb.CommunitiesAttribute":
			var plain api.CommunitiesAttribute
			_ = packed.UnmarshalTo(&plain)
			if slices.ContainsFunc(plain.GetCommunities(), staysHere) {
				return nil
			}
		}
	}
	return numbers
}

// staysHere recognises NO_EXPORT, NO_ADVERTISE and NO_EXPORT_SUBCONFED (RFC 1997).
func staysHere(community uint32) bool { return community >= 0xffffff01 && community <= 0xffffff03 }

// relayedTo returns how many prefixes are passed on to a peer.
func (v *view) relayedTo(addr netip.Addr, family bgp.Family, counts ribCounts) (sum int) {
	for number, r := range v.relays {
		if _, hears := r.members[addr]; hears && r.family == family {
			sum += counts.relays[number]
		}
	}
	return sum
}
