package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// gatewayRig is a subnet with two gateways and an inner node, which has no session but with the
// other nodes, two routers that have sessions with the gateways alone, and a client behind the first.
//
//	client 198.51.100.10 -- tor 192.0.2.1    other 192.0.2.2    node-1 .11   node-2 .12   node-3 .13 (inner)
type gatewayRig struct {
	*rig
	dir        string
	other      *lab.FRR
	client     *lab.Host
	pod        *lab.Host // of the inner node
	gatewayEnd *lab.Link
}

const (
	innerPods = "10.244.3.0/24"
	innerSix  = "fd00:10:244:3::/64"
	innerLB   = "203.0.113.7/32" // the address of a Service that only the inner node serves
)

func newGatewayRig(t *testing.T) *gatewayRig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	g := &gatewayRig{rig: r, dir: t.TempDir()}
	lan, out := r.Switch("lan"), r.Switch("out")
	config := "router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy\n no bgp network import-check\n" +
		" neighbor 192.0.2.11 remote-as 64512\n neighbor 192.0.2.11 timers 3 9\n neighbor 192.0.2.12 remote-as 64512\n neighbor 192.0.2.12 timers 3 9\n%s" +
		" address-family ipv6 unicast\n  neighbor 192.0.2.11 activate\n  neighbor 192.0.2.12 activate\n exit-address-family\n"
	r.router = r.FRR("tor", fmt.Sprintf(config, 65001, "192.0.2.1", ""))
	g.other = r.FRR("other", fmt.Sprintf(config, 65002, "192.0.2.2", " address-family ipv4 unicast\n  network 10.244.200.0/24\n exit-address-family\n"))
	lan.Attach(r.router, "192.0.2.1/24", "2001:db8::1/64")
	lan.Attach(g.other, "192.0.2.2/24", "2001:db8::2/64")
	for i := 1; i <= 3; i++ {
		n := &node{Node: r.Node(fmt.Sprintf("node-%d", i)), rig: r, index: i}
		end := lan.Attach(n, fmt.Sprintf("192.0.2.1%d/24", i), fmt.Sprintf("2001:db8::1%d/64", i))
		if i == 1 {
			g.gatewayEnd = end
		}
		n.Default("192.0.2.1")
		r.nodes = append(r.nodes, n)
	}
	g.pod = r.nodes[2].Pod("10.244.3.2/24")
	g.client = r.Host("client")
	out.Attach(r.router, "198.51.100.1/24")
	out.Attach(g.client, "198.51.100.10/24")
	g.client.Default("198.51.100.1")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, n := range r.nodes {
		g.node(n, map[int]string{1: "edge", 2: "edge", 3: "inner"}[n.index], n.pods(4)+`, "`+n.pods(6)+`"`)
	}
	write(t, g.dir, "speaker.yaml", fairwayObject("BGPSpeaker", "default", "", "localASN: 64512, cluster: {podCIDRs: [10.244.0.0/16, \"fd00:10:244::/48\"], serviceCIDRs: [10.96.0.0/12]}"))
	for name, spec := range map[string]string{"tor": "address: 192.0.2.1, asn: 65001", "other": "address: 192.0.2.2, asn: 65002"} {
		write(t, g.dir, name+".yaml", fairwayObject("BGPPeer", name, "role: "+name, spec+", nodeSelector: {matchExpressions: [{key: part, operator: In, values: [edge, resting]}]}, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"))
	}
	return g
}

func (g *gatewayRig) node(n *node, part, pods string) {
	g.t.Helper()
	write(g.t, g.dir, n.Name()+".yaml", fmt.Sprintf(
		"apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {part: %s}}\nspec: {podCIDRs: [%s]}\n"+
			"status: {addresses: [{type: InternalIP, address: %s}, {type: InternalIP, address: \"%s\"}]}\n",
		n.Name(), part, pods, n.IPv4(), n.IPv6()))
}

// fromMesh has gateways tell the tor what other nodes tell them.
func (g *gatewayRig) fromMesh(more ...string) {
	g.t.Helper()
	spec := []string{"nodeSelector: {matchLabels: {part: edge}}", "to: {peerSelector: {matchLabels: {role: tor}}}", "fromMesh: {podCIDRs: true}"}
	write(g.t, g.dir, "gateways.yaml", fairwayObject("BGPAdvertisement", "gateways", "", override(spec, more)))
}

func (g *gatewayRig) seen(what string, check func() error) {
	g.t.Helper()
	began := time.Now()
	g.eventually(check)
	g.t.Logf("%s after %d ms", what, time.Since(began).Milliseconds())
}

// torSends reports whether the tor sends a prefix to exactly these nodes.
func (g *gatewayRig) torSends(prefix string, nodes ...*node) error {
	var via []netip.Addr
	for _, n := range nodes {
		if strings.Contains(prefix, ":") {
			via = append(via, n.IPv6())
		} else {
			via = append(via, n.IPv4())
		}
	}
	return g.routerHas(prefix, via...)
}

// noLeak reports whether a router hears what is none of its business.
func (g *gatewayRig) noLeak() error {
	return errors.Join(
		g.torSends("10.244.200.0/24"), // what the other router tells the gateways
		hasRoute(g.t.Context(), g.other.Host, innerPods),
		hasRoute(g.t.Context(), g.nodes[1].Host, innerPods, g.nodes[2].IPv4()), // and not by way of the tor
		hasRoute(g.t.Context(), g.nodes[0].Host, "10.244.200.0/24", g.other.IPv4()))
}

// TestGatewaysSpeakToTheFabricForAnInnerNode: the tor reaches the pods of a node that it has no session
// with by both gateways, or directly, and loses nothing when a gateway is taken out.
func TestGatewaysSpeakToTheFabricForAnInnerNode(t *testing.T) {
	g := newGatewayRig(t)
	one, two, inner := g.nodes[0], g.nodes[1], g.nodes[2]
	g.fromMesh()
	for _, n := range g.nodes {
		n.start("--source=dir:"+g.dir, "--node-name="+n.Name(), "--state-dir="+n.Dir()+"/state")
	}
	g.seen("both gateways tell", func() error {
		return errors.Join(g.torSends(innerPods, one, two), g.torSends(innerSix, one, two), g.torSends(one.pods(4), two), g.noLeak())
	})
	g.seen("a ping by them", func() error { return g.client.Ping(t.Context(), g.pod.IPv4()) })
	g.seen("the status of the first says so", func() error { return one.says("BGPNodeState_node-1", "source: FromMesh", "advertised: 4") })

	flow, err := g.client.Flow(t.Context(), g.pod.IPv4(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	g.node(one, "resting", one.pods(4)+`, "`+one.pods(6)+`"`)
	g.seen("the first tells no longer", func() error { return g.torSends(innerPods, two) })
	g.node(one, "edge", one.pods(4)+`, "`+one.pods(6)+`"`)
	g.seen("the first tells again", func() error { return g.torSends(innerPods, one, two) })
	g.fromMesh("nextHop: Unchanged")
	g.seen("directly", func() error {
		return errors.Join(g.torSends(innerPods, inner), g.torSends(innerSix, inner), g.noLeak())
	})
	g.fromMesh("attributes: {asPathPrepend: 1}")
	write(t, g.dir, "own.yaml", fairwayObject("BGPAdvertisement", "own", "", "podCIDRs: {}"))
	g.seen("by both again, and to the gateways straight", func() error {
		return errors.Join(g.torSends(innerPods, one, two), g.torSends(one.pods(4), one), g.torSends(two.pods(6), two))
	})
	if err := (&meshRig{rig: g.rig}).lost(flow); err != nil {
		t.Error(err)
	}

	g.node(inner, "inner", "10.244.33.0/24")
	g.seen("the inner node has other pods", func() error {
		return errors.Join(g.torSends(innerPods), g.torSends(innerSix), g.torSends("10.244.33.0/24", one, two))
	})
	g.node(inner, "inner", innerPods)
	g.seen("it has its own again", func() error { return errors.Join(g.torSends(innerPods, one, two), g.torSends("10.244.33.0/24")) })
	if err := g.gatewayEnd.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.seen("the first gateway has died", func() error { return g.torSends(innerPods, two) })
	g.seen("a ping by the other", func() error { return g.client.Ping(t.Context(), g.pod.IPv4()) })
	for _, n := range g.nodes {
		if log := n.log(); resetPeer.MatchString(log) {
			t.Errorf("%s has reset a session:\n%s", n.Name(), log)
		}
	}
}

// TestGatewaysPassOnAddressesOfServices that only an inner node serves.
func TestGatewaysPassOnAddressesOfServices(t *testing.T) {
	g := newGatewayRig(t)
	one, two, inner := g.nodes[0], g.nodes[1], g.nodes[2]
	write(t, g.dir, "inner.yaml", fairwayObject("BGPAdvertisement", "inner", "", "nodeSelector: {matchLabels: {part: inner}}, "+
		"to: {mesh: true, peerSelector: {matchLabels: {no: one}}}, services: {addressTypes: [LoadBalancerIP], loadBalancerIPRanges: [203.0.113.0/24]}"))
	write(t, g.dir, "web.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n"+
		"spec: {type: LoadBalancer, clusterIP: 10.96.0.80, clusterIPs: [10.96.0.80]}\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}\n"+
		"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web, namespace: default, labels: {kubernetes.io/service-name: web}}\n"+
		"addressType: IPv4\nendpoints: [{addresses: [10.244.3.2], nodeName: node-3}]\n")
	g.fromMesh("fromMesh: {services: true}")
	for _, n := range g.nodes {
		n.start("--source=dir:"+g.dir, "--node-name="+n.Name(), "--state-dir="+n.Dir()+"/state")
	}
	g.seen("both gateways tell the address and not the pods", func() error {
		return errors.Join(g.torSends(innerLB, one, two), g.torSends(innerPods), hasRoute(t.Context(), one.Host, innerLB, inner.IPv4()))
	})
	g.fromMesh("fromMesh: {services: true}", "nextHop: Unchanged")
	g.seen("directly", func() error { return g.torSends(innerLB, inner) })
	if err := os.Remove(filepath.Join(g.dir, "web.yaml")); err != nil {
		t.Fatal(err)
	}
	g.seen("the Service goes", func() error { return errors.Join(g.torSends(innerLB), hasRoute(t.Context(), one.Host, innerLB)) })
	const written = "198.51.101.0/24"
	g.fromMesh("fromMesh: {services: true, podCIDRs: true}")
	write(t, g.dir, "inner.yaml", fairwayObject("BGPAdvertisement", "inner", "", "nodeSelector: {matchLabels: {part: inner}}, "+
		"to: {mesh: true, peerSelector: {matchLabels: {no: one}}}, prefixes: [{prefix: "+written+", force: true}]"))
	g.seen("the gateways learn a prefix that is written, and tell nobody", func() error {
		return errors.Join(hasRoute(t.Context(), one.Host, written, inner.IPv4()), hasRoute(t.Context(), two.Host, written, inner.IPv4()),
			g.torSends(innerPods, one, two), g.torSends(written))
	})
}

// TestAGatewayThatCrashesLosesNothing: what it told is kept by the router until it is back, and as its
// End-of-RIB may come before it has heard the inner node again, then goes by the other one.
func TestAGatewayThatCrashesLosesNothing(t *testing.T) {
	g := newGatewayRig(t)
	one, two := g.nodes[0], g.nodes[1]
	g.fromMesh()
	for _, n := range g.nodes {
		n.start("--source=dir:"+g.dir, "--node-name="+n.Name(), "--state-dir="+n.Dir()+"/state")
	}
	g.seen("both gateways tell", func() error { return g.torSends(innerPods, one, two) })
	flow, err := g.client.Flow(t.Context(), g.pod.IPv4(), 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	before, err := g.router.Session(t.Context(), one.IPv4().String())
	if err != nil || !before.Up() {
		t.Fatalf("the session is %+v: %v", before, err)
	}
	if err := kill(one.agent.Children()[0]); err != nil {
		t.Fatal(err)
	}
	g.seen("a new session", func() error {
		now, err := g.router.Session(t.Context(), one.IPv4().String())
		if err == nil && (!now.Up() || now.Ups == before.Ups) {
			err = fmt.Errorf("the session was %+v and is %+v", before, now)
		}
		return err
	})
	g.seen("both tell again", func() error { return g.torSends(innerPods, one, two) })
	if err := (&meshRig{rig: g.rig}).lost(flow); err != nil {
		t.Error(err)
	}
}
