package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// Said is what becomes of the prefixes of one kind that a BGPAdvertisement says on this node.
type Said struct {
	Advertisement string
	Source        v1alpha1.AdvertisedSource
	Advertised    int // heard by at least one peer whose session is up
	Down          int // meant for peers none of whose sessions is up
	Held              // not announced yet
	// To are those who hear what other nodes tell, where that is the source: how much that is
	// the plan does not know.
	To []string
	// Rejected counts, by reason, the addresses that nobody hears because of a mistake, and the
	// written prefixes that this node does not advertise; nil: none.
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
	source   v1alpha1.AdvertisedSource
}

// groupOf takes what is asked for by several fields as the first of them.
func (a *announcer) groupOf(prefix netip.Prefix, audience *bgp.Audience) group {
	switch {
	case slices.Contains(a.podCIDRs, prefix):
		return group{audience, v1alpha1.AdvertisedFromPodCIDRs}
	case len(a.literals.by[prefix]) > 0:
		return group{audience, v1alpha1.AdvertisedFromPrefixes}
	}
	return group{audience, v1alpha1.AdvertisedFromServices}
}

// sources are the fields that a saying has, in the order of groupOf.
func (s *saying) sources() (out []v1alpha1.AdvertisedSource) {
	if s.spec == nil {
		return nil
	}
	if s.spec.PodCIDRs != nil {
		out = append(out, v1alpha1.AdvertisedFromPodCIDRs)
	}
	if len(s.spec.Prefixes) > 0 {
		out = append(out, v1alpha1.AdvertisedFromPrefixes)
	}
	if s.spec.Services != nil {
		out = append(out, v1alpha1.AdvertisedFromServices)
	}
	return out
}

// groups are all groups of an audience.
func (a *announcer) groups(audience *bgp.Audience) int {
	sum := 0
	for _, source := range toldSources {
		sum += a.tally[group{audience, source}]
	}
	return sum
}

var toldSources = []v1alpha1.AdvertisedSource{v1alpha1.AdvertisedFromPodCIDRs, v1alpha1.AdvertisedFromPrefixes, v1alpha1.AdvertisedFromServices}

// Said counts what each BGPAdvertisement of this node says, sorted; one that says nothing has
// a row too. up tells whether the session with a peer, by name, is established; waiting counts
// prefixes of Services that are not announced yet, by who is to hear them.
func (p *Plan) Said(up func(peer string) bool, waiting map[*bgp.Audience]Held) []Said {
	a := p.announcer
	if a == nil {
		return nil
	}
	type kind struct {
		name   string
		source v1alpha1.AdvertisedSource
	}
	rows := map[kind]*Said{}
	row := func(s saying, source v1alpha1.AdvertisedSource) *Said {
		key := kind{s.ref.Name, source}
		if rows[key] == nil {
			rows[key] = &Said{Advertisement: s.ref.Name, Source: source}
		}
		return rows[key]
	}
	for _, s := range a.sayings {
		for _, source := range s.sources() {
			row(s, source)
		}
	}
	for key, audience := range a.audiences {
		for _, source := range toldSources {
			count, waits := a.tally[group{audience, source}], Held{}
			if count == 0 {
				continue
			}
			if source == v1alpha1.AdvertisedFromServices {
				waits = waiting[audience]
			}
			key.sayings.each(func(index int) {
				if s := a.sayings[index]; s.spec != nil {
					row(s, s.asks(source)).count(count-waits.Waiting, waits, heard(audience, s.to, up))
				}
			})
		}
	}
	for q, count := range a.silent {
		if count > 0 && q.amiss() {
			q.by.each(func(index int) { row(a.sayings[index], v1alpha1.AdvertisedFromServices).reject(q.reason, count) })
		}
	}
	for _, l := range a.literals.silent {
		row(a.sayings[l.saying], v1alpha1.AdvertisedFromPrefixes).reject(l.reason, 1)
	}
	for i := range a.sayings {
		if s := &a.sayings[i]; s.spec != nil && s.spec.FromMesh != nil {
			r := row(*s, v1alpha1.AdvertisedFromTheMesh)
			r.To = a.relayPeers(s)
		}
	}
	out := make([]Said, 0, len(rows))
	for _, r := range rows {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Said) int {
		return cmp.Or(cmp.Compare(a.Advertisement, b.Advertisement), cmp.Compare(a.Source, b.Source))
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

// asks returns the field by which a saying asks for prefixes that somebody asks for by source.
func (s *saying) asks(source v1alpha1.AdvertisedSource) v1alpha1.AdvertisedSource {
	if has := s.sources(); !slices.Contains(has, source) {
		return has[len(has)-1]
	}
	return source
}
