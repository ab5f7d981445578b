package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/routes"
)

// guard holds against every peer, whatever its import rules say.
func (im *Importer) guard(prefix netip.Prefix) (reason, message string) {
	for _, special := range specialPurpose {
		if within(prefix, special) {
			return ReasonSpecialPurpose, fmt.Sprintf("%s is nothing that is routed (RFC 6890)", special)
		}
	}
	if prefix.IsSingleIP() && im.addresses[prefix.Addr()] {
		return ReasonOwnAddress, "the prefix is an address of this node"
	}
	for _, own := range im.ownPods {
		if within(prefix, own) {
			return ReasonOwnPodCIDR, fmt.Sprintf("the prefix lies inside this node's own pod CIDR %s", own)
		}
	}
	for _, n := range im.networks {
		if within(prefix, n.Prefix) {
			return ReasonConnectedNetwork, fmt.Sprintf("the prefix equals or lies inside the connected network %s", n.Prefix)
		}
	}
	for _, s := range im.services {
		if within(prefix, s) {
			return ReasonServiceRange, fmt.Sprintf("the prefix lies inside the cluster's Service range %s", s)
		}
	}
	for _, p := range im.protected {
		if within(prefix, p) {
			return ReasonProtected, fmt.Sprintf("the prefix lies inside the protected prefix %s", p)
		}
	}
	return "", ""
}

// specialPurpose are ranges of addresses that stay on a link or on a host, or are none of a host.
var specialPurpose = parsePrefixes([]string{
	"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
	"::/128", "::1/128", "fe80::/10", "ff00::/8",
})

// within reports whether inner equals outer or is more specific.
func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// refusePath holds unless an import rule of the peer names the very prefix: what it covers
// would take the whole node along.
func (im *Importer) refusePath(prefix netip.Prefix, p bgp.Path) *Refusal {
	reason, what := im.vitalIn(prefix)
	if reason == "" || slices.Contains(im.named[p.Peer], prefix) {
		return nil
	}
	r := refusalOf(prefix, p, reason, fmt.Sprintf(
		"%s is installed only where an import rule names it: add {prefix: %q} to import.allow of the peer", what, prefix))
	return &r
}

// vitalIn says why the prefix has to be named; "" where it need not.
func (im *Importer) vitalIn(prefix netip.Prefix) (reason, what string) {
	if prefix.Bits() == 0 {
		return ReasonDefaultRoute, "a default route"
	}
	if found := routes.Inside(prefix, im.vital); len(found) > 0 {
		return ReasonCoversHost, fmt.Sprintf("the prefix covers %s, the address of %s, and", found[0], im.vitalAs[found[0]])
	}
	for _, r := range im.nodeRanges {
		if r.Overlaps(prefix) {
			return ReasonCoversHost, fmt.Sprintf("the prefix covers addresses of %s, a range of the nodes, and", r)
		}
	}
	return "", ""
}

// intoItself holds where the next hop, or the session that the path came by, would be
// reached by the very route: it would be gone as soon as the route is there.
func (im *Importer) intoItself(prefix netip.Prefix, p bgp.Path, ways *Ways) *Refusal {
	refused := func(format string, args ...any) *Refusal {
		r := refusalOf(prefix, p, ReasonThroughItself, fmt.Sprintf(format, args...))
		return &r
	}
	nextHop, peer := p.NextHop.WithZone(""), p.PeerAddr.WithZone("")
	if prefix.Contains(nextHop) && im.isRemote(nextHop) {
		return refused("the next hop %s lies inside the prefix itself", nextHop)
	}
	if ways == nil {
		return nil
	}
	if len(ways.caught) > 0 && im.isRemote(nextHop) {
		if other, caught := ways.caught[prefix]; caught {
			return refused("the next hop %s is reached through %s, and that through this prefix", nextHop, other)
		}
	}
	if prefix.Contains(peer) && im.isRemote(peer) {
		if own, ok := ways.own[peer]; !ok || im.beats(prefix, own) {
			return refused("the session with %s, which the prefix came by, would then itself take this route", peer)
		}
	}
	return nil
}
