package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// farRouter announces a prefix with a next hop that is not its own: far away, or on its link.
func farRouter(asn, host int, nextHop string, prepend string) string {
	return fmt.Sprintf(`
router id 10.%[2]d.0.0;
protocol device {}
protocol static { ipv4; route 172.16.1.0/24 unreachable; route 172.16.2.0/24 unreachable; }
protocol bgp node {
  local as %[1]d; neighbor 10.%[2]d.0.1 as 64512; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export filter { if net = 172.16.1.0/24 then bgp_next_hop = %[3]s; %[4]s accept; }; next hop keep; };
}
`, asn, host, nextHop, prepend)
}

const farSpeaker = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec: {localASN: 64512, topology: {type: None}, cluster: {podCIDRs: [10.244.0.0/16], serviceCIDRs: [10.96.0.0/16]}}
---
apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 10.1.0.1}]}
`

func farPeer(name string, host, asn int) string {
	return fmt.Sprintf(`
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: %s}
spec: {address: 10.%d.0.0, asn: %d, import: {allow: [{prefix: 172.16.0.0/16, maxLength: 24}]}}
`, name, host, asn)
}

// TestNextHopsAreFollowed has the kernel lead a far next hop one way and another, and cuts a
// cable: routes follow, the session over a dead link ends at once, and what the
// speaker likes less carries the traffic while the best leads nowhere.
func TestNextHopsAreFollowed(t *testing.T) {
	r := &rig{Lab: lab.New(t), t: t}
	n := &node{Node: r.Node("node-1"), rig: r, index: 1}
	torA := r.BIRD("tor-a", farRouter(65001, 1, "198.51.100.7", ""))
	torB := r.BIRD("tor-b", farRouter(65002, 2, "10.2.0.0", "bgp_path.prepend(65002);"))
	cableA := r.Link(torA, n, "10.1.0.0/31")
	r.Link(torB, n, "10.2.0.0/31")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "speaker.yaml", farSpeaker)
	write(t, dir, "tor-a.yaml", farPeer("tor-a", 1, 65001))
	write(t, dir, "tor-b.yaml", farPeer("tor-b", 2, 65002))
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	goes := func(prefix string, gateway string) error {
		routes, err := n.Routes(t.Context(), "proto", "219")
		if err != nil {
			return err
		}
		for _, route := range routes {
			if route.Dst == prefix {
				if got := gateways(route); len(got) != 1 || got[0] != gateway {
					return fmt.Errorf("%s goes to %v, want %s", prefix, got, gateway)
				}
				return nil
			}
		}
		return fmt.Errorf("there is no route to %s", prefix)
	}
	follows := func(what, gateway string) {
		t.Helper()
		began := time.Now()
		r.eventually(func() error { return goes("172.16.1.0/24", gateway) })
		t.Logf("%s: by %s after %s", what, gateway, time.Since(began).Round(time.Millisecond))
	}
	r.eventually(func() error { return errors.Join(n.established(2), goes("172.16.2.0/24", "10.1.0.0")) })
	follows("nothing leads to the next hop of the better path", "10.2.0.0")
	r.eventually(func() error {
		return n.metric(`fairway_refused_prefixes{peer="tor-a",reason="NextHopUnreachable"} 1`)
	})

	ip := func(args ...string) {
		t.Helper()
		if out, err := n.run(append([]string{"ip"}, args...)...); err != nil {
			t.Fatal(out, err)
		}
	}
	ip("route", "add", "198.51.100.0/24", "via", "10.1.0.0")
	follows("a route to it", "10.1.0.0")
	ip("route", "replace", "198.51.100.0/24", "via", "10.2.0.0")
	follows("another route to it", "10.2.0.0")
	ip("route", "add", "198.51.100.7/32", "via", "10.1.0.0")
	follows("a more specific one", "10.1.0.0")
	ip("route", "del", "198.51.100.7/32")
	ip("route", "del", "198.51.100.0/24")
	follows("none any more", "10.2.0.0")

	// Carrier: the hold time is 90 s, the restart time 120 s.
	if err := cableA.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.eventually(func() error { return errors.Join(n.established(1), goes("172.16.2.0/24", "10.2.0.0")) })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the cut cable was noticed after %v", took)
	} else {
		t.Logf("the cut cable: all by the other router after %s", took.Round(time.Millisecond))
	}
	if err := cableA.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error { return errors.Join(n.established(2), goes("172.16.2.0/24", "10.1.0.0")) })
}
