package gobgp

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"
)

// ownAS is what of our own in an AS_PATH makes it a loop (RFC 4271, section 9.1.2).
type ownAS struct {
	local uint32 // the number that this peer sees of us, beside the speaker's; 0: none
	allow uint8  // how often each may stand there
}

// loopStatements refuse what has our own AS in its path too often. GoBGP's own check is out of
// the way: it forgets to withdraw the path that a looping one replaces.
func (b *policyBuilder) loopStatements(p policy) []*api.Statement {
	groups, special := map[ownAS][]netip.Addr{}, []netip.Addr(nil)
	for _, addr := range sortedAddrs(p.imports) {
		if own := p.imports[addr].own; own != (ownAS{}) {
			groups[own] = append(groups[own], addr)
			special = append(special, addr)
		}
	}
	rest := b.loopStatement("import-own-as", p.asn, ownAS{}, nil)
	if len(special) > 0 {
		rest.Conditions.NeighborSet = b.neighbors("own-as-special", special)
		rest.Conditions.NeighborSet.Type = api.MatchSet_INVERT
	}
	statements := []*api.Statement{rest}
	for i, own := range slices.SortedFunc(maps.Keys(groups), func(a, b ownAS) int {
		return cmp.Or(cmp.Compare(a.local, b.local), cmp.Compare(a.allow, b.allow))
	}) {
		statements = append(statements, b.loopStatement(fmt.Sprintf("import-own-as-%d", i), p.asn, own, groups[own]))
	}
	return statements
}

func (b *policyBuilder) loopStatement(name string, asn uint32, own ownAS, peers []netip.Addr) *api.Statement {
	list := []string{tooOften(asn, own.allow)}
	if own.local != 0 && own.local != asn {
		list = append(list, tooOften(own.local, own.allow))
	}
	b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_AS_PATH, Name: name, List: list})
	s := &api.Statement{
		Name:       name,
		Conditions: &api.Conditions{AsPathSet: &api.MatchSet{Type: api.MatchSet_ANY, Name: name}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_REJECT},
	}
	if len(peers) > 0 {
		s.Conditions.NeighborSet = b.neighbors(name, peers)
	}
	return s
}

// tooOften is an expression for paths that hold the number more often than allowed. It is
// written out, and not as _N_, so that it sees into AS_SETs as well.
func tooOften(asn uint32, allow uint8) string {
	const gap = `[,{}() ]`
	text := fmt.Sprintf(`(^|%s)%d`, gap, asn)
	if allow > 0 {
		text += fmt.Sprintf(`(%[1]s(.*%[1]s)?%[2]d){%[3]d}`, gap, asn, allow)
	}
	return text + fmt.Sprintf(`(%s|$)`, gap)
}
