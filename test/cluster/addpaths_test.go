package cluster

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	manyFRR = `
router bgp 65001
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 neighbor 192.0.2.11 remote-as 64512
 neighbor 192.0.2.21 remote-as 65010
 neighbor 192.0.2.22 remote-as 65010
 address-family ipv4 unicast
`
	manyFRRSends = "  neighbor 192.0.2.11 addpath-tx-all-paths\n"
	manyBIRD     = `
router id 192.0.2.2;
protocol device {}
template bgp any { local as 65002; connect delay time 1; connect retry time 1; error wait time 1, 2; }
protocol bgp node from any { neighbor 192.0.2.11 as 64512; ipv4 { import all; export all; add paths tx; }; }
protocol bgp one from any { neighbor 192.0.2.21 as 65010; ipv4 { import all; export none; }; }
protocol bgp two from any { neighbor 192.0.2.22 as 65010; ipv4 { import all; export none; }; }
`
)

// origin announces prefixes to both routers.
func origin(host int, prefixes ...string) string {
	config := fmt.Sprintf("router id 192.0.2.%d;\nprotocol device {}\nprotocol static { ipv4;\n", host)
	for _, p := range prefixes {
		config += " route " + p + " unreachable;\n"
	}
	config += "}\n"
	for i := 1; i <= 2; i++ {
		config += fmt.Sprintf("protocol bgp r%[1]d { local as 65010; neighbor 192.0.2.%[1]d as 6500%[1]d; connect delay time 1; connect retry time 1; "+
			"error wait time 1, 2; ipv4 { import none; export all; next hop self; }; }\n", i)
	}
	return config
}

// TestSeveralPathsThroughOneRouterShareTheTraffic has two origins announce the same prefixes to FRR and to
// BIRD, which tell the node both ways: the first prefix is taken from FRR alone, the second from BIRD.
func TestSeveralPathsThroughOneRouterShareTheTraffic(t *testing.T) {
	r := &rig{Lab: lab.New(t), t: t}
	n := &node{Node: r.Node("node-1"), rig: r, index: 1}
	frr, bird := r.FRR("frr", manyFRR+manyFRRSends), r.BIRD("bird", manyBIRD)
	one := r.BIRD("one", origin(21, "172.16.1.0/24", "172.16.2.0/24"))
	two := r.BIRD("two", origin(22, "172.16.1.0/24", "172.16.2.0/24"))
	lan := r.Switch("lan")
	for _, at := range []struct {
		lab.Machine
		addr string
	}{{n, "11"}, {frr, "1"}, {bird, "2"}, {one, "21"}, {two, "22"}} {
		lan.Attach(at.Machine, "192.0.2."+at.addr+"/24")
	}
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	peer := func(name, addr, asn, prefix string, receive bool) {
		write(t, dir, name+".yaml", fairwayObject("BGPPeer", name, "", fmt.Sprintf("address: %s, asn: %s, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}, "+
			"addPaths: {receive: %v, sendMax: 2}, import: {allow: [{prefix: %s}]}", addr, asn, receive, prefix)))
	}
	write(t, dir, "node.yaml", liveNode)
	write(t, dir, "speaker.yaml", liveSpeaker())
	peer("frr", "192.0.2.1", "65001", "172.16.1.0/24", true)
	peer("bird", "192.0.2.2", "65002", "172.16.2.0/24", true)
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	goes := func(prefix string, want ...string) error {
		routes, err := n.Routes(t.Context(), "proto", "219")
		if err != nil {
			return err
		}
		var got []string
		for _, route := range routes {
			if route.Dst == prefix {
				got = gateways(route)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("%s goes by %v, want %v", prefix, got, want)
		}
		return nil
	}
	says := func(words ...string) error { return n.says("BGPNodeState_node-1", words...) }
	const a, b = "192.0.2.21", "192.0.2.22"
	r.eventually(func() error { return errors.Join(goes("172.16.1.0/24", a, b), goes("172.16.2.0/24", a, b)) })
	r.eventually(func() error {
		// BIRD receives only with "add paths rx", FRR always.
		return says("add-path receive", "add-path send", "AddPathsRefused", "192.0.2.2 does not receive several paths to a prefix of IPv4Unicast")
	})

	configure := func(of *lab.BIRD, config string) {
		t.Helper()
		if err := of.Configure(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	configure(two, origin(22, "172.16.2.0/24"))
	r.eventually(func() error { return errors.Join(goes("172.16.1.0/24", a), goes("172.16.2.0/24", a, b)) })
	configure(one, origin(21))
	r.eventually(func() error { return errors.Join(goes("172.16.1.0/24"), goes("172.16.2.0/24", b)) })
	configure(one, origin(21, "172.16.1.0/24", "172.16.2.0/24"))
	configure(two, origin(22, "172.16.1.0/24", "172.16.2.0/24"))
	r.eventually(func() error { return errors.Join(goes("172.16.1.0/24", a, b), goes("172.16.2.0/24", a, b)) })

	// Without it the router chooses one of them.
	peer("bird", "192.0.2.2", "65002", "172.16.2.0/24", false)
	r.eventually(func() error {
		return errors.Join(goes("172.16.1.0/24", a, b), either(goes("172.16.2.0/24", a), goes("172.16.2.0/24", b)))
	})
	if err := frr.Configure(t.Context(), manyFRR+"  no"+manyFRRSends); err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		return errors.Join(either(goes("172.16.1.0/24", a), goes("172.16.1.0/24", b)), says("192.0.2.1 does not send several paths to a prefix of IPv4Unicast"))
	})
}

// either returns the errors if none of the alternatives is so.
func either(alternatives ...error) error {
	if slices.Contains(alternatives, nil) {
		return nil
	}
	return errors.Join(alternatives...)
}
