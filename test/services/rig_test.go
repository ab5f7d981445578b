// Package services tests that Services are reached from outside the cluster, with the real
// kube-proxy on each node, real routers and a real API server, while their pods come and go.
package services

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/controlplane/binaries"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	deploy   = "../../deploy"
	patience = 30 * time.Second
)

// rig is a client behind two routers, three nodes behind them, and a host that runs the
// control plane.
//
//	client .100 ---(203.0.113.0/24, 2001:db8:c::/64)--- .1 tor-a .1 ---(192.0.2.0/24, 2001:db8::/64)--- .11 node-1
//	                                                \-- .2 tor-b .2 --/                              \- .12 node-2, .13 node-3, .100 api
type rig struct {
	*lab.Lab
	t       *testing.T
	cp      *controlplane.ControlPlane
	client  *lab.Host
	routers []*lab.FRR
	nodes   []*node
}

type node struct {
	*lab.Node
	rig   *rig
	index int
	pods  int
}

const numberOfNodes = 3

const configuration = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata: {name: default}
spec:
  localASN: 64512
  readiness: {dataplaneDelayMilliseconds: 1500} # kube-proxy programs its rules once a second
  cluster:
    podCIDRs: [10.244.0.0/16, "fd00:10:244::/48"]
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor-a}
spec: {address: 192.0.2.1, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata: {name: tor-b}
spec: {address: 192.0.2.2, asn: 65001, timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}}
---
` + advertisement

const advertisement = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata: {name: default}
spec:
  podCIDRs: {}
  services:
    addressTypes: [ClusterIP, ExternalIP, LoadBalancerIP]
    externalIPRanges: [198.18.10.0/24, "2001:db8:e::/64"]
    loadBalancerIPRanges: [198.18.20.0/24, "2001:db8:f::/64"]
`

func routerConfig(id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router bgp 65001\n bgp router-id %s\n no bgp ebgp-requires-policy\n bgp bestpath as-path multipath-relax\n", id)
	for i := 1; i <= numberOfNodes; i++ {
		fmt.Fprintf(&b, " neighbor 192.0.2.1%d remote-as 64512\n neighbor 192.0.2.1%d timers 3 9\n", i, i)
	}
	b.WriteString(" address-family ipv6 unicast\n")
	for i := 1; i <= numberOfNodes; i++ {
		fmt.Fprintf(&b, "  neighbor 192.0.2.1%d activate\n", i)
	}
	b.WriteString(" exit-address-family\n")
	return b.String()
}

// newRig raises everything: routers, control plane, and an agent and a kube-proxy on each node.
func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	outside, fabric := r.Switch("outside"), r.Switch("fabric")
	r.client = r.Host("client")
	outside.Attach(r.client, "203.0.113.100/24", "2001:db8:c::100/64")
	for i, name := range []string{"tor-a", "tor-b"} {
		router := r.FRR(name, routerConfig(fmt.Sprintf("192.0.2.%d", i+1)))
		outside.Attach(router, fmt.Sprintf("203.0.113.%d/24", i+1), fmt.Sprintf("2001:db8:c::%d/64", i+1))
		fabric.Attach(router, fmt.Sprintf("192.0.2.%d/24", i+1), fmt.Sprintf("2001:db8::%d/64", i+1))
		r.routers = append(r.routers, router)
	}
	// One router for each family: with two, the client's kernel sends the packets of one connection by both
	// (those that are sent again, and those of a connection that it has closed), and the routers choose nodes
	// each by a hash of its own.
	r.client.Default("203.0.113.1", "2001:db8:c::2")
	for i := 1; i <= numberOfNodes; i++ {
		n := &node{Node: r.Node(fmt.Sprintf("node-%d", i), "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1"), rig: r, index: i}
		fabric.Attach(n, fmt.Sprintf("192.0.2.1%d/24", i), fmt.Sprintf("2001:db8::1%d/64", i))
		n.Default("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2")
		r.nodes = append(r.nodes, n)
	}
	api := r.Host("api")
	fabric.Attach(api, "192.0.2.100/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.startControlPlane(api)
	for _, n := range r.nodes {
		n.create()
	}
	for _, n := range r.nodes {
		n.startAgent()
		n.startProxy()
	}
	return r
}

func (r *rig) startControlPlane(api *lab.Host) {
	r.t.Helper()
	r.cp = controlplane.Start(r.t, controlplane.Options{
		ListenAddress: api.IPv4(),
		Exec: func(name string, args ...string) *exec.Cmd {
			return exec.Command("nsenter", append([]string{"--net=" + api.NetNS(), name}, args...)...)
		},
		Dial: api.Dial,
	})
	if err := r.cp.ApplyCRDs(r.t.Context(), filepath.Join(deploy, "crds")); err != nil {
		r.t.Fatal(err)
	}
	for _, file := range []string{"namespace.yaml", "rbac.yaml"} {
		text, err := os.ReadFile(filepath.Join(deploy, "kustomize", "base", file))
		if err != nil {
			r.t.Fatal(err)
		}
		r.apply(string(text))
	}
	r.apply(configuration)
}

// firstHop is the router that the client's packets to an address pass.
func firstHop(to netip.Addr) string {
	if to.Is4() {
		return "tor-a"
	}
	return "tor-b"
}

func (r *rig) apply(manifests string) {
	r.t.Helper()
	if err := r.cp.Apply(r.t.Context(), []byte(manifests)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	lab.Eventually(r.t, patience, check)
}

// create creates the Node object, as a kubelet and the node IPAM controller would.
func (n *node) create() {
	n.rig.t.Helper()
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name()},
		Spec:       corev1.NodeSpec{PodCIDR: n.podCIDR(4), PodCIDRs: []string{n.podCIDR(4), n.podCIDR(6)}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: n.IPv4().String()},
			{Type: corev1.NodeInternalIP, Address: n.IPv6().String()},
		}},
	}
	if _, err := n.rig.cp.Client().CoreV1().Nodes().Create(n.rig.t.Context(), object, metav1.CreateOptions{}); err != nil {
		n.rig.t.Fatal(err)
	}
}

func (n *node) podCIDR(family int) string {
	if family == 4 {
		return fmt.Sprintf("10.244.%d.0/24", n.index)
	}
	return fmt.Sprintf("fd00:10:244:%d::/64", n.index)
}

// startAgent starts the agent with the rights of its service account and nothing more.
func (n *node) startAgent() {
	n.rig.t.Helper()
	ctx := n.rig.t.Context()
	_, err := n.Start(ctx, "agent", lab.Binary(n.rig.t), "agent", "--source=kube",
		"--kubeconfig="+n.rig.cp.KubeconfigForServiceAccount(ctx, "fairway-system", "fairway-agent"),
		"--node-name="+n.Name(), "--state-dir="+filepath.Join(n.Dir(), "state"))
	if err != nil {
		n.rig.t.Fatal(err)
	}
}

// startProxy starts kube-proxy. The sysctls of conntrack cannot be written in a namespace.
func (n *node) startProxy() {
	n.rig.t.Helper()
	ctx := n.rig.t.Context()
	program, err := binaries.Build(ctx, "kube-proxy", os.Stderr)
	if err != nil {
		n.rig.t.Fatal(err)
	}
	_, err = n.Start(ctx, "kube-proxy", program, "--kubeconfig="+n.rig.cp.KubeconfigForUser("system:kube-proxy"),
		"--hostname-override="+n.Name(), "--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48",
		"--conntrack-max-per-core=0", "--conntrack-min=0",
		"--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0")
	if err != nil {
		n.rig.t.Fatal(err)
	}
}

// via reports an error unless both routers send a prefix to exactly these nodes.
func (r *rig) via(ctx context.Context, prefix netip.Prefix, nodes ...*node) error {
	addr, want, name := prefix.Addr(), map[string]bool{}, prefix.String()
	if prefix.IsSingleIP() {
		name = addr.String() // as the kernel's tools write it
	}
	for _, n := range nodes {
		if addr.Is4() {
			want[n.IPv4().String()] = true
		} else {
			want[n.IPv6().String()] = true
		}
	}
	for _, router := range r.routers {
		routes, err := router.Routes(ctx)
		if err != nil {
			return err
		}
		got := map[string]bool{}
		for _, route := range routes {
			if route.Dst != name {
				continue
			}
			if route.Gateway != "" {
				got[route.Gateway] = true
			}
			for _, hop := range route.NextHops {
				got[hop.Gateway] = true
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("%s sends %s to %v, want %v", router.Name(), prefix, got, want)
		}
	}
	return nil
}
