package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	weighedVIP  = "198.51.100.1"
	steadyVIP   = "198.51.100.2"
	connections = 2000
)

// weighed is two nodes with pods behind one router, and a client behind that.
//
//	client 10.9.0.1 -- 10.9.0.0 router 192.0.2.1 -- node-1 .11 (1 pod), node-2 .12 (3 pods)
type weighed struct {
	*rig
	dir    string
	client *lab.Host
}

// newWeighed has each node hand connections to the address of the Service to its own pods in
// turn, by a rule as kube-proxy writes for a Local one; kube-proxy itself does not run.
func newWeighed(t *testing.T) *weighed {
	t.Helper()
	w := &weighed{rig: &rig{Lab: lab.New(t), t: t}, dir: t.TempDir()}
	w.router = w.FRR("router", routerConfig(2))
	w.client = w.Host("client")
	lan := w.Switch("lan")
	lan.Attach(w.router, "192.0.2.1/24")
	w.Link(w.router, w.client, "10.9.0.0/31")
	w.client.Default("10.9.0.0")
	pods := map[string]*lab.Host{}
	for i, count := range []int{1, 3} {
		n := &node{Node: w.Node(fmt.Sprintf("node-%d", i+1)), rig: w.rig, index: i + 1}
		lan.Attach(n, fmt.Sprintf("192.0.2.1%d/24", n.index))
		n.Default("192.0.2.1")
		for p := range count {
			addr := fmt.Sprintf("10.244.%d.%d", n.index, p+2)
			pods[addr] = n.Pod(addr + "/24")
		}
		w.nodes = append(w.nodes, n)
	}
	if err := w.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for addr, pod := range pods {
		w.serve(pod, addr)
	}
	w.balance(w.nodes[0], 1)
	w.balance(w.nodes[1], 3)
	w.manifests("None", 3)
	for _, n := range w.nodes {
		n.start("--source=dir:"+w.dir, "--node-name="+n.Name(), "--state-dir="+filepath.Join(n.Dir(), "state"))
	}
	return w
}

// serve answers every connection to the pod with its address.
func (w *weighed) serve(pod *lab.Host, addr string) {
	w.t.Helper()
	listener, err := pod.Listen("tcp", addr+":80")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = listener.Close() })
	go answer(listener, addr)
}

func (w *weighed) balance(n *node, pods int) {
	w.t.Helper()
	var to []string
	for p := range pods {
		to = append(to, fmt.Sprintf("%d : 10.244.%d.%d", p, n.index, p+2))
	}
	rules := fmt.Sprintf("table ip proxy { chain pre { type nat hook prerouting priority dstnat; ip daddr %s tcp dport 80 dnat to numgen random mod %d map { %s }; }; }",
		weighedVIP, pods, strings.Join(to, ", "))
	if _, err := n.run("nft", rules); err != nil {
		w.t.Fatal(err)
	}
}

// manifests are two Services of the same pods, of which node-2 has as many as given; the
// other Service always has three there.
func (w *weighed) manifests(linkBandwidth string, onNode2 int) {
	w.t.Helper()
	write(w.t, w.dir, "fairway.yaml", strings.Join([]string{
		liveSpeaker(),
		fairwayObject("BGPPeer", "router", "", "address: 192.0.2.1, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"),
		fairwayObject("BGPAdvertisement", "default", "", "podCIDRs: {}, services: {addressTypes: [LoadBalancerIP]}, attributes: {linkBandwidth: "+linkBandwidth+"}"),
	}, "---\n"))
	var objects []string
	for i := 1; i <= 2; i++ {
		objects = append(objects, fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: node-%[1]d}\nspec: {podCIDRs: [10.244.%[1]d.0/24]}\nstatus: {addresses: [{type: InternalIP, address: 192.0.2.1%[1]d}]}\n", i))
	}
	for name, service := range map[string]struct {
		vip  string
		pods int
	}{"web": {weighedVIP, onNode2}, "steady": {steadyVIP, 3}} {
		objects = append(objects,
			fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: default}\nspec: {type: LoadBalancer, externalTrafficPolicy: Local}\nstatus: {loadBalancer: {ingress: [{ip: %s}]}}\n", name, service.vip),
			localSlice(name, service.pods))
	}
	write(w.t, w.dir, "objects.yaml", strings.Join(objects, "---\n"))
}

// localSlice has one endpoint on node-1, and some on node-2.
func localSlice(service string, onNode2 int) string {
	endpoints := "- {addresses: [10.244.1.2], nodeName: node-1}\n"
	for p := range onNode2 {
		endpoints += fmt.Sprintf("- {addresses: [10.244.2.%d], nodeName: node-2}\n", p+2)
	}
	return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %[1]s-1, namespace: default, labels: {kubernetes.io/service-name: %[1]s}}\naddressType: IPv4\nendpoints:\n%[2]s",
		service, endpoints)
}

// told is what the router's bgpd has of a prefix: the bandwidth from each node, "-" for none.
func (w *weighed) told(vip string) (bandwidths [2]string, err error) {
	var answer struct {
		Paths []struct {
			Peer     struct{ PeerID string }
			Extended struct{ String string } `json:"extendedCommunity"`
		}
	}
	if err := w.router.JSON(w.t.Context(), &answer, "show bgp ipv4 unicast "+vip+"/32 json"); err != nil {
		return bandwidths, err
	}
	for _, path := range answer.Paths {
		for i, n := range w.nodes {
			if path.Peer.PeerID == n.IPv4().String() {
				bandwidths[i] = "-"
				if path.Extended.String != "" {
					bandwidths[i] = path.Extended.String
				}
			}
		}
	}
	return bandwidths, nil
}

// updates are the UPDATE messages that the router has had from each node.
func (w *weighed) updates() (counts [2]int) {
	w.t.Helper()
	for i, n := range w.nodes {
		session, err := w.router.Session(w.t.Context(), n.IPv4().String())
		if err != nil {
			w.t.Fatal(err)
		}
		counts[i] = session.Messages.Updates
	}
	return counts
}

// hasTold waits until the router has this of each node, and its kernel these weights.
func (w *weighed) hasTold(vip string, want [2]string, weights [2]int) {
	w.t.Helper()
	w.eventually(func() error {
		got, err := w.told(vip)
		if err == nil && got != want {
			err = fmt.Errorf("the router was told %q of %s, want %q", got, vip, want)
		}
		return err
	})
	w.eventually(func() error {
		got, err := weightsOf(w.t.Context(), w.router.Host, vip)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(weights[:]) {
			err = fmt.Errorf("the router weighs %v, want %v", got, weights)
		}
		return err
	})
}

// weightsOf are the weights of the next hops of a route, in the order of the gateways.
func weightsOf(ctx context.Context, h *lab.Host, dst string) ([]int, error) {
	out, err := h.Run(ctx, "ip", "-j", "route", "show", dst)
	if err != nil {
		return nil, err
	}
	var routes []lab.Route
	if err := json.Unmarshal([]byte(out), &routes); err != nil || len(routes) != 1 {
		return nil, fmt.Errorf("%s has no one route to %s: %s", h.Name(), dst, out)
	}
	hops := routes[0].NextHops
	slices.SortFunc(hops, func(a, b lab.NextHop) int { return strings.Compare(a.Gateway, b.Gateway) })
	var weights []int
	for _, hop := range hops {
		weights = append(weights, hop.Weight)
	}
	return weights, nil
}

// share opens connections from the client and returns which part of them node-1's pod answered, and
// how many each pod did.
func (w *weighed) share() (node1 float64, byPod map[string]int) {
	w.t.Helper()
	byPod = map[string]int{}
	err := w.client.Inside(func() error {
		for range connections {
			conn, err := net.DialTimeout("tcp", weighedVIP+":80", 5*time.Second)
			if err != nil {
				return err
			}
			answer, err := io.ReadAll(conn)
			_ = conn.Close()
			if err != nil {
				return err
			}
			byPod[string(answer)]++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return float64(byPod["10.244.1.2"]) / connections, byPod
}

// TestTrafficIsSharedByEndpointsAndNotByNodes has a client behind a router open 2,000 connections to a Local
// Service with one pod on one node and three on the other, without linkBandwidth and with it. A changed number
// of endpoints is told of that prefix alone, and no session is touched.
func TestTrafficIsSharedByEndpointsAndNotByNodes(t *testing.T) {
	w := newWeighed(t)
	none, one, three, two := "-", "LB:64512:125000 (1.000 Mbps)", "LB:64512:375000 (3.000 Mbps)", "LB:64512:250000 (2.000 Mbps)"
	measure := func(name string, want float64) {
		t.Helper()
		got, byPod := w.share()
		t.Attr(name, fmt.Sprintf("%.1f %% of %d connections to the node with one pod, %.1f %% to that with three", 100*got, connections, 100-100*got))
		if math.Abs(got-want) > 0.05 {
			t.Errorf("%s: node-1 got %.3f of the connections, want %.2f; by pod: %v", name, got, want, byPod)
		}
	}
	w.hasTold(weighedVIP, [2]string{none, none}, [2]int{1, 1})
	measure("without-link-bandwidth", 0.5)

	w.manifests("ByLocalEndpoints", 3)
	w.hasTold(weighedVIP, [2]string{one, three}, [2]int{25, 75})
	measure("with-link-bandwidth", 0.25)

	w.hasTold(steadyVIP, [2]string{one, three}, [2]int{25, 75})
	before := w.updates()
	w.manifests("ByLocalEndpoints", 2)
	w.hasTold(weighedVIP, [2]string{one, two}, [2]int{33, 66})
	if after := w.updates(); after != [2]int{before[0], before[1] + 1} {
		t.Errorf("the nodes have sent %v UPDATEs before and %v after, want one more of node-2 alone", before, after)
	}
	for _, n := range w.nodes {
		if err := w.ups(1, n.IPv4().String()); err != nil {
			t.Error(err)
		}
		if log := n.log(); strings.Contains(log, "level=ERROR") {
			t.Errorf("the log of %s:\n%s", n.Name(), log)
		}
	}
}

func bandwidthRouter(asn int, bandwidth string) string {
	return fmt.Sprintf(`
route-map weighed permit 10
 set extcommunity bandwidth %[2]s
route-map plain permit 10
router bgp %[1]d
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.11 remote-as 64512
 neighbor 192.0.2.11 timers 3 9
 address-family ipv4 unicast
  network 172.16.1.0/24
  neighbor 192.0.2.11 route-map weighed out
`, asn, bandwidth)
}

// TestNextHopsWeighAsRoutersTell has two FRRs tell a prefix with their bandwidths, in megabits,
// then one of them without, and then with another.
func TestNextHopsWeighAsRoutersTell(t *testing.T) {
	r := &rig{Lab: lab.New(t), t: t}
	n := &node{Node: r.Node("node-1"), rig: r, index: 1}
	lan := r.Switch("lan")
	lan.Attach(n, "192.0.2.11/24")
	torA, torB := r.FRR("tor-a", bandwidthRouter(65001, "100")), r.FRR("tor-b", bandwidthRouter(65002, "300"))
	lan.Attach(torA, "192.0.2.1/24")
	lan.Attach(torB, "192.0.2.2/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	peer := func(i int) string {
		return fairwayObject("BGPPeer", fmt.Sprintf("tor-%d", i), "", fmt.Sprintf(
			"address: 192.0.2.%d, asn: 6500%d, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}, import: {allow: [{prefix: 172.16.0.0/16, maxLength: 24}]}", i, i))
	}
	dir := t.TempDir()
	write(t, dir, "fairway.yaml", strings.Join([]string{liveNode, liveSpeaker(), peer(1), peer(2)}, "---\n"))
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	weighs := func(want ...int) {
		t.Helper()
		r.eventually(func() error {
			got, err := weightsOf(t.Context(), n.Host, "172.16.1.0/24")
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("the node weighs %v, want %v", got, want)
			}
			return err
		})
	}
	tell := func(router *lab.FRR, config string) {
		t.Helper()
		if err := router.Configure(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	weighs(1, 3)
	tell(torB, "router bgp 65002\n address-family ipv4 unicast\n neighbor 192.0.2.11 route-map plain out\n")
	weighs(1, 1)
	tell(torB, "router bgp 65002\n address-family ipv4 unicast\n neighbor 192.0.2.11 route-map weighed out\n")
	weighs(1, 3)
	tell(torA, "route-map weighed permit 10\n set extcommunity bandwidth 200\n")
	weighs(2, 3)
}
