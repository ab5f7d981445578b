package plan

import (
	"fmt"
	"net/netip"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// Link is a link as sessions between link-local addresses need it.
type Link struct {
	Index int
	// Addr is our own link-local address there, without zone; the zero Addr: none that lasts.
	Addr netip.Addr
	// Routers are those that advertise themselves there, without zone, in the order of preference;
	// Problem says why none can be heard. Both are of links that Needs.Unnumbered names.
	Routers []netip.Addr
	Problem string
}

// isLinkLocal reports whether an address means nothing without a link.
func isLinkLocal(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }

// zoned puts a fixed link-local address on the link that localInterface names.
func zoned(p *v1alpha1.BGPPeer, addr netip.Addr) netip.Addr {
	if isLinkLocal(addr) {
		return addr.WithZone(p.Spec.LocalInterface)
	}
	return addr
}

// planInterface adds the session with the router at the other end of a link.
func (b *builder) planInterface(p *v1alpha1.BGPPeer) {
	ref, name := Ref{"BGPPeer", p.Name}, p.Spec.Interface
	link := b.local.Links[name]
	switch reason, message := b.noRouter(name); {
	case reason != "":
		b.withhold(p.Name, netip.Addr{}, message)
		b.refuse(ref, name, reason, message)
	default:
		if len(link.Routers) > 1 {
			b.refuse(ref, name, ReasonSeveralRouters, fmt.Sprintf(
				"%d routers advertise themselves over %s, and the session is with %s: a default router before others, then the least address; put one router on the link, or name each by address with localInterface",
				len(link.Routers), name, link.Routers[0]))
		}
		b.planSession(p, link.Routers[0].WithZone(name))
	}
	b.judge(ref, p.Generation, p.NotImplemented())
}

// noRouter says why no router is known at the other end of a link; "" when one is.
func (b *builder) noRouter(name string) (reason, message string) {
	link, known := b.local.Links[name]
	switch {
	case !known:
		return ReasonNoInterface, fmt.Sprintf("there is no interface %s on this node; narrow the nodeSelector where that is meant to be so", name)
	case b.local.LinksDown[link.Index]:
		return ReasonLinkDown, fmt.Sprintf("the interface %s has no carrier", name)
	case !link.Addr.IsValid():
		return v1alpha1.ReasonNoAddress, fmt.Sprintf("the interface %s of this node has no IPv6 link-local address: set it up, and leave IPv6 on", name)
	case len(link.Routers) > 0:
		return "", ""
	case link.Problem != "":
		return ReasonNoRouter, link.Problem
	}
	return ReasonNoRouter, fmt.Sprintf("no router has sent a router advertisement over %s: have the router send them on that link, as FRR does for 'neighbor IF interface'", name)
}

// linkFails says why no session over link-local addresses can be had with the address; "" when it can.
func (b *builder) linkFails(p *v1alpha1.BGPPeer, addr netip.Addr) (reason, message string) {
	link, known := b.local.Links[addr.Zone()]
	switch {
	case addr.Zone() == "":
		return v1alpha1.ReasonInvalid, fmt.Sprintf("%s is a link-local address, which is one of a link: write the interface that leads there as localInterface", addr)
	case p.Spec.ListenRange != "":
		return v1alpha1.ReasonNotImplemented, fmt.Sprintf("%s is a link-local address; routers inside a listenRange that have one are not spoken to: name the router by interface, or by address and localInterface", addr)
	case !known:
		return v1alpha1.ReasonNoAddress, fmt.Sprintf("there is no interface %s on this node", addr.Zone())
	case !link.Addr.IsValid():
		return v1alpha1.ReasonNoAddress, fmt.Sprintf("the interface %s of this node has no IPv6 link-local address: set it up, and leave IPv6 on", addr.Zone())
	case p.Spec.LocalAddress != "":
		return v1alpha1.ReasonInvalid, fmt.Sprintf("%s is a link-local address, with which the source address is that of the link: leave localAddress out", addr)
	case p.Spec.PasswordSecretRef != nil:
		return v1alpha1.ReasonInvalid, fmt.Sprintf("a password does not work with the link-local address %s: GoBGP v3 would ignore it; have the router reached by a global or unique-local address, or leave the password out", addr)
	}
	return "", ""
}

// twin says that a link-local address is that of a router on another link as well; "" when it is not.
func (b *builder) twin(addr netip.Addr) (reason, message string) {
	for _, t := range b.targets {
		if isLinkLocal(addr) && t.peer.Address.WithZone("") == addr.WithZone("") {
			return v1alpha1.ReasonConflicted, fmt.Sprintf("%s has the address that the router of %s has on another link, %s, and GoBGP v3 cannot tell the two apart: "+
				"give the router another link-local address on one of them", addr, t.ref, t.peer.Address.Zone())
		}
	}
	return "", ""
}

// networkOver is the link-local network of a link, as a session with a router in it needs it.
func (b *builder) networkOver(zone string) (Network, bool) {
	link, known := b.local.Links[zone]
	if !known || zone == "" {
		return Network{}, false
	}
	return Network{Prefix: linkLocalNetwork, Addr: link.Addr, Link: link.Index}, true
}

var linkLocalNetwork = netip.MustParsePrefix("fe80::/64")

// nextHopsOverLink chooses what a router is told with which we speak between link-local addresses: our
// lasting addresses on the link, and in IPv6 the link-local one where that is all.
func (b *builder) nextHopsOverLink(network Network) bgp.NextHops {
	hops := bgp.NextHops{IPv4: b.addressOn(network.Link, true), IPv6: b.addressOn(network.Link, false)}
	if !hops.IPv6.IsValid() {
		hops.IPv6 = network.Addr
	}
	return hops
}

// meant returns a path with the next hop that is meant. Over a link a router tells a global next hop and
// behind it a link-local one (RFC 2545, section 3), which GoBGP v3 loses. Where the global one is on none of our
// networks it is the router's at the other end, or behind it.
func (im *Importer) meant(p bgp.Path) bgp.Path {
	if isLinkLocal(p.PeerAddr) && p.NextHop.Is6() && p.NextHop.IsGlobalUnicast() && im.isRemote(p.NextHop) {
		p.NextHop = p.PeerAddr
	}
	return p
}

// linkOf returns the link of a link-local next hop: that of the session that told it.
func (im *Importer) linkOf(p bgp.Path) (link int, reason, message string) {
	zone := p.NextHop.Zone()
	own, known := im.links[zone]
	if zone == "" {
		network, onLink := networkOf(im.networks, p.PeerAddr)
		own, known = Link{Index: network.Link}, onLink
	}
	switch {
	case !known:
		return 0, ReasonNextHopUnreachable, fmt.Sprintf("the next hop %s is link-local, and its link is not known", p.NextHop)
	case own.Addr.IsValid() && own.Addr == p.NextHop.WithZone(""):
		return 0, ReasonNextHopIsSelf, fmt.Sprintf("the next hop %s is an address of this node", p.NextHop)
	}
	return own.Index, "", ""
}
