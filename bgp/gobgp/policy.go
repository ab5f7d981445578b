package gobgp

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	// internalASN is the first part of the large communities that say which class a path of
	// ours is in. It is reserved (RFC 7300), so no network's communities collide with it. They
	// are stripped on export.
	internalASN = 4294967295
	// classKind tells classes from marks of other kinds.
	classKind = 1

	importPolicy = "fairway-import"
	exportPolicy = "fairway-export"
)

// class is an audience: the peers that hear the paths of one family that bear its number,
// each with the next hop that it is told.
type class struct {
	family  bgp.Family
	members map[netip.Addr]member // by peer address
}

// member is what a peer of a class is told of its paths.
type member struct {
	nextHop    netip.Addr
	localASN   uint32          // as the peer sees us; 0: the speaker's
	attributes string          // text of export, to compare by
	export     *bgp.Attributes // nil: the zero value
}

// policy is all of what GoBGP filters by, as a value. Peer policies work only for route
// servers in GoBGP v3, so there is one for all.
type policy struct {
	asn       uint32
	imports   map[netip.Addr]imported // by peer address
	classes   map[int]class           // by number
	reflected map[int]reflected       // by number
	relays    map[int]relay           // by number
}

// with returns the policy that serves while the speaker goes from p to next: everything that
// either lets through, and where both have something to say about a peer, what next says.
//
// GoBGP withdraws a path of ours that changes its class only if the old class still exists,
// and a soft reset never withdraws at all.
func (p policy) with(next policy) policy {
	both := policy{
		asn: next.asn, imports: maps.Clone(p.imports), classes: make(map[int]class, len(next.classes)),
		reflected: p.withReflected(next), relays: p.withRelays(next),
	}
	if both.imports == nil {
		both.imports = map[netip.Addr]imported{}
	}
	maps.Copy(both.imports, next.imports)
	maps.Copy(both.classes, p.classes)
	for number, c := range next.classes {
		both.classes[number] = c.with(p.classes[number])
	}
	return both
}

// request renders the policy in a canonical order.
func (p policy) request() *api.SetPoliciesRequest {
	var b policyBuilder
	return &api.SetPoliciesRequest{
		Policies: []*api.Policy{
			{Name: importPolicy, Statements: b.importStatements(p)},
			{Name: exportPolicy, Statements: b.exportStatements(p)},
		},
		DefinedSets: b.sets,
	}
}

// policyBuilder collects the sets that the statements refer to.
type policyBuilder struct {
	sets []*api.DefinedSet
}

// importStatements accept our own paths (GoBGP sends them through the import policy too),
// refuse our own AS, and accept what the rules of the peers name.
func (b *policyBuilder) importStatements(p policy) []*api.Statement {
	statements := append([]*api.Statement{{
		Name:       "import-local",
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ACCEPT},
	}}, b.loopStatements(p)...)
	statements = append(append(statements, b.externalStatements(p)...), b.shutdownStatement(), b.unmark())
	statements = append(statements, b.importRelays(p)...)
	for i, group := range groupByRules(p.imports) {
		for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
			prefixes := prefixSet(group.rules, family)
			if len(prefixes) == 0 {
				continue
			}
			name := fmt.Sprintf("import-%d-%s", i, family)
			b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_PREFIX, Name: name, Prefixes: prefixes})
			accept := &api.Statement{
				Name: name,
				Conditions: &api.Conditions{
					PrefixSet:   &api.MatchSet{Type: api.MatchSet_ANY, Name: name},
					NeighborSet: b.neighbors(name, group.peers),
				},
				Actions: marking(group.mark, group.pref),
			}
			if group.from == bgp.NonClient {
				statements = append(statements, ownOnly(accept, group.peers), passedOn(accept))
			} else {
				statements = append(statements, unlessShuttingDown(accept)...)
			}
		}
	}
	return statements
}

// exportStatements accept what is reflected or relayed, and a path of ours for the peers of its class.
func (b *policyBuilder) exportStatements(p policy) []*api.Statement {
	statements := append(append(b.exportRelays(p), b.exportReflected(p)...),
		// Other learned paths would be refused at the end as well, but only after a search
		// through the peers of every class, for every peer.
		rejectRoute("export-internal", api.Conditions_ROUTE_TYPE_INTERNAL),
		rejectRoute("export-external", api.Conditions_ROUTE_TYPE_EXTERNAL),
	)
	for _, number := range slices.Sorted(maps.Keys(p.classes)) {
		c := p.classes[number]
		community := fmt.Sprintf("%d:%d:%d", uint32(internalASN), classKind, number)
		set := fmt.Sprintf("class-%d", number)
		groups := groupByExport(c.members)
		if len(groups) > 0 {
			b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_LARGE_COMMUNITY, Name: set, List: []string{community}})
		}
		for i, group := range groups {
			name := fmt.Sprintf("export-%d-%d", number, i)
			statements = append(statements, &api.Statement{
				Name: name,
				Conditions: &api.Conditions{
					NeighborSet:       b.neighbors(name, group.peers),
					RouteType:         api.Conditions_ROUTE_TYPE_LOCAL,
					LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_ANY, Name: set},
					AfiSafiIn:         []*api.Family{apiFamily(c.family)},
				},
				Actions: exportActions(group.member, p.asn),
			})
		}
	}
	return statements
}

func rejectRoute(name string, kind api.Conditions_RouteType) *api.Statement {
	return &api.Statement{
		Name:       name,
		Conditions: &api.Conditions{RouteType: kind},
		Actions:    &api.Actions{RouteAction: api.RouteAction_REJECT},
	}
}

// neighbors adds a set of peers, never an empty one: GoBGP takes that for all peers.
func (b *policyBuilder) neighbors(name string, peers []netip.Addr) *api.MatchSet {
	list := make([]string, 0, len(peers))
	for _, addr := range peers {
		addr = addr.WithZone("")
		list = append(list, netip.PrefixFrom(addr, addr.BitLen()).String())
	}
	b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_NEIGHBOR, Name: name, List: list})
	return &api.MatchSet{Type: api.MatchSet_ANY, Name: name}
}

// prefixSet renders the rules of one family. GoBGP looks only at the longest prefix of a set
// that covers a route, so a nested prefix repeats what the wider ones allow inside it.
func prefixSet(rules []bgp.PrefixRule, family bgp.Family) []*api.Prefix {
	var set []*api.Prefix
	for _, inner := range rules {
		if bgp.FamilyOf(inner.Prefix.Addr()) != family {
			continue
		}
		for _, outer := range rules {
			if outer.Prefix.Bits() > inner.Prefix.Bits() || !outer.Prefix.Contains(inner.Prefix.Addr()) {
				continue
			}
			low := max(outer.MinLength, uint8(inner.Prefix.Bits()))
			if low > outer.MaxLength {
				continue
			}
			set = append(set, &api.Prefix{
				IpPrefix:      inner.Prefix.String(),
				MaskLengthMin: uint32(low),
				MaskLengthMax: uint32(outer.MaxLength),
			})
		}
	}
	return set
}

// ruleGroup is the peers whose paths are treated alike.
type ruleGroup struct {
	imported
	peers []netip.Addr
}

func groupByRules(imports map[netip.Addr]imported) []ruleGroup {
	var groups []ruleGroup
	index := map[string]int{}
	for _, addr := range sortedAddrs(imports) {
		var key strings.Builder
		fmt.Fprintln(&key, imports[addr].from, imports[addr].mark)
		if pref := imports[addr].pref; pref != nil {
			fmt.Fprintln(&key, *pref)
		}
		for _, r := range imports[addr].rules {
			key.WriteString(r.String())
			key.WriteByte('\n')
		}
		i, known := index[key.String()]
		if !known {
			i = len(groups)
			index[key.String()] = i
			groups = append(groups, ruleGroup{imported: imports[addr]})
		}
		groups[i].peers = append(groups[i].peers, addr)
	}
	return groups
}

// exportActions strip our marks and set what the peers are told.
func exportActions(m member, asn uint32) *api.Actions {
	actions := &api.Actions{
		RouteAction: api.RouteAction_ACCEPT,
		// The marks are the only large communities of a path of ours, so that setting others
		// takes them away.
		LargeCommunity: withoutMarks(),
		Nexthop:        &api.NexthopAction{Address: m.nextHop.String()},
	}
	if m.export == nil {
		return actions
	}
	if large := m.export.LargeCommunities; len(large) > 0 {
		actions.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_REPLACE, Communities: texts(large)}
	}
	if standard := m.export.Communities; len(standard) > 0 {
		actions.Community = &api.CommunityAction{Type: api.CommunityAction_REPLACE, Communities: texts(standard)}
	}
	if m.export.LocalPref != nil {
		actions.LocalPref = &api.LocalPrefAction{Value: *m.export.LocalPref}
	}
	if m.export.MED != nil {
		actions.Med = &api.MedAction{Type: api.MedAction_REPLACE, Value: int64(*m.export.MED)}
	}
	if m.export.Prepend > 0 {
		actions.AsPrepend = &api.AsPrependAction{Asn: cmp.Or(m.localASN, asn), Repeat: uint32(m.export.Prepend)}
	}
	if m.export.LinkBandwidth > 0 {
		// A path of ours has no extended communities of its own: GoBGP could not take one away again
		// but by leaving an empty attribute behind, which is malformed (RFC 7606, section 7.14).
		actions.ExtCommunity = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: []string{linkBandwidth(asn, m.export.LinkBandwidth)}}
	}
	return actions
}

// linkBandwidth renders the extended community. It has room for an AS number of two octets
// only; a longer one becomes AS_TRANS (RFC 6793, section 9).
func linkBandwidth(asn uint32, bandwidth float32) string {
	const asTrans = 23456
	if asn > math.MaxUint16 {
		asn = asTrans
	}
	return fmt.Sprintf("lb:%d:%.0f", asn, bandwidth)
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, c := range list {
		out[i] = c.String()
	}
	return out
}

// exportGroup is the peers of a class that are told the same.
type exportGroup struct {
	member
	peers []netip.Addr
}

func groupByExport(members map[netip.Addr]member) []exportGroup {
	type export struct {
		nextHop    netip.Addr
		localASN   uint32
		attributes string
	}
	index := map[export]int{}
	var groups []exportGroup
	for _, addr := range sortedAddrs(members) {
		m := members[addr]
		i, known := index[export{m.nextHop, m.localASN, m.attributes}]
		if !known {
			i = len(groups)
			index[export{m.nextHop, m.localASN, m.attributes}] = i
			groups = append(groups, exportGroup{member: m})
		}
		groups[i].peers = append(groups[i].peers, addr)
	}
	return groups
}
