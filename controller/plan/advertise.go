package plan

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
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

func (s sayings) with(index int) sayings {
	b := make([]byte, 0, len(s)+2)
	done := false
	for i := 0; i < len(s); i += 2 {
		have := int(binary.BigEndian.Uint16([]byte(s[i : i+2])))
		if have >= index && !done {
			b, done = binary.BigEndian.AppendUint16(b, uint16(index)), true
		}
		if have != index {
			b = append(b, s[i:i+2]...)
		}
	}
	if !done {
		b = binary.BigEndian.AppendUint16(b, uint16(index))
	}
	return sayings(b)
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
	said      map[netip.Prefix]sayings
	audiences map[audienceKey]*bgp.Audience
	claims    *claims
}

type audienceKey struct {
	sayings sayings
	family  bgp.Family
}

// planAdvertisements fills Desired.Advertisements from the advertisements that select this
// node. Mesh peers always hear the pod CIDRs.
func (b *builder) planAdvertisements() {
	a := &announcer{b: b, said: map[netip.Prefix]sayings{}, audiences: map[audienceKey]*bgp.Audience{}, claims: newClaims(len(b.snap.Services))}
	a.listen()
	a.refuseNoPodCIDR()
	a.podCIDRs = b.ownPodCIDRs()
	a.sayPodCIDRs(func(netip.Prefix) bool { return true })
	for key, service := range b.snap.Services {
		a.refuseProblems(key, service)
		a.claims.replace(nil, service)
		for _, addr := range service.ClusterIPs {
			a.sayService(service, addr)
		}
	}
	b.plan.Desired.Advertisements = make(map[netip.Prefix]*bgp.Audience, len(a.said))
	a.publish()
	b.plan.announcer = a
}

// publish adds all that is said to what is advertised.
func (a *announcer) publish() {
	for prefix, by := range a.said {
		if audience := a.audience(by, bgp.FamilyOf(prefix.Addr())); len(audience.Exports) > 0 {
			a.b.plan.Desired.Advertisements[prefix] = audience
		}
	}
	a.said = nil
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

func (a *announcer) say(prefix netip.Prefix, index int) {
	a.said[prefix] = a.said[prefix].with(index)
}

func (a *announcer) refuseNoPodCIDR() {
	if node := a.b.node; len(node.PodCIDRs) == 0 {
		a.b.refuse(Ref{"Node", node.Name}, "podCIDRs", ReasonNoPodCIDR, "the Node has no podCIDRs, so none is advertised; a controller manager with --allocate-node-cidrs assigns them")
	}
}

// sayPodCIDRs says the node's pod CIDRs among the prefixes that are asked about.
func (a *announcer) sayPodCIDRs(asked func(netip.Prefix) bool) {
	for _, prefix := range a.podCIDRs {
		for i, s := range a.sayings {
			if asked(prefix) && (s.spec == nil || s.spec.PodCIDRs != nil) {
				a.say(prefix, i)
			}
		}
	}
}

func (a *announcer) refuseProblems(key string, service *snapshot.Service) {
	for _, problem := range service.Problems {
		a.b.refuse(Ref{"Service", key}, "", v1alpha1.ReasonInvalid, problem)
	}
}

// sayService says one address of a Service.
func (a *announcer) sayService(service *snapshot.Service, addr netip.Addr) {
	for i, s := range a.sayings {
		if s.spec != nil && advertisesClusterIPs(s.spec, service) {
			a.say(netip.PrefixFrom(addr, addr.BitLen()), i)
		}
	}
}

// advertisesClusterIPs reports whether the advertisement chooses the Service. One that also
// chooses by namespace chooses nothing yet: to leave that out would say more than was asked.
func advertisesClusterIPs(spec *v1alpha1.BGPAdvertisementSpec, service *snapshot.Service) bool {
	return spec.Services != nil && spec.Services.NamespaceSelector == nil &&
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
