package cluster

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// ownRules translate the addresses of a Service as kube-proxy does, for packets that come and for the
// node's own. kube-proxy itself does not run.
const ownRules = `table inet proxy {
chain pre { type nat hook prerouting priority dstnat; jump services; }
chain out { type nat hook output priority -100; jump services; }
chain services {
ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.244.1.2
ip6 daddr fd00:96::1 tcp dport 80 dnat ip6 to fd00:10:244:1::2
}
}
`

const aggregated = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, "fd00:96::1"], ipFamilies: [IPv4, IPv6], ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.2], nodeName: node-1}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
endpoints: [{addresses: ["fd00:10:244:1::2"], nodeName: node-1}]
`

// unownedRig is a node with a pod, a router, and a client behind it. The Service of the pod is announced
// in a shorter prefix of each family.
//
//	client 10.9.0.1 -- 10.9.0.0 router 192.0.2.1 -- 192.0.2.11 node-1 -- 10.244.1.2 pod
func unownedRig(t *testing.T) (r *rig, n *node, client, pod *lab.Host) {
	t.Helper()
	r = &rig{Lab: lab.New(t), t: t}
	n = &node{Node: r.Node("node-1"), rig: r, index: 1}
	r.router = r.FRR("router", routerConfig(1))
	client = r.Host("client")
	lan := r.Switch("lan")
	lan.Attach(n, "192.0.2.11/24", "2001:db8::11/64")
	lan.Attach(r.router, "192.0.2.1/24", "2001:db8::1/64")
	r.Link(r.router, client, "10.9.0.0/31", "fd09::/127")
	client.Default("10.9.0.0", "fd09::")
	n.Default("192.0.2.1", "2001:db8::1")
	pod = n.Pod("10.244.1.2/24", "fd00:10:244:1::2/64")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	listener, err := pod.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go answer(listener, "pod")
	rules := filepath.Join(t.TempDir(), "rules")
	write(t, filepath.Dir(rules), "rules", ownRules)
	if _, err := n.run("nft", "-f", rules); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "node.yaml", liveNode)
	write(t, dir, "services.yaml", aggregated)
	write(t, dir, "fairway.yaml", strings.Join([]string{
		liveSpeaker(),
		fairwayObject("BGPPeer", "router", "", "address: 192.0.2.1, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}"),
		liveAdvertisement("services: {addressTypes: [ClusterIP], aggregation: {ipv4Length: 24, ipv6Length: 112}}"),
	}, "---\n"))
	n.start("--source=dir:"+dir, "--node-name=node-1", "--state-dir="+filepath.Join(n.Dir(), "state"))
	return r, n, client, pod
}

// answer tells every connection a word.
func answer(listener net.Listener, word string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, word)
		_ = conn.Close()
	}
}

func reaches(from *lab.Host, address string) error {
	return from.Inside(func() error {
		conn, err := net.DialTimeout("tcp", address, 3*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = io.ReadAll(conn)
		return err
	})
}

// pingSays demands that the answer to an echo request to addr is an error in these words.
func (r *rig) pingSays(from *lab.Host, addr, want string) error {
	out, err := from.Run(r.t.Context(), "sh", "-c", "ping -n -c1 -W2 "+addr+" || true")
	if err == nil && !strings.Contains(out, want) {
		err = fmt.Errorf("%s pings %s, want %q:\n%s", from.Name(), addr, want, out)
	}
	return err
}

// TestAddressesOfAnAggregateThatNobodyOwnsAreRefused has packets to such addresses answered by the node, from
// outside and from a pod, where they would go round between node and router otherwise; the addresses of the
// Service are reached from outside and from the node itself.
func TestAddressesOfAnAggregateThatNobodyOwnsAreRefused(t *testing.T) {
	r, n, client, pod := unownedRig(t)
	now := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	reached := func() {
		t.Helper()
		for _, host := range []*lab.Host{client, n.Host} {
			now(reaches(host, "10.96.0.1:80"))
			now(reaches(host, "[fd00:96::1]:80"))
		}
	}
	refused := func() {
		t.Helper()
		r.eventually(func() error {
			return r.pingSays(client, "10.96.0.77", "From 192.0.2.11 icmp_seq=1 Destination Host Unreachable")
		})
		r.eventually(func() error {
			return r.pingSays(client, "fd00:96::77", "From 2001:db8::11 icmp_seq=1 Destination unreachable: Address unreachable")
		})
		now(r.pingSays(pod, "10.96.0.77", "From 10.244.1.1 icmp_seq=1 Destination Host Unreachable"))
		now(r.pingSays(pod, "fd00:96::77", "icmp_seq=1 Destination unreachable: Address unreachable"))
	}
	r.eventually(func() error { return r.routerHas("10.96.0.0/24", n.IPv4()) })
	r.eventually(func() error { return r.routerHas("fd00:96::/112", n.IPv6()) })
	refused()
	reached()

	if err := n.agent.Stop(t.Context()); err != nil { // and what it has put in place stays
		t.Fatal(err)
	}
	refused()
	if _, err := n.run("nft", "delete", "table", "inet", "fairway"); err != nil {
		t.Fatal(err)
	}
	now(r.pingSays(client, "10.96.0.77", "Time to live exceeded"))
	now(r.pingSays(client, "fd00:96::77", "Time exceeded: Hop limit"))
	reached()
}

// TestRulesThatSomebodyFlushesAreBack has all rules of the host flushed under an agent that runs.
func TestRulesThatSomebodyFlushesAreBack(t *testing.T) {
	r, n, client, _ := unownedRig(t)
	refused := func() error {
		return r.pingSays(client, "10.96.0.77", "From 192.0.2.11 icmp_seq=1 Destination Host Unreachable")
	}
	r.eventually(refused)
	if _, err := n.run("nft", "flush", "ruleset"); err != nil {
		t.Fatal(err)
	}
	if err := refused(); err == nil {
		t.Log("it was back at once")
	}
	r.eventually(refused)
	if log := n.log(); strings.Contains(log, "level=ERROR") {
		t.Errorf("the log:\n%s", log)
	}
}
