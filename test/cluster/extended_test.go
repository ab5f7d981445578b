package cluster

import (
	"errors"
	"testing"
)

// TestIPv4OverIPv6NextHops has a router by its global IPv6 address on a link without IPv4: FRR takes
// IPv4 prefixes with IPv6 next hops once it has said so (RFC 8950), and is told none before.
func TestIPv4OverIPv6NextHops(t *testing.T) {
	const neighbor = "2001:db8::b remote-as external"
	u := newUnnumberedRig(t, neighbor)
	u.run(u.n.Host, "ip addr add 2001:db8::b/64 dev tor nodad")
	u.run(u.tor.Host, "ip addr add 2001:db8::1/64 dev node-1 nodad")
	u.configure("router bgp 65001\n no neighbor 2001:db8::b capability extended-nexthop\n")
	u.start(`address: "2001:db8::1", extendedNextHop: true`)
	u.eventually(func() error {
		return errors.Join(leads(u, u.n.Host, "fd00:10:244:100::/64", "2001:db8::1"), leads(u, u.tor.Host, "fd00:10:244:1::/64", "2001:db8::b"),
			u.n.says("BGPNodeState_node-1", "nothing of IPv4Unicast is advertised to 2001:db8::1", "does not take IPv6 next hops for IPv4"))
	})
	there := func() error { return leads(u, u.n.Host, "10.244.100.0/24", "2001:db8::1") }
	here := func() error { return leads(u, u.tor.Host, "10.244.1.0/24", "2001:db8::b") }
	if there() == nil || here() == nil {
		t.Error("IPv4 is routed over IPv6 before the router takes such next hops")
	}

	u.configure("router bgp 65001\n neighbor 2001:db8::b capability extended-nexthop\n")
	u.eventually(func() error { return errors.Join(there(), here()) })
	u.eventually(func() error {
		_, err := u.n.Run(t.Context(), "ping", "-n", "-q", "-c1", "-W1", "-I", "10.244.1.1", "10.244.100.1")
		return err
	})
}

// TestGatewaysOfRouterAdvertisements has the node's kernel take its default route from the router's own
// advertisements, which name a link-local address, and lose it again.
func TestGatewaysOfRouterAdvertisements(t *testing.T) {
	u := newUnnumberedRig(t, "fe80::b remote-as external\n neighbor fe80::b interface node-1")
	u.run(u.n.Host, "sysctl -q -w net.ipv6.conf.tor.accept_ra=2") // though it forwards
	u.start("defaultGateway: {family: IPv6}, extendedNextHop: true")
	none := func() error { return u.n.says("BGPNodeState_node-1", "NoDefaultGateway", "no IPv6 default route") }
	u.eventually(none)
	u.configure("interface node-1\n no ipv6 nd suppress-ra\n ipv6 nd ra-interval 3\n ipv6 nd ra-lifetime 9\n")
	u.eventually(func() error { return u.through(u.tor, "fe80::1") })
	u.configure("interface node-1\n ipv6 nd ra-lifetime 0\n")
	u.eventually(func() error { return errors.Join(none(), u.n.established(0)) })
}

func (u *unnumberedRig) configure(lines string) {
	u.t.Helper()
	if err := u.tor.Configure(u.t.Context(), lines); err != nil {
		u.t.Fatal(err)
	}
}
