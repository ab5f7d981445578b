package plan

import (
	"fmt"
	"net/netip"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// Gateway is a router that a default route points to.
type Gateway struct {
	Addr netip.Addr // with zone when link-local
	Link int        // interface index
}

// planGateways adds a session with each router that the default routes of a family point to.
func (b *builder) planGateways(p *v1alpha1.BGPPeer) {
	ref, family := Ref{"BGPPeer", p.Name}, p.Spec.DefaultGateway.Family
	found := false
	for _, g := range b.local.Gateways {
		if (bgp.FamilyOf(g.Addr) == bgp.IPv4Unicast) != (family == v1alpha1.IPv4) {
			continue
		}
		found = true
		b.planSession(p, g.Addr)
	}
	if !found {
		message := fmt.Sprintf("no %s default route of this node points to a router; routes that Fairway has installed do not count", family)
		b.withhold(p.Name, netip.Addr{}, message)
		b.refuse(ref, "", ReasonNoDefaultGateway, message)
	}
	b.judge(ref, p.Generation, p.NotImplemented())
}

// networkOfGateway stands in for the connected network of a default gateway that is in none, as
// where a route says that it is on-link all the same.
func (b *builder) networkOfGateway(addr netip.Addr) (Network, bool) {
	for _, g := range b.local.Gateways {
		if own := b.addressOn(g.Link, addr.Is4()); g.Addr == addr && own.IsValid() {
			return Network{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Addr: own, Link: g.Link}, true
		}
	}
	return Network{}, false
}
