package plan

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

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
	claims    claims
	audiences map[audienceKey]*bgp.Audience

	advertised *cow.Draft[netip.Prefix, *bgp.Audience]
	tally      map[group]int // how many are advertised
}

type audienceKey struct {
	sayings sayings
	family  bgp.Family
}

// planAdvertisements fills Desired.Advertisements from the advertisements that select this
// node. Mesh peers always hear the pod CIDRs.
func (b *builder) planAdvertisements() {
	room := 2 * b.snap.Services.Len() // dual-stack
	a := &announcer{
		b:          b,
		claims:     claims{cow.Make[netip.Prefix, []*snapshot.Service](room)},
		audiences:  map[audienceKey]*bgp.Audience{},
		advertised: cow.Make[netip.Prefix, *bgp.Audience](room),
		tally:      map[group]int{},
	}
	a.listen()
	a.refuseNoPodCIDR()
	a.podCIDRs = b.ownPodCIDRs()
	for key, service := range b.snap.Services.All() {
		a.refuseProblems(key, service)
		for prefix := range prefixesOf(service) {
			a.claims.add(prefix, service)
		}
	}
	a.decide(slices.Values(a.podCIDRs))
	a.decide(a.claims.Map().Keys())
	b.plan.announcer = a
}

// decide gives prefixes the audience that all who ask for them together ask for.
func (a *announcer) decide(prefixes iter.Seq[netip.Prefix]) {
	for prefix := range prefixes {
		was, _ := a.advertised.Get(prefix)
		is := a.audienceOf(prefix)
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
	by := a.sayingsOf(prefix)
	if by == "" {
		return nil
	}
	family := bgp.FamilyOf(prefix.Addr())
	if !a.b.local.forwards(family) {
		return nil // checkSysctls says so
	}
	if audience := a.audience(by, family); len(audience.Exports) > 0 {
		return audience
	}
	return nil
}

// sayingsOf returns who says a prefix.
func (a *announcer) sayingsOf(prefix netip.Prefix) (by sayings) {
	services, _ := a.claims.Get(prefix)
	pods := slices.Contains(a.podCIDRs, prefix)
	for i, s := range a.sayings {
		saysIt := func(service *snapshot.Service) bool { return saysClusterIPs(s.spec, service) }
		if pods && saysPodCIDRs(s.spec) || slices.ContainsFunc(services, saysIt) {
			by = by.with(i)
		}
	}
	return by
}

// listen finds the sayings of this node, the rule of the mesh last.
func (a *announcer) listen() {
	for _, ad := range a.b.advertisements() {
		a.sayings = append(a.sayings, saying{
			ref:        Ref{"BGPAdvertisement", ad.Name},
			spec:       &ad.Spec,
			to:         a.b.peersWhere(func(t target) bool { return hears(t, &ad.Spec.To) }),
			attributes: attributesOf(&ad.Spec.Attributes),
		})
	}
	a.sayings = append(a.sayings, saying{to: a.b.peersWhere(func(t target) bool { return t.mesh })})
}

// advertisements returns the usable ones that select this node, the highest precedence first,
// then the oldest.
func (b *builder) advertisements() []*v1alpha1.BGPAdvertisement {
	var out []*v1alpha1.BGPAdvertisement
	for _, name := range slices.Sorted(maps.Keys(b.snap.Advertisements)) {
		ad, ok := usable(b, "BGPAdvertisement", b.snap.Advertisements[name], b.prev.Advertisements, b.fallback.Advertisements)
		if !ok {
			continue
		}
		b.plan.Accepted.Advertisements[name] = ad
		if selects(ad.Spec.NodeSelector, b.node.Labels) {
			b.judge(Ref{"BGPAdvertisement", ad.Name}, ad.Generation, ad.NotImplemented())
			out = append(out, ad)
		}
	}
	oldestFirst(out)
	slices.SortStableFunc(out, func(a, b *v1alpha1.BGPAdvertisement) int {
		return cmp.Compare(precedence(b), precedence(a))
	})
	return out
}

func precedence(a *v1alpha1.BGPAdvertisement) int32 {
	if a.Spec.Precedence == nil {
		return 0
	}
	return *a.Spec.Precedence
}

// judge accepts an object, or names the fields of it that have no effect yet.
func (b *builder) judge(ref Ref, generation int64, without []string) {
	if len(without) > 0 {
		b.verdictIfValid(ref, generation, v1alpha1.ReasonNotImplemented, fmt.Sprintf(
			"not implemented yet: %s; the rest of the object is at work", strings.Join(without, ", ")))
	}
	b.verdictIfValid(ref, generation, v1alpha1.ReasonAccepted, "")
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

// prefixesOf yields what a Service may be advertised by; nothing of none.
func prefixesOf(service *snapshot.Service) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if service == nil {
			return
		}
		for _, addr := range service.ClusterIPs {
			if !yield(netip.PrefixFrom(addr, addr.BitLen())) {
				return
			}
		}
	}
}

// saysPodCIDRs reports whether pod CIDRs are said: by the rule of the mesh they always are.
func saysPodCIDRs(spec *v1alpha1.BGPAdvertisementSpec) bool {
	return spec == nil || spec.PodCIDRs != nil
}

// saysClusterIPs reports whether the advertisement chooses the Service. One that also
// chooses by namespace chooses nothing yet: to leave that out would say more than was asked.
func saysClusterIPs(spec *v1alpha1.BGPAdvertisementSpec, service *snapshot.Service) bool {
	return spec != nil && spec.Services != nil && spec.Services.NamespaceSelector == nil &&
		slices.Contains(spec.Services.AddressTypes, v1alpha1.AddressClusterIP) &&
		selects(spec.Services.Selector, service.Labels)
}

// ObjectOf returns the object that a session, by the name of its peer, belongs to: a BGPPeer's
// name, or "mesh/node".
func ObjectOf(peer string) string {
	if i := strings.LastIndexByte(peer, '/'); i >= 0 {
		return peer[:i]
	}
	return peer
}
