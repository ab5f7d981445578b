package cluster

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

// Somebody else holds a key of ours, or takes our routes away as fast as they come back: the
// node's state says so, and who it is as far as the kernel tells; no other route suffers, and
// all is well once they stop.
func TestRoutesThatOthersFightForAreNamed(t *testing.T) {
	r, n, dir, start := dirRig(t)
	write(t, dir, "router.yaml", strings.Replace(peerManifest, "asn: 65001,", "asn: 65001, import: {allow: [{prefix: 10.244.0.0/16, minLength: 24, maxLength: 24}]},", 1))
	const foreign = "10.244.201.0/24 via 192.0.2.99 dev lan metric 2048 proto static"
	if _, err := n.run("sh", "-c", "ip route add "+foreign); err != nil {
		t.Fatal(err)
	}
	if err := r.router.Configure(t.Context(), `router bgp 65001
 address-family ipv4 unicast
  network 10.244.200.0/24
  network 10.244.201.0/24
  network 10.244.202.0/24
`); err != nil {
		t.Fatal(err)
	}
	start()
	router := netip.MustParseAddr("192.0.2.1")
	says := func(words ...string) error { return n.says("BGPNodeState_node-1", words...) }
	well := func() error { return says("reason: InSync") }

	t.Log("a foreign route at the very same key: ours waits, and takes the key once it is free")
	r.eventually(func() error {
		return says("reason: RoutesFailed", "prefix: 10.244.201.0/24", "a route that is not ours (protocol 4/static) holds this prefix and metric")
	})
	if err := hasRoute(t.Context(), n.Host, "10.244.201.0/24", netip.MustParseAddr("192.0.2.99")); err != nil {
		t.Error(err)
	}
	if _, err := n.run("sh", "-c", "ip route del "+foreign); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24", router) })
	r.eventually(well)

	t.Log("somebody deletes one whenever it is there")
	fighter, err := n.Start(t.Context(), "fighter", "sh", "-c", "trap 'exit 0' TERM; while :; do ip route del 10.244.200.0/24 proto 219 2>/dev/null; sleep 0.05; done")
	if err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		return says("reason: RouteContested", "10.244.200.0/24 metric 2048: something deletes it")
	})
	r.eventually(func() error { return n.metric("fairway_routes_contested 1") })
	for _, prefix := range []string{"10.244.201.0/24", "10.244.202.0/24"} {
		if err := hasRoute(t.Context(), n.Host, prefix, router); err != nil {
			t.Error(err)
		}
	}
	if err := fighter.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It is put back after the wait, and believed to stay ten seconds later.
	lab.Eventually(t, 3*patience, func() error { return hasRoute(t.Context(), n.Host, "10.244.200.0/24", router) })
	r.eventually(well)
}
