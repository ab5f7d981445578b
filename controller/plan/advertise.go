package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// audience is who hears an advertisement, per family: names of peers, sorted.
type audience struct {
	ipv4, ipv6 []string
}

func (a audience) of(prefix netip.Prefix) []string {
	if prefix.Addr().Is4() {
		return a.ipv4
	}
	return a.ipv6
}

// audience returns the targets that hear what is chosen, by the families they can be told.
func (b *builder) audience(chosen func(target) bool) audience {
	var a audience
	for _, t := range b.targets {
		if !chosen(t) {
			continue
		}
		for _, f := range t.peer.Families {
			switch {
			case !t.peer.NextHops.For(f).IsValid(): // refused where the next hops were chosen
			case f == bgp.IPv4Unicast:
				a.ipv4 = append(a.ipv4, t.peer.Name)
			default:
				a.ipv6 = append(a.ipv6, t.peer.Name)
			}
		}
	}
	slices.Sort(a.ipv4)
	slices.Sort(a.ipv6)
	return a
}

// hearing is one advertisement that concerns this node, and who hears it.
type hearing struct {
	spec *v1alpha1.BGPAdvertisementSpec
	audience
}

// planAdvertisements fills Desired.Advertisements from the advertisements that select this
// node. Mesh peers always hear the pod CIDRs.
func (b *builder) planAdvertisements() {
	hearings := b.hearings()
	mesh := b.audience(func(t target) bool { return t.mesh })
	said := announcements{}
	if len(b.node.PodCIDRs) == 0 {
		b.refuse(Ref{"Node", b.node.Name}, "podCIDRs", ReasonNoPodCIDR, "the Node has no podCIDRs, so none is advertised; a controller manager with --allocate-node-cidrs assigns them")
	}
	for _, prefix := range b.node.PodCIDRs {
		said.add(prefix, mesh.of(prefix))
		for _, h := range hearings {
			if h.spec.PodCIDRs != nil {
				said.add(prefix, h.of(prefix))
			}
		}
	}
	b.planServices(hearings, said)
	for prefix, to := range said {
		b.plan.Desired.Advertisements = append(b.plan.Desired.Advertisements, bgp.Advertisement{Prefix: prefix, To: to})
	}
}

func (b *builder) hearings() []hearing {
	var out []hearing
	for _, name := range slices.Sorted(maps.Keys(b.snap.Advertisements)) {
		a, ok := usable(b, "BGPAdvertisement", b.snap.Advertisements[name], b.prev.Advertisements)
		if !ok {
			continue
		}
		b.plan.Accepted.Advertisements[name] = a
		if !selects(a.Spec.NodeSelector, b.node.Labels) {
			continue
		}
		b.judgeAdvertisement(a)
		out = append(out, hearing{&a.Spec, b.audience(func(t target) bool { return hears(t, &a.Spec.To) })})
	}
	return out
}

// judgeAdvertisement says of an advertisement which part of it has no effect yet.
func (b *builder) judgeAdvertisement(a *v1alpha1.BGPAdvertisement) {
	ref := Ref{"BGPAdvertisement", a.Name}
	if a.Spec.Services != nil {
		for _, t := range a.Spec.Services.AddressTypes {
			if t != v1alpha1.AddressClusterIP {
				b.verdictIfValid(ref, a.Generation, v1alpha1.ReasonNotImplemented, fmt.Sprintf(
					"services.addressTypes %s is not implemented yet; the rest of the object is at work", t))
			}
		}
	}
	b.verdictIfValid(ref, a.Generation, v1alpha1.ReasonAccepted, "")
}

func hears(t target, to *v1alpha1.AdvertisementTargets) bool {
	if t.mesh {
		return to.Mesh != nil && *to.Mesh
	}
	return selects(to.PeerSelector, t.labels)
}

func (b *builder) planServices(hearings []hearing, said announcements) {
	for key, service := range b.snap.Services {
		for _, problem := range service.Problems {
			b.refuse(Ref{"Service", key}, "", v1alpha1.ReasonInvalid, problem)
		}
		for _, h := range hearings {
			if advertisesClusterIPs(h.spec, service) {
				for _, addr := range service.ClusterIPs {
					prefix := netip.PrefixFrom(addr, addr.BitLen())
					said.add(prefix, h.of(prefix))
				}
			}
		}
	}
}

func advertisesClusterIPs(spec *v1alpha1.BGPAdvertisementSpec, service *snapshot.Service) bool {
	return spec.Services != nil &&
		slices.Contains(spec.Services.AddressTypes, v1alpha1.AddressClusterIP) &&
		selects(spec.Services.Selector, service.Labels)
}

// announcements are the prefixes to say, and to whom. Lists are shared, never changed in place.
type announcements map[netip.Prefix][]string

func (a announcements) add(prefix netip.Prefix, to []string) {
	switch has := a[prefix]; {
	case len(to) == 0:
	case len(has) == 0:
		a[prefix] = to
	default:
		a[prefix] = union(has, to)
	}
}

// union merges two sorted lists; when one holds the other it is returned as it is.
func union(a, b []string) []string {
	if slices.Equal(a, b) {
		return a
	}
	merged := slices.Concat(a, b)
	slices.Sort(merged)
	return slices.Clip(slices.Compact(merged))
}

// PeerObject returns the object that a session belongs to: a BGPPeer's name, or "mesh/node".
func PeerObject(peer bgp.Peer) string {
	return strings.TrimSuffix(peer.Name, "/"+peer.Address.String())
}
