package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// The sessions of the listening rig: two routers of the lower half of the network, one of the upper.
const (
	rackOne = "rack/192.0.2.1"
	rackTwo = "rack/192.0.2.2"
	upper   = "rack/192.0.2.129"
)

// newListenRig is a node and three routers that dial it, again every second.
func newListenRig(t *testing.T) *liveRig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	l := &liveRig{rig: r, n: &node{Node: r.Node("node-1"), rig: r, index: 1}, dir: t.TempDir(), routers: map[string]*lab.FRR{}}
	lan := r.Switch("lan")
	lan.Attach(l.n, "192.0.2.11/24", "2001:db8::11/64")
	for i, session := range []string{rackOne, rackTwo, upper} {
		addr := session[strings.LastIndex(session, "/")+1:]
		config := fmt.Sprintf("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n neighbor 192.0.2.11 remote-as 64512\n"+
			" neighbor 192.0.2.11 timers 3 9\n neighbor 192.0.2.11 timers connect 1\n address-family ipv4 unicast\n  network %s\n exit-address-family\n", 65001+i, addr, away)
		l.routers[session] = r.FRR(fmt.Sprintf("router-%d", i+1), config)
		lan.Attach(l.routers[session], addr+"/24")
	}
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.last = l.sessions()
	return l
}

func (l *liveRig) startAgent() {
	l.said = 0 // each run has a log of its own
	l.n.start("--source=dir:"+l.dir, "--node-name=node-1", "--state-dir="+filepath.Join(l.n.Dir(), "state"))
}

// listening writes the BGPPeer with a listenRange.
func (l *liveRig) listening(prefix string, more ...string) func() {
	spec := []string{"listenRange: " + prefix, "asnType: External", "timers: {holdTimeSeconds: 9}"}
	return l.put("rack.yaml", fairwayObject("BGPPeer", "rack", "role: rack", override(spec, more)))
}

// TestRoutersInsideAListenRangeConnect has one BGPPeer for all routers of a network, and changes that network.
func TestRoutersInsideAListenRangeConnect(t *testing.T) {
	l := newListenRig(t)
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement("to: {peerSelector: {matchLabels: {role: rack}}}"))()
	l.listening("192.0.2.0/25")()
	l.startAgent()
	both := func() error { return l.kernel(away + " metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.2") }
	l.step(step{what: "two routers inside the range connect, one outside does not", do: func() {}, ups: []string{rackOne, rackTwo}, seen: func() error {
		return errors.Join(l.hears(rackOne, pods, ourPath), l.hears(rackTwo, pods, ourPath), both(),
			l.says("BGPNodeState_node-1", "address: 192.0.2.1", "address: 192.0.2.2", "sessionsEstablished: 2", "sessionsTotal: 2"))
	}})
	l.step(step{what: "the range becomes wider", do: l.listening("192.0.2.0/24"), ups: []string{upper}, seen: func() error {
		return errors.Join(l.hears(upper, pods, ourPath), l.says("BGPNodeState_node-1", "sessionsEstablished: 3"))
	}})
	l.step(step{what: "a change of what they may tell", do: l.listening("192.0.2.0/24", "import: {allow: []}"), seen: func() error { return l.kernel() }})
	l.step(step{what: "and back", do: l.listening("192.0.2.0/24"), seen: func() error {
		return l.kernel(away + " metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.2 nexthop via 192.0.2.129")
	}})
	l.step(step{what: "a more specific range of another BGPPeer, under which nothing is told", do: l.put("half.yaml",
		fairwayObject("BGPPeer", "half", "", "listenRange: 192.0.2.128/25, asn: 65003, timers: {holdTimeSeconds: 9}")),
		ups: []string{upper}, seen: func() error { return l.hears(upper, pods, "") }})
	l.step(step{what: "an address of its own", do: l.put("one.yaml",
		fairwayObject("BGPPeer", "one", "", "address: 192.0.2.1, asn: 65001, passive: true, timers: {holdTimeSeconds: 9}")),
		ups: []string{rackOne}, seen: func() error { return errors.Join(l.hears(rackOne, pods, ""), l.hears(rackTwo, pods, ourPath)) }})
	l.step(step{what: "the range becomes narrower", do: l.listening("192.0.2.2/32")})
	l.step(step{what: "it is another one", do: l.listening("192.0.2.64/26"), down: []string{rackTwo}})
	l.step(step{what: "all are gone", do: func() { l.put("rack.yaml", "", "half.yaml", "", "one.yaml", "")() }, down: []string{rackOne, upper}})
}

// TestListenRangeOutlivesARestart kills the agent: the routers keep its routes until they have them again.
func TestListenRangeOutlivesARestart(t *testing.T) {
	l := newListenRig(t)
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement())()
	l.listening("192.0.2.0/25")()
	l.startAgent()
	ours := func() error { return errors.Join(l.hears(rackOne, pods, ourPath), l.hears(rackTwo, pods, ourPath)) }
	l.step(step{what: "the routers connect", do: func() {}, ups: []string{rackOne, rackTwo}, seen: ours})
	l.eventually(func() error {
		kept, err := os.ReadFile(filepath.Join(l.n.Dir(), "state", "sessions.json"))
		if err == nil && !(strings.Contains(string(kept), rackOne) && strings.Contains(string(kept), rackTwo)) {
			err = fmt.Errorf("the agent remembers %s", kept)
		}
		return err
	})

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	lost := make(chan error, 1)
	go func() { lost <- lab.Stays(ctx, time.Hour, ours) }()
	both := func() error { return l.kernel(away + " metric 2048 nexthop via 192.0.2.1 nexthop via 192.0.2.2") }
	l.step(step{what: "the agent crashes and is started again", do: func() {
		if err := kill(l.n.agent.Children()[0]); err != nil {
			t.Fatal(err)
		}
	}, ups: []string{rackOne, rackTwo}})
	stop()
	if err := <-lost; err != nil {
		t.Errorf("a router lost the route: %v", err)
	}
	l.eventually(both)
	l.step(step{what: "it is started anew, and has forgotten who was there", do: func() { // a second crash would hold a peer down
		err := l.n.agent.Stop(t.Context())
		if err = errors.Join(err, os.Remove(filepath.Join(l.n.Dir(), "state", "sessions.json"))); err != nil {
			t.Fatal(err)
		}
		l.startAgent()
	}, ups: []string{rackOne, rackTwo}})
	l.eventually(func() error { return errors.Join(ours(), both()) })
}

// TestARouterThatCallsOnceIsDialledBack has routers with FRR's own connect retry time, which is longer than anybody waits here.
func TestARouterThatCallsOnceIsDialledBack(t *testing.T) {
	l := newListenRig(t)
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement())()
	l.startAgent()
	configure := func(session, words string) {
		t.Helper()
		asn := map[string]int{rackOne: 65001, rackTwo: 65002}[session]
		if err := l.routers[session].Configure(t.Context(), fmt.Sprintf("router bgp %d\n%s", asn, words)); err != nil {
			t.Fatal(err)
		}
	}
	for _, session := range []string{rackOne, rackTwo} {
		configure(session, " neighbor 192.0.2.11 shutdown\n no neighbor 192.0.2.11 timers connect\n")
	}
	call := func(session string) { configure(session, " no neighbor 192.0.2.11 shutdown\n") }
	listens := func() error {
		sockets, err := l.n.run("ss", "-Hltn", "sport = :179")
		if err == nil && sockets == "" {
			err = errors.New("the agent does not listen")
		}
		return err
	}
	l.step(step{what: "one calls a node that never dials", do: func() {
		l.listening("192.0.2.0/25", "passive: true")()
		l.eventually(listens)
		call(rackOne)
	}, seen: func() error {
		return l.says("BGPNodeState_node-1", "address: 192.0.2.1", "sessionsTotal: 1", "sessionsEstablished: 0")
	}})
	l.step(step{what: "the node dials", do: l.listening("192.0.2.0/25"), resets: []string{rackOne}, ups: []string{rackOne}})
	l.step(step{what: "the other calls", do: func() { call(rackTwo) }, ups: []string{rackTwo}})
}

// TestAListenRangeHasAPassword has only who knows it connect.
func TestAListenRangeHasAPassword(t *testing.T) {
	l := newListenRig(t)
	l.put("node.yaml", liveNode, "speaker.yaml", liveSpeaker(), "advertisement.yaml", liveAdvertisement(), "secret.yaml", liveSecret("password: first"))()
	l.password(rackOne, "first")()
	l.password(rackTwo, "second")()
	l.listening("192.0.2.0/24", "passwordSecretRef: {name: third}")()
	l.startAgent()
	l.step(step{what: "one knows the password, one has another, one has none", do: func() {}, ups: []string{rackOne}})
	l.step(step{what: "the other is corrected", do: l.password(rackTwo, "first"), ups: []string{rackTwo},
		seen: func() error { return errors.Join(l.hears(rackOne, pods, ourPath), l.hears(rackTwo, pods, ourPath)) }})
}

// TestAListenRangeOfIPv6HasAPassword is the same in IPv6, with a peer of its own inside the range that has another password.
func TestAListenRangeOfIPv6HasAPassword(t *testing.T) {
	r := &rig{Lab: lab.New(t), t: t}
	n := &node{Node: r.Node("node-1"), rig: r, index: 1}
	lan := r.Switch("lan")
	lan.Attach(n, "192.0.2.11/24", "2001:db8::11/64")
	for i, password := range []string{"first", "wrong", "own"} {
		config := fmt.Sprintf("router bgp %[1]d\n bgp router-id 192.0.2.%[2]d\n no bgp ebgp-requires-policy\n neighbor 2001:db8::11 remote-as 64512\n"+
			" neighbor 2001:db8::11 timers connect 1\n neighbor 2001:db8::11 password %[3]s\n address-family ipv6 unicast\n  neighbor 2001:db8::11 activate\n exit-address-family\n",
			65001+i, i+1, password)
		lan.Attach(r.FRR(fmt.Sprintf("router-%d", i+1), config), fmt.Sprintf("2001:db8::%d/64", i+1))
	}
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "fairway.yaml", strings.Join([]string{liveNode, liveSpeaker(), liveSecret("password: first"),
		strings.Replace(liveSecret("password: own"), "third", "own", 1),
		fairwayObject("BGPPeer", "rack", "", `listenRange: "2001:db8::/64", asnType: External, passwordSecretRef: {name: third}`),
		fairwayObject("BGPPeer", "own", "", `address: "2001:db8::3", asn: 65003, passive: true, passwordSecretRef: {name: own}`),
	}, "---\n"))
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	r.eventually(func() error { return n.established(2) })
	r.eventually(func() error {
		return n.says("BGPNodeState_node-1", "sessionsTotal: 2", "sessionsEstablished: 2", "address: 2001:db8::1", "address: 2001:db8::3")
	})
}
