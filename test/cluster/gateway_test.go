package cluster

import (
	"fmt"
	"strings"
	"testing"
)

// TestSessionsFollowTheDefaultRoute replaces a node's default route under one BGPPeer.
func TestSessionsFollowTheDefaultRoute(t *testing.T) {
	l := newLiveRig(t)
	route := func(args string) func() {
		return func() {
			t.Helper()
			if out, err := l.n.run(append([]string{"ip", "route"}, strings.Fields(args)...)...); err != nil {
				t.Fatalf("ip route %s: %v: %s", args, err, out)
			}
		}
	}
	none := func() error { return l.says("BGPNodeState_node-1", "NoDefaultGateway", "no IPv4 default route") }
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement(),
		"gateway.yaml", fairwayObject("BGPPeer", "gateway", "", "defaultGateway: {family: IPv4}, asnType: External, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"))()
	l.n.start("--source=dir:"+l.dir, "--node-name=node-1", "--state-dir="+l.n.Dir()+"/state")
	l.step(step{what: "no default route", do: func() {}, seen: none})
	l.step(step{what: "one through the tor", do: route("add default via 192.0.2.1"), ups: []string{tor},
		seen: func() error { return l.kernel(away + " via 192.0.2.1 metric 2048") }})
	l.step(step{what: "one of ours, and a worse one, which do not count", do: func() {
		route("add default via 192.0.2.3 metric 5 proto 219")()
		route("add default via 192.0.2.3 metric 500")()
	}, seen: l.settled})
	l.step(step{what: "it is replaced", do: route("replace default via 192.0.2.3"), ups: []string{third}, down: []string{tor},
		seen: func() error { return l.kernel(away + " via 192.0.2.3 metric 2048") }})
	l.step(step{what: "two next hops", do: route("replace default nexthop via 192.0.2.1 nexthop via 192.0.2.3"), ups: []string{tor},
		seen: func() error { return l.kernel(away + " metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.3") }})
	l.step(step{what: "the worse one is all that is left", do: route("del default metric 0"), down: []string{tor}})
	l.step(step{what: "none is left", do: route("del default via 192.0.2.3 metric 500"), down: []string{third}, seen: none})
}

// TestSessionsFollowTheAddressOfTheirInterface changes the address of the interface that a session comes from.
func TestSessionsFollowTheAddressOfTheirInterface(t *testing.T) {
	l := newLiveRig(t)
	ip := func(args string) {
		t.Helper()
		if out, err := l.n.run(append([]string{"ip"}, strings.Fields(args)...)...); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	comesFrom := func(source string) {
		t.Helper()
		l.eventually(func() error {
			s, err := l.routers[third].Session(t.Context(), source)
			if err == nil && !s.Up() {
				err = fmt.Errorf("the session from %s is %q", source, s.State)
			}
			return err
		})
	}
	for _, source := range []string{"192.0.2.21", "192.0.2.22"} {
		config := fmt.Sprintf("router bgp 65003\n neighbor %[1]s remote-as external\n neighbor %[1]s timers 3 9\n neighbor %[1]s passive\n", source)
		if err := l.routers[third].Configure(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	ip("link add source type bridge") // without ports it has an address and no more
	ip("link set source up")
	ip("addr add 192.0.2.21/32 dev source")
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "third.yaml", livePeer(third, "localInterface: source"))()
	l.n.start("--source=dir:"+l.dir, "--node-name=node-1", "--state-dir="+l.n.Dir()+"/state")
	comesFrom("192.0.2.21")
	ip("addr add 192.0.2.22/32 dev source")
	ip("addr del 192.0.2.21/32 dev source")
	comesFrom("192.0.2.22")
	ip("link del source")
	l.eventually(func() error { return l.says("BGPPeer_third", "NoAddress", "the interface source of this node") })
}
