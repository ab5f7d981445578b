package cluster

import (
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
