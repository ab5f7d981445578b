package gobgp

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/cow"
)

// lastApplied is what the last Apply carried out without a failure.
type lastApplied struct {
	config         bgp.Config
	peers          []bgp.Peer // copies, as a caller may change its own
	stations       []bgp.Station
	listens        []bgp.Listen
	advertisements bgp.Advertisements
	relays         []bgp.Relay
	numbers        map[ofFamily]int // class of each audience that was in use
}

// ofFamily is an audience for the prefixes of one family.
type ofFamily struct {
	audience *bgp.Audience
	family   bgp.Family
}

// applyQuick carries out a change of prefixes alone, for audiences that are there already: a
// Service that comes or goes. It touches nothing but those prefixes. False: the change is
// another one, and nothing has been done.
func (s *Speaker) applyQuick(ctx context.Context, want bgp.Desired) (done bool, err error) {
	last := s.last
	if last == nil || want.Config == nil || *want.Config != last.config || !slices.EqualFunc(last.peers, want.Peers, bgp.Peer.Equal) ||
		!slices.Equal(last.stations, want.Stations) || !slices.Equal(last.listens, want.Listens) || !slices.EqualFunc(last.relays, want.Relays, bgp.Relay.Equal) {
		return false, nil
	}
	set, gone := map[netip.Prefix]int{}, []netip.Prefix(nil)
	for prefix := range cow.Diff(last.advertisements, want.Advertisements) {
		audience, wanted := want.Advertisements.Get(prefix)
		if !wanted {
			gone = append(gone, prefix)
			continue
		}
		number, known := last.numbers[ofFamily{audience, bgp.FamilyOf(prefix.Addr())}]
		if !known || !advertisable(prefix) {
			return false, nil
		}
		set[prefix] = number
	}
	errs := s.changePaths(ctx, set, gone)
	if err = errors.Join(append(errs, ctx.Err())...); err != nil {
		s.last = nil // the next one looks at everything
		return true, err
	}
	s.recount(set, gone, last)
	next := *last
	next.advertisements = want.Advertisements
	s.last = &next
	return true, nil
}

// recount brings the counts of advertised prefixes up to date.
func (s *Speaker) recount(set map[netip.Prefix]int, gone []netip.Prefix, last *lastApplied) {
	v := *s.view.Load()
	advertised := make(map[netip.Addr]map[bgp.Family]int, len(v.advertised))
	for addr, counts := range v.advertised {
		advertised[addr] = maps.Clone(counts)
	}
	count := func(number, by int) {
		c := s.held.policy.classes[number]
		for addr := range c.members {
			if advertised[addr] == nil {
				advertised[addr] = map[bgp.Family]int{}
			}
			advertised[addr][c.family] += by
		}
	}
	before := func(prefix netip.Prefix) {
		if audience, there := last.advertisements.Get(prefix); there {
			count(last.numbers[ofFamily{audience, bgp.FamilyOf(prefix.Addr())}], -1)
		}
	}
	for prefix, number := range set {
		before(prefix)
		count(number, +1)
	}
	for _, prefix := range gone {
		before(prefix)
	}
	v.advertised = advertised
	s.view.Store(&v)
}

// numbersOf returns the class of each audience in use.
func numbersOf(want bgp.Desired, byPrefix map[netip.Prefix]int) map[ofFamily]int {
	out := map[ofFamily]int{}
	for prefix, audience := range want.Advertisements.All() {
		key := ofFamily{audience, bgp.FamilyOf(prefix.Addr())}
		if _, known := out[key]; !known {
			if number, ok := byPrefix[prefix]; ok {
				out[key] = number
			}
		}
	}
	return out
}

// advertisable reports whether the prefix is one that BGP can carry.
func advertisable(prefix netip.Prefix) bool {
	return prefix.IsValid() && prefix == prefix.Masked() && !prefix.Addr().Is4In6()
}
