package plan

import (
	"encoding/binary"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
	"github.com/fairway-bgp/fairway/cow"
)

// saying is one source of announcements for this node, a BGPAdvertisement or the rule that
// the mesh hears the pod CIDRs, with the peers that hear it.
type saying struct {
	ref  Ref
	spec *v1alpha1.BGPAdvertisementSpec // nil for the rule of the mesh
	to   []string                       // names of peers, of any family

	attributes bgp.Attributes
	// byLocalEndpoints asks for a share of the traffic to what is local, in proportion to endpoints.
	byLocalEndpoints bool

	services, namespaces                   labels.Selector // where there are spec.Services
	externalIPRanges, loadBalancerIPRanges []netip.Prefix
	lengthV4, lengthV6                     int // of the prefixes that stand for addresses
}

// lengthFor returns the length of the prefix that stands for an address.
func (s *saying) lengthFor(addr netip.Addr) int {
	if addr.Is4() {
		return s.lengthV4
	}
	return s.lengthV6
}

// aggregates reports whether a shorter prefix stands for the address.
func (s *saying) aggregates(addr netip.Addr) bool {
	return s.spec != nil && s.spec.Services != nil && s.lengthFor(addr) < addr.BitLen()
}

// sayings is a set of them: their indexes, two bytes each, ascending. Prefixes that are said
// by the same ones have the same audience, which is made once.
type sayings string

// with returns the set with one more, which is greater than all in it.
func (s sayings) with(index int) sayings {
	return sayings(binary.BigEndian.AppendUint16([]byte(s), uint16(index)))
}

func (s sayings) each(do func(index int)) {
	for i := 0; i < len(s); i += 2 {
		do(int(binary.BigEndian.Uint16([]byte(s[i : i+2]))))
	}
}

// announcer collects who says what, and makes audiences of it.
type announcer struct {
	b         *builder
	sayings   []saying
	podCIDRs  []netip.Prefix // this node's, that may be announced
	literals  literals
	claims    index[netip.Addr, claim]
	slices    index[string, *snapshot.EndpointSlice] // by Service
	members   index[netip.Prefix, netip.Addr]        // addresses of Services, by the aggregates that may stand for them
	audiences map[audienceKey]*bgp.Audience
	lost      map[*bgp.Audience][]Refusal // attributes that are overridden in it
	relayLost []Refusal                   // and in what is passed on

	advertised *cow.Draft[netip.Prefix, *bgp.Audience]
	quiet      *cow.Draft[netip.Addr, []quiet]
	said       *cow.Draft[netip.Addr, sayings] // who says an address that lies in an aggregate
	standing   *cow.Draft[standing, int]       // for how many of those an aggregate stands
	tally      map[group]int                   // how many are advertised
	silent     map[quiet]int                   // how many are not

	aggregates *cow.Draft[netip.Prefix, bool] // those of members that are advertised
	regrouped  bool                           // they have changed since unowned looked
	owned      *prefixSet                     // nil until it is needed
}

// standing is an aggregate that a saying says in place of addresses.
type standing struct {
	aggregate netip.Prefix
	saying    int
}

type audienceKey struct {
	sayings   sayings
	family    bgp.Family
	endpoints int32
}

// planAdvertisements fills Desired.Advertisements from the advertisements that select this
// node. Mesh peers always hear the pod CIDRs.
func (b *builder) planAdvertisements() {
	room := 2 * b.snap.Services.Len() // dual-stack
	a := &announcer{
		b:          b,
		claims:     newIndex[netip.Addr, claim](room),
		slices:     newIndex[string, *snapshot.EndpointSlice](b.snap.Slices.Len()),
		members:    newIndex[netip.Prefix, netip.Addr](0),
		audiences:  map[audienceKey]*bgp.Audience{},
		lost:       map[*bgp.Audience][]Refusal{},
		said:       cow.Make[netip.Addr, sayings](0),
		standing:   cow.Make[standing, int](0),
		advertised: cow.Make[netip.Prefix, *bgp.Audience](room),
		quiet:      cow.Make[netip.Addr, []quiet](0),
		tally:      map[group]int{},
		silent:     map[quiet]int{},
		aggregates: cow.Make[netip.Prefix, bool](0),
	}
	a.listen()
	a.refuseNoPodCIDR()
	a.podCIDRs = b.ownPodCIDRs()
	a.listenToPrefixes()
	a.planRelays()
	for _, slice := range b.snap.Slices.All() {
		a.slices.add(slice.Service, slice)
	}
	for key, service := range b.snap.Services.All() {
		a.refuseProblems(key, service)
		for addr, c := range claimsOf(service) {
			a.claims.add(addr, c)
		}
	}
	a.gather(a.claims.Map().Keys(), nil)
	a.decide(slices.Values(a.podCIDRs))
	a.decide(maps.Keys(a.literals.by))
	a.decide(hostRoutes(a.claims.Map().Keys()))
	a.decide(a.members.Map().Keys())
	a.refuseOverridden()
	a.refuseUnowned()
	b.plan.announcer = a
}

// gather brings the members of aggregates up to date: addresses that have come to be claimed, and those
// that nobody claims any more. The list of an aggregate is written once, however many they are.
func (a *announcer) gather(come iter.Seq[netip.Addr], gone map[netip.Addr]bool) {
	more, less := map[netip.Prefix][]netip.Addr{}, map[netip.Prefix]bool{}
	for addr := range come {
		for _, aggregate := range a.aggregatesOf(addr) {
			more[aggregate] = append(more[aggregate], addr)
		}
	}
	for addr := range gone {
		for _, aggregate := range a.aggregatesOf(addr) {
			less[aggregate] = true
		}
	}
	for aggregate := range less {
		left := slices.DeleteFunc(slices.Clone(a.members.of(aggregate)), func(addr netip.Addr) bool { return gone[addr] })
		if len(left) == 0 {
			a.members.Delete(aggregate)
		} else {
			a.members.Set(aggregate, left)
		}
	}
	for aggregate, addrs := range more {
		a.members.Set(aggregate, slices.Concat(a.members.of(aggregate), addrs))
	}
}

// aggregatesOf returns the shorter prefixes that may stand for an address, each once.
func (a *announcer) aggregatesOf(addr netip.Addr) []netip.Prefix {
	var out []netip.Prefix
	for i := range a.sayings {
		if s := &a.sayings[i]; s.aggregates(addr) {
			if p, err := addr.Prefix(s.lengthFor(addr)); err == nil && !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

func hostRoutes(addrs iter.Seq[netip.Addr]) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		addrs(func(addr netip.Addr) bool { return yield(netip.PrefixFrom(addr, addr.BitLen())) })
	}
}

// decide gives prefixes the audience that all who ask for them together ask for.
func (a *announcer) decide(prefixes iter.Seq[netip.Prefix]) {
	for prefix := range prefixes {
		was, _ := a.advertised.Get(prefix)
		is := a.audienceOf(prefix)
		a.noteAggregate(prefix, is != nil)
		if is == was {
			continue
		}
		if was != nil {
			a.tally[a.groupOf(prefix, was)]--
			a.advertised.Delete(prefix)
		}
		if is != nil {
			a.tally[a.groupOf(prefix, is)]++
			a.advertised.Set(prefix, is)
		}
	}
	a.b.plan.Desired.Advertisements = a.advertised.Map()
}

// audienceOf returns who hears a prefix; nil: nobody.
func (a *announcer) audienceOf(prefix netip.Prefix) *bgp.Audience {
	by, endpoints := a.sayingsOf(prefix)
	if by == "" {
		return nil
	}
	family := bgp.FamilyOf(prefix.Addr())
	if !a.b.local.forwards(family) {
		return nil // checkSysctls says so
	}
	if audience := a.audience(by, family, endpoints); len(audience.Exports) > 0 {
		return audience
	}
	return nil
}

// sayingsOf returns who says a prefix, with how many endpoints this node serves it where that
// counts, and notes who should and does not.
func (a *announcer) sayingsOf(prefix netip.Prefix) (by sayings, endpoints int32) {
	says := make([]bool, len(a.sayings))
	if slices.Contains(a.podCIDRs, prefix) {
		for i, s := range a.sayings {
			says[i] = saysPodCIDRs(s.spec)
		}
	}
	if prefix.IsSingleIP() {
		h := a.hold(prefix.Addr())
		a.refuseAddress(prefix.Addr(), h)
		a.note(prefix.Addr(), h.quiet)
		a.stand(prefix.Addr(), h.by)
		h.host.each(func(i int) { says[i] = true })
		endpoints = h.endpoints
	}
	for _, i := range a.literals.by[prefix] {
		says[i] = true
	}
	for i := range says {
		if count, _ := a.standing.Get(standing{prefix, i}); count > 0 {
			says[i] = true
		}
	}
	for i, said := range says {
		if said {
			by = by.with(i)
		}
	}
	return by, endpoints
}

// stand keeps count of the addresses that an aggregate stands for, by who says them. An address
// is decided before what it lies in.
func (a *announcer) stand(addr netip.Addr, by sayings) {
	was, _ := a.said.Get(addr)
	if was == by || !slices.ContainsFunc(a.sayings, func(s saying) bool { return s.aggregates(addr) }) {
		return
	}
	count := func(by sayings, step int) {
		by.each(func(i int) {
			if s := &a.sayings[i]; s.aggregates(addr) {
				aggregate, _ := addr.Prefix(s.lengthFor(addr)) // no longer than the address
				key := standing{aggregate, i}
				n, _ := a.standing.Get(key)
				a.standing.Set(key, n+step)
				if n+step == 0 {
					a.standing.Delete(key)
				}
			}
		})
	}
	count(was, -1)
	count(by, 1)
	a.said.Set(addr, by)
	if by == "" {
		a.said.Delete(addr)
	}
}

// note keeps count of the addresses that nobody says.
func (a *announcer) note(addr netip.Addr, is []quiet) {
	was, _ := a.quiet.Get(addr)
	if slices.Equal(was, is) {
		return
	}
	for _, q := range was {
		a.silent[q]--
	}
	for _, q := range is {
		a.silent[q]++
	}
	if len(is) == 0 {
		a.quiet.Delete(addr)
	} else {
		a.quiet.Set(addr, is)
	}
}

// listen finds the sayings of this node, the rule of the mesh last.
func (a *announcer) listen() {
	for _, ad := range a.b.advertisements() {
		s := saying{
			ref:        Ref{"BGPAdvertisement", ad.Name},
			spec:       &ad.Spec,
			to:         a.b.peersWhere(func(t target) bool { return hears(t, &ad.Spec.To) }),
			attributes: attributesOf(&ad.Spec.Attributes),

			byLocalEndpoints: ad.Spec.Attributes.LinkBandwidth == v1alpha1.LinkBandwidthByLocalEndpoints,
		}
		if services := ad.Spec.Services; services != nil {
			s.services, s.namespaces = selectorOf(services.Selector), selectorOf(services.NamespaceSelector)
			s.externalIPRanges = parsePrefixes(services.ExternalIPRanges)
			s.loadBalancerIPRanges = parsePrefixes(services.LoadBalancerIPRanges)
			s.lengthV4, s.lengthV6 = lengthOf(services.Aggregation.IPv4Length, 32), lengthOf(services.Aggregation.IPv6Length, 128)
		}
		a.sayings = append(a.sayings, s)
	}
	a.sayings = append(a.sayings, saying{to: a.b.peersWhere(func(t target) bool { return t.mesh })})
}

func lengthOf(length *int32, byDefault int) int {
	if length == nil {
		return byDefault
	}
	return int(*length)
}

// peersWhere returns the names of the chosen peers, sorted.
func (b *builder) peersWhere(chosen func(target) bool) []string {
	var names []string
	for _, t := range b.targets {
		if chosen(t) {
			names = append(names, t.peer.Name)
		}
	}
	slices.Sort(names)
	return names
}

func hears(t target, to *v1alpha1.AdvertisementTargets) bool {
	if t.mesh {
		return to.Mesh != nil && *to.Mesh
	}
	return selects(to.PeerSelector, t.labels)
}

func (a *announcer) refuseNoPodCIDR() {
	if node := a.b.node; len(node.PodCIDRs) == 0 {
		a.b.refuse(Ref{"Node", node.Name}, "podCIDRs", ReasonNoPodCIDR, "the Node has no podCIDRs, so none is advertised; a controller manager with --allocate-node-cidrs assigns them")
	}
}

func (a *announcer) refuseProblems(key string, service *snapshot.Service) {
	for _, problem := range service.Problems {
		a.b.refuse(Ref{"Service", key}, "", v1alpha1.ReasonInvalid, problem)
	}
}

// saysPodCIDRs reports whether pod CIDRs are said: by the rule of the mesh they always are.
func saysPodCIDRs(spec *v1alpha1.BGPAdvertisementSpec) bool {
	return spec == nil || spec.PodCIDRs != nil
}

// ObjectOf returns the object that a session, by the name of its peer, belongs to: a BGPPeer's
// name, or "mesh/node".
func ObjectOf(peer string) string {
	if i := strings.LastIndexByte(peer, '/'); i >= 0 {
		return peer[:i]
	}
	return peer
}
