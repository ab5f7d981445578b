package cluster

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

const asnRouter = `
router bgp 65001
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 neighbor 192.0.2.11 remote-as %[1]s
 neighbor 192.0.2.11 timers 3 9
 neighbor 198.51.100.12 remote-as %[2]s
 neighbor 198.51.100.12 timers 3 9
`

// racks are two nodes in two racks with a router between them, and a pod on each node.
type racks struct {
	*rig
	dir  string
	pods []*lab.Host
}

func newRacks(t *testing.T, numbers ...any) *racks {
	t.Helper()
	r := &racks{rig: &rig{Lab: lab.New(t), t: t}, dir: t.TempDir()}
	r.router = r.FRR("router", fmt.Sprintf(asnRouter, numbers...))
	for i, addr := range []string{"192.0.2.11", "198.51.100.12"} {
		n := &node{Node: r.Node(fmt.Sprintf("node-%d", i+1)), rig: r.rig, index: i + 1}
		rack := r.Switch(fmt.Sprintf("rack-%d", i+1))
		rack.Attach(n, addr+"/24")
		gateway := netip.MustParsePrefix(addr + "/24").Masked().Addr().Next().String()
		rack.Attach(r.router, gateway+"/24")
		r.nodes = append(r.nodes, n)
		r.pods = append(r.pods, n.Pod(fmt.Sprintf("10.244.%d.10/24", i+1)))
		write(t, r.dir, n.Name()+".yaml", fmt.Sprintf(`
apiVersion: v1
kind: Node
metadata: {name: %[1]s, labels: {rack: rack-%[2]d, asn: "%[3]s"}}
spec: {podCIDRs: [10.244.%[2]d.0/24]}
status: {addresses: [{type: InternalIP, address: %[4]s}]}
`, n.Name(), i+1, numbers[i], addr))
		r.peer(i, gateway, "")
	}
	write(t, r.dir, "advertisement.yaml", fairwayObject("BGPAdvertisement", "default", "", "podCIDRs: {}"))
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *racks) peer(i int, gateway, more string) {
	name := fmt.Sprintf("rack-%d", i+1)
	write(r.t, r.dir, name+".yaml", fairwayObject("BGPPeer", name, "", fmt.Sprintf(
		"nodeSelector: {matchLabels: {rack: %s}}, address: %s, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}%s", name, gateway, more)))
}

func (r *racks) speaker(spec string) {
	write(r.t, r.dir, "speaker.yaml", fairwayObject("BGPSpeaker", "default", "", spec+", cluster: {podCIDRs: [10.244.0.0/16]}, topology: {type: None}"))
}

func (r *racks) startAgents() {
	for _, n := range r.nodes {
		n.start("--source=dir:"+r.dir, "--node-name="+n.Name(), "--state-dir="+filepath.Join(n.Dir(), "state"))
	}
}

// reach reports an error unless each node has the other's pods by way of the router.
func (r *racks) reach() error {
	ctx := r.t.Context()
	return errors.Join(
		hasRoute(ctx, r.nodes[0].Host, "10.244.2.0/24", netip.MustParseAddr("192.0.2.1")),
		hasRoute(ctx, r.nodes[1].Host, "10.244.1.0/24", netip.MustParseAddr("198.51.100.1")),
		r.pods[0].Ping(ctx, r.pods[1].IPv4()))
}

// refuse reports an error unless neither has, and says why and what to do.
func (r *racks) refuse() error {
	err := errors.Join(hasRoute(r.t.Context(), r.nodes[0].Host, "10.244.2.0/24"), hasRoute(r.t.Context(), r.nodes[1].Host, "10.244.1.0/24"))
	for _, n := range r.nodes {
		err = errors.Join(err, n.says("BGPNodeState_"+n.Name(), "OwnASInPath", "(AS path 65001 64512)", "allowOwnAS: 1", "as-override"))
	}
	return err
}

// TestOneASNForAllNodesBehindRouters takes the two ways out of it that docs/asn.md names.
func TestOneASNForAllNodesBehindRouters(t *testing.T) {
	r := newRacks(t, "64512", "64512")
	r.speaker("localASN: 64512")
	r.startAgents()
	t.Log("as it is each refuses the other's pods")
	r.eventually(r.refuse)
	t.Log("allowOwnAS")
	r.peer(0, "192.0.2.1", ", allowOwnAS: 1")
	r.peer(1, "198.51.100.1", ", allowOwnAS: 1")
	r.eventually(r.reach)
	r.peer(0, "192.0.2.1", "")
	r.peer(1, "198.51.100.1", "")
	r.eventually(r.refuse)
	t.Log("as-override")
	if err := r.router.Configure(t.Context(), "router bgp 65001\n address-family ipv4 unicast\n  neighbor 192.0.2.11 as-override\n  neighbor 198.51.100.12 as-override\n"); err != nil {
		t.Fatal(err)
	}
	r.eventually(r.reach)
}

// TestAnASNForEachRack has the number of each rack in a label of its nodes.
func TestAnASNForEachRack(t *testing.T) {
	r := newRacks(t, "64601", "4200000002")
	r.speaker("localASNFrom: {nodeLabel: asn}")
	r.startAgents()
	r.eventually(r.reach)
}
