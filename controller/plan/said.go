package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
)

// Said is what becomes of the prefixes of one kind that a BGPAdvertisement says on this node.
type Said struct {
	Advertisement string
	Pods          bool // the node's pod CIDRs; otherwise addresses of Services
	Advertised    int  // heard by at least one peer whose session is up
	Down          int  // meant for peers none of whose sessions is up
	Held               // not announced yet
	// Rejected counts the addresses that nobody hears because of a mistake, by reason; nil: none.
	Rejected map[string]int
}

// Held counts prefixes of Services that are not announced yet.
type Held struct {
	Waiting int
	Overdue int // of those, the ones that the service proxy has said nothing of for too long
}

// group is prefixes of one kind that are told alike.
type group struct {
	audience *bgp.Audience
	pods     bool
}

func (a *announcer) groupOf(prefix netip.Prefix, audience *bgp.Audience) group {
	return group{audience, slices.Contains(a.podCIDRs, prefix)}
}

// Said counts what each BGPAdvertisement of this node says, sorted; one that says nothing has
// a row too. up tells whether the session with a peer, by name, is established; waiting counts
// prefixes of Services that are not announced yet, by who is to hear them.
func (p *Plan) Said(up func(peer string) bool, waiting map[*bgp.Audience]Held) []Said {
	a := p.announcer
	if a == nil {
		return nil
	}
	type kind struct {
		name string
		pods bool
	}
	rows := map[kind]*Said{}
	row := func(s saying, pods bool) *Said {
		key := kind{s.ref.Name, pods}
		if rows[key] == nil {
			rows[key] = &Said{Advertisement: s.ref.Name, Pods: pods}
		}
		return rows[key]
	}
	for _, s := range a.sayings {
		if s.spec != nil && s.spec.PodCIDRs != nil {
			row(s, true)
		}
		if s.spec != nil && s.spec.Services != nil {
			row(s, false)
		}
	}
	for key, audience := range a.audiences {
		for _, pods := range []bool{true, false} {
			count, waits := a.tally[group{audience, pods}], Held{}
			if count == 0 {
				continue
			}
			if !pods {
				waits = waiting[audience]
			}
			key.sayings.each(func(index int) {
				if s := a.sayings[index]; s.spec != nil {
					row(s, pods).count(count-waits.Waiting, waits, heard(audience, s.to, up))
				}
			})
		}
	}
	for q, count := range a.silent {
		if count > 0 && q.amiss() {
			q.by.each(func(index int) { row(a.sayings[index], false).reject(q.reason, count) })
		}
	}
	out := make([]Said, 0, len(rows))
	for _, r := range rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Said) int {
		return cmp.Or(cmp.Compare(a.Advertisement, b.Advertisement), -cmp.Compare(number(a.Pods), number(b.Pods)))
	})
	return out
}

func (s *Said) count(prefixes int, held Held, heard bool) {
	s.Waiting += held.Waiting
	s.Overdue += held.Overdue
	if heard {
		s.Advertised += prefixes
	} else {
		s.Down += prefixes
	}
}

func (s *Said) reject(reason string, addresses int) {
	if s.Rejected == nil {
		s.Rejected = map[string]int{}
	}
	s.Rejected[reason] += addresses
}

// heard reports whether a peer of the audience that the saying is for has its session up.
func heard(audience *bgp.Audience, to []string, up func(string) bool) bool {
	for _, export := range audience.Exports {
		for _, peer := range export.To {
			if _, meant := slices.BinarySearch(to, peer); meant && up(peer) {
				return true
			}
		}
	}
	return false
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
