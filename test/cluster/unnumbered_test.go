package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// unnumberedRig is a node and a router at the other end of a cable, neither of which has an address on
// it but the link-local one.
//
//	node-1 10.244.1.1, fd00:10:244:1::1 on lo    fe80::b%tor ──── fe80::1%node-1    tor 10.244.100.1, fd00:10:244:100::1 on lo
type unnumberedRig struct {
	*rig
	n     *node
	dir   string
	tor   *lab.FRR
	cable *lab.Link
}

func newUnnumberedRig(t *testing.T, neighbor string) *unnumberedRig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	u := &unnumberedRig{rig: r, n: &node{Node: r.Node("node-1"), rig: r, index: 1}, dir: t.TempDir()}
	u.tor = r.FRR("tor", unnumberedRouter(65001, neighbor))
	u.cable = r.Link(u.n, u.tor)
	u.n.AddAddress("lo", "10.244.1.1/32", "fd00:10:244:1::1/128")
	u.tor.AddAddress("lo", "10.244.100.1/32", "fd00:10:244:100::1/128")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.only(u.n.Host, "tor", "fe80::b")
	u.only(u.tor.Host, "node-1", "fe80::1")
	return u
}

// unnumberedRouter knows the node by the words of neighbor, the first of which names it.
func unnumberedRouter(asn int, neighbor string) string {
	name := strings.Fields(neighbor)[0]
	return fmt.Sprintf("router bgp %[1]d\n bgp router-id 192.0.2.1\n no bgp ebgp-requires-policy\n no bgp network import-check\n no bgp default ipv4-unicast\n"+
		" neighbor %[3]s\n neighbor %[2]s timers 3 9\n neighbor %[2]s timers connect 1\n neighbor %[2]s capability extended-nexthop\n"+
		" address-family ipv4 unicast\n  network 10.244.100.0/24\n  neighbor %[2]s activate\n exit-address-family\n"+
		" address-family ipv6 unicast\n  network fd00:10:244:100::/64\n  neighbor %[2]s activate\n exit-address-family\n", asn, name, neighbor)
}

func (u *unnumberedRig) run(h *lab.Host, line string) {
	u.t.Helper()
	if out, err := h.Run(u.t.Context(), strings.Fields(line)...); err != nil {
		u.t.Fatalf("%s: %v: %s", line, err, out)
	}
}

// only gives a device one address in place of what the kernel has made up.
func (u *unnumberedRig) only(h *lab.Host, device, addr string) {
	u.t.Helper()
	u.run(h, "ip addr flush dev "+device)
	u.run(h, "ip addr add "+addr+"/64 dev "+device+" nodad")
}

func (u *unnumberedRig) put(file, text string) {
	u.t.Helper()
	(&liveRig{rig: u.rig, n: u.n, dir: u.dir}).put(file, text)()
}

// start runs the agent with one BGPPeer, and the cluster's prefixes to tell and to learn.
func (u *unnumberedRig) start(peer string) {
	u.t.Helper()
	u.put("node.yaml", liveNode)
	u.put("speaker.yaml", liveSpeaker(`cluster: {podCIDRs: [10.244.0.0/16, "fd00:10:244::/48"]}`))
	u.put("advertisement.yaml", liveAdvertisement())
	u.put("tor.yaml", fairwayObject("BGPPeer", "tor", "", peer+", asnType: External, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"))
	u.startAgent()
}

func (u *unnumberedRig) startAgent() {
	u.t.Helper()
	u.n.start("--source=dir:"+u.dir, "--node-name=node-1", "--state-dir="+filepath.Join(u.n.Dir(), "state"))
}

// through is an error until both kernels lead to the other side's prefixes over the cable, and
// packets with pods' addresses go both ways.
func (u *unnumberedRig) through(router *lab.FRR, at string) error {
	var errs []error
	for _, r := range []struct {
		of          *lab.Host
		prefix, via string
		from, to    string
	}{
		{u.n.Host, "10.244.100.0/24", at, "10.244.1.1", "10.244.100.1"},
		{u.n.Host, "fd00:10:244:100::/64", at, "fd00:10:244:1::1", "fd00:10:244:100::1"},
		{router.Host, "10.244.1.0/24", "fe80::b", "10.244.100.1", "10.244.1.1"},
		{router.Host, "fd00:10:244:1::/64", "fe80::b", "fd00:10:244:100::1", "fd00:10:244:1::1"},
	} {
		if err := leads(u, r.of, r.prefix, r.via); err != nil {
			errs = append(errs, err)
			continue
		}
		_, err := r.of.Run(u.t.Context(), "ping", "-n", "-q", "-c1", "-W1", "-I", r.from, r.to)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// leads asks ip(8) in words: its JSON names the IPv6 gateway of an IPv4 route elsewhere.
func leads(u *unnumberedRig, h *lab.Host, prefix, via string) error {
	family := "-4"
	if netip.MustParsePrefix(prefix).Addr().Is6() {
		family = "-6"
	}
	out, err := h.Run(u.t.Context(), "ip", family, "route", "show", "exact", prefix)
	if err == nil && !strings.Contains(out, via+" dev ") {
		err = fmt.Errorf("%s sends %s by %q, want %s", h.Name(), prefix, strings.TrimSpace(out), via)
	}
	return err
}

// TestSessionsBetweenLinkLocalAddresses has the router named by address and link, then by the default
// route, and then by the interface while the router is the one that dials.
func TestSessionsBetweenLinkLocalAddresses(t *testing.T) {
	const byAddress = "fe80::b remote-as external\n neighbor fe80::b interface node-1"
	for _, test := range []struct{ name, neighbor, peer, global string }{
		{"address", byAddress, `address: "fe80::1", localInterface: tor, extendedNextHop: true`, ""},
		{"default gateway", byAddress, "defaultGateway: {family: IPv6}, extendedNextHop: true", ""},
		{"the router dials", "node-1 interface remote-as external", "interface: tor, passive: true", ""},
		{"the router has a global address too, and tells that as next hop", "node-1 interface remote-as external", "interface: tor, passive: true", "2001:db8:77::1/64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := newUnnumberedRig(t, test.neighbor)
			if test.global != "" {
				u.run(u.tor.Host, "ip addr add "+test.global+" dev node-1 nodad")
			}
			u.run(u.n.Host, "ip -6 route add default via fe80::1 dev tor")
			u.start(test.peer)
			u.eventually(func() error { return u.through(u.tor, "fe80::1") })
			u.eventually(func() error {
				return u.n.says("BGPNodeState_node-1", "address: fe80::1%tor", "sessionsEstablished: 1")
			})
		})
	}
}

// TestUnnumberedSessions names nothing but the interface: FRR waits for router advertisements of ours, and
// the agent for its. The interface is there only later, and in the end the router has another address.
func TestUnnumberedSessions(t *testing.T) {
	u := newUnnumberedRig(t, "node-1 interface remote-as external")
	u.run(u.n.Host, "ip link set tor down")
	u.run(u.n.Host, "ip link set tor name spare")
	u.start("interface: tor")
	u.eventually(func() error {
		return u.n.says("BGPNodeState_node-1", "NoInterface", "there is no interface tor on this node")
	})
	u.run(u.n.Host, "ip link set spare name tor")
	u.run(u.n.Host, "ip link set tor up")
	u.only(u.n.Host, "tor", "fe80::b")
	u.eventually(func() error { return u.through(u.tor, "fe80::1") })
	u.eventually(func() error {
		return u.n.says("BGPNodeState_node-1", "address: fe80::1%tor", "sessionsEstablished: 1")
	})

	u.restartLosesNothing()

	t.Log("the cable is pulled out, and plugged in again")
	if err := u.cable.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.eventually(func() error { return u.n.says("BGPNodeState_node-1", "LinkDown", "the interface tor has no carrier") })
	if err := u.cable.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.eventually(func() error { return u.through(u.tor, "fe80::1") })

	t.Log("another router takes its place")
	if err := u.tor.Crash(); err != nil {
		t.Fatal(err)
	}
	u.only(u.tor.Host, "node-1", "fe80::2")
	if err := u.tor.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.eventually(func() error { return u.through(u.tor, "fe80::2") })
	u.eventually(func() error {
		return u.n.says("BGPNodeState_node-1", "address: fe80::2%tor", "sessionsEstablished: 1")
	})
}

// restartLosesNothing has the agent start anew while packets go both ways. The router keeps what it has heard, and
// the node its routes, until the router has been found again.
func (u *unnumberedRig) restartLosesNothing() {
	u.t.Helper()
	flow, err := u.tor.Flow(u.t.Context(), netip.MustParseAddr("10.244.1.1"), 10*time.Millisecond)
	if err != nil {
		u.t.Fatal(err)
	}
	if err := u.n.agent.Stop(u.t.Context()); err != nil {
		u.t.Fatal(err)
	}
	u.startAgent()
	u.eventually(func() error { return u.n.established(1) })
	u.eventually(func() error { return u.n.metric("fairway_picture_complete 1") })
	report, err := flow.Stop(u.t.Context())
	if err != nil || report.Lost > 0 {
		u.t.Errorf("a restart of the agent: %+v, %v", report, err)
	}
}
