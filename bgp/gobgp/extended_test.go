package gobgp

import (
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestIPv4IsToldWithAnIPv6NextHopToWhoTakesIt(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2), r.peer(3)},
		Advertisements: ads(advertise("10.9.0.0/24", "peer-1", "peer-2", "peer-3"), advertise("2001:db8:9::/48", "peer-1", "peer-2", "peer-3"))}
	for i := range 2 {
		want.Peers[i].NextHops.IPv4, want.Peers[i].ExtendedNextHop = netip.Addr{}, i == 1
	}
	r.apply(want)
	takes, refuses := r.fake(1), r.fake(2)
	takes.extended = true
	one, two, three := r.connect(takes), r.connect(refuses), r.connect(r.fake(3))
	r.hears(one, "2001:db8:9::/48 via 2001:db8::1")
	want.Peers[0].ExtendedNextHop = true // while its session is up
	r.apply(want)
	r.hears(one, "10.9.0.0/24 via 2001:db8::1", "2001:db8:9::/48 via 2001:db8::1")
	r.hears(two, "2001:db8:9::/48 via 2001:db8::2")
	r.hears(three, "10.9.0.0/24 via 192.0.2.3", "2001:db8:9::/48 via 2001:db8::3")
	if !r.session("peer-1").ExtendedNextHop || r.session("peer-2").ExtendedNextHop {
		t.Errorf("sessions %+v, %+v", r.session("peer-1"), r.session("peer-2"))
	}

	// What comes later is told so, too, and what no longer may be is withdrawn.
	want.Advertisements = alsoAds(want.Advertisements, advertise("10.9.1.0/24", "peer-1", "peer-2"))
	r.apply(want)
	r.hears(one, "10.9.0.0/24 via 2001:db8::1", "10.9.1.0/24 via 2001:db8::1", "2001:db8:9::/48 via 2001:db8::1")
	want.Peers[0].ExtendedNextHop = false
	r.apply(want)
	r.hears(one, "2001:db8:9::/48 via 2001:db8::1")
	want.Peers[0].ExtendedNextHop = true
	r.apply(want)
	r.hears(one, "10.9.0.0/24 via 2001:db8::1", "10.9.1.0/24 via 2001:db8::1", "2001:db8:9::/48 via 2001:db8::1")
	r.stillAlive(one, two, three)

	// The next session is another one: its peer may no longer take it.
	one.conn.Close()
	takes.extended = false
	r.hears(r.connect(takes), "2001:db8:9::/48 via 2001:db8::1")
	if two.says() != "2001:db8:9::/48 via 2001:db8::2" {
		t.Errorf("the other heard %s", two.says())
	}
}
