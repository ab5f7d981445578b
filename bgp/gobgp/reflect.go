package gobgp

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

// Route reflection (RFC 4456) without GoBGP's own idea of who is a client.
//
// GoBGP v3 gives ORIGINATOR_ID and CLUSTER_LIST to clients only, and where the best path of a
// prefix changes from one that a non-client may hear to one that it may not, it withdraws
// nothing: two reflectors would keep a prefix alive between them for ever. So every session
// with a cluster ID is one with a client to GoBGP, and who hears what is decided by our export
// policy, whose withdrawals work: a path that a peer tells is marked, on import, with the
// number of what it belongs to. A session that has a cluster ID beforehand need not be reset
// either when we begin to reflect.
//
// Not all sessions within an AS have one: with a client, GoBGP passes on withdrawals of what
// it never told, and at the other end each of those leaves a trace in the Adj-RIB-In for as
// long as the session lives.
//
// GoBGP drops a path with its own CLUSTER_ID in the CLUSTER_LIST only where it would send it on,
// and then forgets to withdraw; so such paths must not be marked. The plan sees to that.

// markKind tells marks from classes.
const markKind = 2

// reflected is what peers of one part tell and we pass on.
type reflected struct {
	from bgp.Reflection
	deaf map[netip.Addr]bool // peers that do not hear it, by address; all others do
}

// imported is what is done with the paths of a peer.
type imported struct {
	rules []bgp.PrefixRule
	// external refuses what comes from our own AS: GoBGP lets a peer in before its number is checked.
	external bool

	own  ownAS
	pref *uint32 // the LOCAL_PREF that they get; nil: what they have
	from bgp.Reflection
	mark int // number of the reflected that they belong to; 0: they are not passed on

	relays []int // numbers of the relays that they may belong to, sorted
}

// numberReflected numbers what is passed on, if anything is. A number stays while, among the
// peers that stay, the same hear it. Otherwise another one takes its place, so that all of its
// paths are told, or withdrawn, anew.
func numberReflected(old map[int]reflected, w wanted, fresh, gone map[netip.Addr]bool) (map[int]reflected, map[bgp.Reflection]int) {
	numbered, numbers := map[int]reflected{}, map[bgp.Reflection]int{}
	for _, from := range []bgp.Reflection{bgp.Client, bgp.NonClient} {
		now, told := reflected{from: from, deaf: map[netip.Addr]bool{}}, false
		for addr, p := range w.peers {
			told = told || p.Reflection == from
			if !p.Reflection.Hears(from) {
				now.deaf[addr] = true
			}
		}
		if !told {
			continue
		}
		number := 0
		for n, before := range old {
			if before.staysAs(now, fresh, gone) {
				number = n
			}
		}
		for n := 1; number == 0; n++ {
			_, inOld := old[n]
			if _, inNew := numbered[n]; !inOld && !inNew {
				number = n
			}
		}
		numbered[number], numbers[from] = now, number
	}
	return numbered, numbers
}

func (r reflected) staysAs(next reflected, fresh, gone map[netip.Addr]bool) bool {
	return r.from == next.from && maps.Equal(without(r.deaf, gone), without(next.deaf, fresh))
}

func without(set, except map[netip.Addr]bool) map[netip.Addr]bool {
	set = maps.Clone(set)
	maps.DeleteFunc(set, func(addr netip.Addr, _ bool) bool { return except[addr] })
	return set
}

// withReflected returns what is passed on while the speaker goes from p to next. Peers of only
// one of the two hear nothing that is numbered by the other alone.
func (p policy) withReflected(next policy) map[int]reflected {
	both := map[int]reflected{}
	add := func(numbered map[int]reflected, strangers map[netip.Addr]imported, known map[netip.Addr]imported) {
		for number, r := range numbered {
			deaf := maps.Clone(r.deaf)
			maps.Copy(deaf, both[number].deaf)
			for addr := range strangers {
				if _, ok := known[addr]; !ok {
					deaf[addr] = true
				}
			}
			both[number] = reflected{from: r.from, deaf: deaf}
		}
	}
	add(p.reflected, next.imports, p.imports)
	add(next.reflected, p.imports, next.imports)
	return both
}

// remarked returns the peers of both policies whose paths get another mark.
func (p policy) remarked(next policy) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for addr, i := range next.imports {
		if was, known := p.imports[addr]; known && (was.mark != i.mark || !slices.Equal(was.relays, i.relays)) {
			out[addr] = true
		}
	}
	return out
}

// unmark takes away what a peer may have put there itself. It is for paths that have such alone: of one that an
// action is for GoBGP keeps a second copy.
func (b *policyBuilder) unmark() *api.Statement {
	const name = "import-unmark"
	marks := withoutMarks()
	b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_LARGE_COMMUNITY, Name: name, List: marks.Communities})
	return &api.Statement{
		Name:       name,
		Conditions: &api.Conditions{LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_ANY, Name: name}},
		Actions:    &api.Actions{LargeCommunity: marks},
	}
}

// withoutMarks removes all large communities that are ours alone.
func withoutMarks() *api.CommunityAction {
	return &api.CommunityAction{Type: api.CommunityAction_REMOVE, Communities: []string{fmt.Sprintf("^%d:", uint32(internalASN))}}
}

func markOf(number int) string {
	return fmt.Sprintf("%d:%d:%d", uint32(internalASN), markKind, number)
}

// marking accepts paths and marks them.
func marking(mark int, pref *uint32) *api.Actions {
	actions := &api.Actions{RouteAction: api.RouteAction_ACCEPT}
	if pref != nil {
		actions.LocalPref = &api.LocalPrefAction{Value: *pref}
	}
	if mark != 0 {
		actions.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_ADD, Communities: []string{markOf(mark)}}
	}
	return actions
}

// passedOn makes a statement for what non-clients have themselves from a client, and pass on
// to us: it counts for less than what the client tells us. GoBGP compares neither ORIGINATOR_IDs
// nor the lengths of CLUSTER_LISTs (RFC 4456, section 9), so that two reflectors could each
// prefer the other's path, withdraw their own, and begin anew. Whatever a node originates has
// the ORIGIN IGP, which exportReflected restores.
func passedOn(s *api.Statement) *api.Statement {
	actions := marking(0, nil)
	actions.LocalPref = s.Actions.LocalPref
	actions.LargeCommunity = s.Actions.LargeCommunity
	actions.OriginAction = &api.OriginAction{Origin: api.RouteOriginType_ORIGIN_EGP}
	return &api.Statement{Name: s.Name + "-passed-on", Conditions: s.Conditions, Actions: actions}
}

// ownOnly makes a statement for what the peers themselves originate: they are its next hop.
func ownOnly(s *api.Statement, peers []netip.Addr) *api.Statement {
	own := &api.Statement{Name: s.Name, Actions: s.Actions, Conditions: &api.Conditions{
		PrefixSet: s.Conditions.PrefixSet, NeighborSet: s.Conditions.NeighborSet,
	}}
	for _, addr := range peers {
		own.Conditions.NextHopInList = append(own.Conditions.NextHopInList, addr.WithZone("").String())
	}
	return own
}

// exportReflected lets the marked paths through as they came. Who must not hear them is named,
// and not who may: these are few, and GoBGP searches such a list from its beginning for every
// path and peer.
func (b *policyBuilder) exportReflected(p policy) []*api.Statement {
	var statements []*api.Statement
	for _, number := range slices.Sorted(maps.Keys(p.reflected)) {
		r := p.reflected[number]
		name := fmt.Sprintf("reflect-%d", number)
		b.sets = append(b.sets, &api.DefinedSet{DefinedType: api.DefinedType_LARGE_COMMUNITY, Name: name, List: []string{markOf(number)}})
		marked := &api.MatchSet{Type: api.MatchSet_ANY, Name: name}
		if len(r.deaf) > 0 {
			statements = append(statements, &api.Statement{
				Name: name + "-deaf",
				Conditions: &api.Conditions{
					LargeCommunitySet: marked,
					NeighborSet:       b.neighbors(name+"-deaf", sortedAddrs(r.deaf)),
				},
				Actions: &api.Actions{RouteAction: api.RouteAction_REJECT},
			})
		}
		actions := &api.Actions{RouteAction: api.RouteAction_ACCEPT, LargeCommunity: withoutMarks()}
		if r.from == bgp.NonClient {
			actions.OriginAction = &api.OriginAction{Origin: api.RouteOriginType_ORIGIN_IGP}
		}
		statements = append(statements, &api.Statement{
			Name:       name,
			Conditions: &api.Conditions{LargeCommunitySet: marked, RouteType: api.Conditions_ROUTE_TYPE_INTERNAL},
			Actions:    actions,
		})
	}
	return statements
}

// checkReflection refuses what GoBGP would take for something else.
func checkReflection(p bgp.Peer) error {
	switch id := p.ClusterID; {
	case id.IsValid() && (!id.Is4() || id.IsUnspecified()):
		return fmt.Errorf("its cluster ID %s is not an IPv4 address in form, other than 0.0.0.0", id)
	case p.Reflection != bgp.NoReflection && !id.IsValid():
		return errors.New("it takes part in route reflection and has no cluster ID")
	case p.Reflection != bgp.NoReflection && p.AddPaths.SendMax > 0:
		// GoBGP tells such a peer nothing of a path that has come to be one that it may not hear, and
		// so withdraws nothing.
		return errors.New("it takes part in route reflection and is told several paths to a prefix")
	}
	return nil
}

// reflectedCounts are how many prefixes are passed on of peers of each part.
type reflectedCounts map[reflectedFamily]int

type reflectedFamily struct {
	from   bgp.Reflection
	family bgp.Family
}

func (v *view) reflectedCounts(counts map[peerFamily]counted) reflectedCounts {
	out := reflectedCounts{}
	for from, c := range counts {
		if part := v.peers[from.addr].Reflection; part != bgp.NoReflection {
			out[reflectedFamily{part, from.family}] += c.best
		}
	}
	return out
}

// to returns how many a peer hears: it is not told again what it told itself.
func (r reflectedCounts) to(p bgp.Peer, family bgp.Family, its counted) int {
	hears := 0
	for _, from := range []bgp.Reflection{bgp.Client, bgp.NonClient} {
		if p.Reflection.Hears(from) {
			hears += r[reflectedFamily{from, family}]
			if p.Reflection == from {
				hears -= its.best
			}
		}
	}
	return hears
}
