package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// Needs are the facts of the host that only some plans rest on, because to know them takes more than
// a look at the addresses.
type Needs struct {
	Gateways bool
	// Links and Unnumbered are names of links that sessions between link-local addresses go over: with
	// routers of known addresses, and with those that are to be found. Sorted.
	Links, Unnumbered []string
	Routes            []netip.Prefix // sorted: those of which the plan has to know whether others have a route to them
}

// Equal reports whether the two ask for the same.
func (n Needs) Equal(other Needs) bool {
	return n.Gateways == other.Gateways && slices.Equal(n.Links, other.Links) && slices.Equal(n.Unnumbered, other.Unnumbered) && slices.Equal(n.Routes, other.Routes)
}

// NeedsOf returns what a plan for the snapshot after prev, nil at start, may rest on: by an
// object as it is, or as it was when it was last accepted.
func NeedsOf(snap *snapshot.Snapshot, prev *Plan) Needs {
	peers, ads := []map[string]*v1alpha1.BGPPeer{snap.Peers}, []map[string]*v1alpha1.BGPAdvertisement{snap.Advertisements}
	if snap.Fallback != nil {
		peers, ads = append(peers, snap.Fallback.Peers), append(ads, snap.Fallback.Advertisements)
	}
	if prev != nil {
		peers, ads = append(peers, prev.Accepted.Peers), append(ads, prev.Accepted.Advertisements)
	}
	var n Needs
	links, unnumbered := map[string]bool{}, map[string]bool{}
	for _, form := range peers {
		for _, p := range form {
			n.Gateways = n.Gateways || p.Spec.DefaultGateway != nil
			if p.Spec.Interface != "" {
				unnumbered[p.Spec.Interface] = true
			}
			if addr, err := netip.ParseAddr(p.Spec.Address); err == nil && isLinkLocal(addr) && p.Spec.LocalInterface != "" {
				links[p.Spec.LocalInterface] = true
			}
		}
	}
	n.Links, n.Unnumbered = slices.Sorted(maps.Keys(links)), slices.Sorted(maps.Keys(unnumbered))
	prefixes := map[netip.Prefix]bool{}
	for _, form := range ads {
		for _, ad := range form {
			for _, p := range ad.Spec.Prefixes {
				if prefix, err := netip.ParsePrefix(p.Prefix); err == nil && !forced(p) {
					prefixes[prefix.Masked()] = true
				}
			}
		}
	}
	n.Routes = slices.SortedFunc(maps.Keys(prefixes), netip.Prefix.Compare)
	return n
}
