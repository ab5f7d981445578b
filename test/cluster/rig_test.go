// Package cluster tests the whole agent: built as users get it, with the rights that deploy/
// gives it, against a real API server and real routers.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairway-bgp/fairway/controller/kube/client"
	"github.com/fairway-bgp/fairway/test/controlplane"
	"github.com/fairway-bgp/fairway/test/lab"
)

const (
	deploy   = "../../deploy"
	patience = 30 * time.Second
)

// rig is one subnet with nodes, an FRR router and a host that runs the control plane.
//
//	router 192.0.2.1   node-1 .11   node-2 .12   ...   api .100      all in 192.0.2.0/24 and 2001:db8::/64
type rig struct {
	*lab.Lab
	t      *testing.T
	cp     *controlplane.ControlPlane
	fair   *client.Client
	router *lab.FRR
	nodes  []*node
}

type node struct {
	*lab.Node
	rig   *rig
	index int
	agent *lab.Process
	runs  int
}

func routerConfig(nodes int) string {
	var b strings.Builder
	b.WriteString("router bgp 65001\n bgp router-id 192.0.2.1\n no bgp ebgp-requires-policy\n no bgp network import-check\n bgp bestpath as-path multipath-relax\n")
	for i := 1; i <= nodes; i++ {
		fmt.Fprintf(&b, " neighbor 192.0.2.1%d remote-as 64512\n neighbor 192.0.2.1%d timers 3 9\n", i, i)
	}
	b.WriteString(" address-family ipv6 unicast\n")
	for i := 1; i <= nodes; i++ {
		fmt.Fprintf(&b, "  neighbor 192.0.2.1%d activate\n", i)
	}
	b.WriteString(" exit-address-family\n")
	return b.String()
}

// configuration is what a user would write for this subnet.
const configuration = `
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPSpeaker
metadata:
  name: default
spec:
  localASN: 64512
  cluster:
    podCIDRs: [10.244.0.0/16, "fd00:10:244::/48"]
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPPeer
metadata:
  name: router
spec:
  address: 192.0.2.1
  asn: 65001
  timers: {holdTimeSeconds: 9, connectRetrySeconds: 1}
---
apiVersion: bgp.fairway.dev/v1alpha1
kind: BGPAdvertisement
metadata:
  name: default
spec:
  podCIDRs: {}
  services:
    addressTypes: [ClusterIP]
`

// newRig raises the subnet and the control plane, with the CRDs, the agent's rights and no
// objects yet.
func newRig(t *testing.T, nodes int) *rig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	lan := r.Switch("lan")
	for i := 1; i <= nodes; i++ {
		n := &node{Node: r.Node(fmt.Sprintf("node-%d", i)), rig: r, index: i}
		lan.Attach(n, fmt.Sprintf("192.0.2.1%d/24", i), fmt.Sprintf("2001:db8::1%d/64", i))
		r.nodes = append(r.nodes, n)
	}
	r.router = r.FRR("router", routerConfig(nodes))
	lan.Attach(r.router, "192.0.2.1/24", "2001:db8::1/64")
	api := r.Host("api")
	lan.Attach(api, "192.0.2.100/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.cp = controlplane.Start(t, controlplane.Options{
		ListenAddress: netip.MustParseAddr("192.0.2.100"),
		Exec: func(name string, args ...string) *exec.Cmd {
			return exec.Command("nsenter", append([]string{"--net=" + api.NetNS(), name}, args...)...)
		},
		Dial: api.Dial,
	})
	if err := r.cp.ApplyCRDs(t.Context(), filepath.Join(deploy, "crds")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"namespace.yaml", "rbac.yaml"} {
		r.apply(r.read(filepath.Join(deploy, "kustomize", "base", file)))
	}
	var err error
	if r.fair, err = client.NewForConfig(r.cp.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) read(file string) string {
	r.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r *rig) apply(manifests string) {
	r.t.Helper()
	if err := r.cp.Apply(r.t.Context(), []byte(manifests)); err != nil {
		r.t.Fatal(err)
	}
}

// createNode creates the Node object, as a kubelet and the node IPAM controller would.
func (n *node) createNode() {
	n.rig.t.Helper()
	object := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name()},
		Spec:       corev1.NodeSpec{PodCIDR: n.pods(4), PodCIDRs: []string{n.pods(4), n.pods(6)}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: n.IPv4().String()},
			{Type: corev1.NodeInternalIP, Address: n.IPv6().String()},
		}},
	}
	if _, err := n.rig.cp.Client().CoreV1().Nodes().Create(n.rig.t.Context(), object, metav1.CreateOptions{}); err != nil {
		n.rig.t.Fatal(err)
	}
}

func (n *node) deleteNode() {
	n.rig.t.Helper()
	if err := n.rig.cp.Client().CoreV1().Nodes().Delete(n.rig.t.Context(), n.Name(), metav1.DeleteOptions{}); err != nil {
		n.rig.t.Fatal(err)
	}
}

// pods is the node's pod CIDR of a family, 4 or 6.
func (n *node) pods(family int) string {
	if family == 4 {
		return fmt.Sprintf("10.244.%d.0/24", n.index)
	}
	return fmt.Sprintf("fd00:10:244:%d::/64", n.index)
}

// startAgent starts the agent with the rights of its service account and nothing more.
func (n *node) startAgent(flags ...string) {
	n.rig.t.Helper()
	kubeconfig := n.rig.cp.KubeconfigForServiceAccount(n.rig.t.Context(), "fairway-system", "fairway-agent")
	n.start(append([]string{"--source=kube", "--kubeconfig=" + kubeconfig, "--node-name=" + n.Name(), "--state-dir=" + filepath.Join(n.Dir(), "state")}, flags...)...)
}

func (n *node) start(flags ...string) {
	n.rig.t.Helper()
	n.runs++
	argv := append([]string{lab.Binary(n.rig.t), "agent"}, flags...)
	var err error
	if n.agent, err = n.Start(n.rig.t.Context(), fmt.Sprintf("agent-%d", n.runs), argv...); err != nil {
		n.rig.t.Fatal(err)
	}
}

// startAll creates every Node and starts an agent on each, and waits for all sessions.
func (r *rig) startAll() {
	r.t.Helper()
	for _, n := range r.nodes {
		n.createNode()
	}
	for _, n := range r.nodes {
		n.startAgent()
	}
	r.sessionsUp()
}

// sessionsUp waits until every node has its session to the router and two to each other node.
func (r *rig) sessionsUp() {
	r.t.Helper()
	for _, n := range r.nodes {
		want := 1 + 2*(len(r.nodes)-1)
		r.eventually(func() error { return n.established(want) })
	}
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	lab.Eventually(r.t, patience, check)
}

// established asks the real gobgp client how many sessions are up.
func (n *node) established(want int) error {
	out, err := n.run("gobgp", "neighbor")
	if err != nil {
		return err
	}
	if got := strings.Count(out, "Establ"); got != want {
		return fmt.Errorf("%s has %d sessions up, want %d:\n%s", n.Name(), got, want, out)
	}
	return nil
}

func (n *node) run(argv ...string) (string, error) { return n.Run(n.rig.t.Context(), argv...) }

// routerHas reports whether the router's kernel sends a prefix to exactly these addresses;
// none: it has no such route.
func (r *rig) routerHas(prefix string, via ...netip.Addr) error {
	return hasRoute(r.t.Context(), r.router.Host, prefix, via...)
}

func hasRoute(ctx context.Context, h *lab.Host, prefix string, via ...netip.Addr) error {
	routes, err := h.Routes(ctx)
	if err != nil {
		return err
	}
	got := []string{}
	for _, route := range routes {
		if route.Dst != prefix && route.Dst+"/32" != prefix && route.Dst+"/128" != prefix {
			continue
		}
		got = append(got, gateways(route)...)
	}
	want := []string{}
	for _, addr := range via {
		want = append(want, addr.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s sends %s to %v, want %v", h.Name(), prefix, got, want)
	}
	return nil
}

func gateways(route lab.Route) []string {
	if len(route.NextHops) == 0 {
		return []string{route.Gateway}
	}
	var out []string
	for _, hop := range route.NextHops {
		out = append(out, hop.Gateway)
	}
	return out
}

func (r *rig) addresses(family int) []netip.Addr {
	var out []netip.Addr
	for _, n := range r.nodes {
		if family == 4 {
			out = append(out, n.IPv4())
		} else {
			out = append(out, n.IPv6())
		}
	}
	return out
}

// service is a dual-stack Service with given ClusterIPs.
func service(name, ipv4, ipv6 string) *corev1.Service {
	policy := corev1.IPFamilyPolicyRequireDualStack
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.ServiceSpec{
			ClusterIP: ipv4, ClusterIPs: []string{ipv4, ipv6}, IPFamilyPolicy: &policy,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol},
			Ports:      []corev1.ServicePort{{Port: 80}},
		},
	}
}

func endpointSlice(service string, family discoveryv1.AddressType, addr string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: strings.ToLower(service + "-" + string(family)), Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: family,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{addr}}},
	}
}

// createService creates a Service that has an endpoint of each family, on no node in particular.
func (r *rig) createService(s *corev1.Service) {
	r.t.Helper()
	for _, slice := range []*discoveryv1.EndpointSlice{
		endpointSlice(s.Name, discoveryv1.AddressTypeIPv4, "10.244.9.9"), endpointSlice(s.Name, discoveryv1.AddressTypeIPv6, "fd00:10:244:9::9"),
	} {
		_, err := r.cp.Client().DiscoveryV1().EndpointSlices("default").Create(r.t.Context(), slice, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			r.t.Fatal(err)
		}
	}
	if _, err := r.cp.Client().CoreV1().Services("default").Create(r.t.Context(), s, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) deleteService(name string) {
	r.t.Helper()
	if err := r.cp.Client().CoreV1().Services("default").Delete(r.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// get asks the agent's HTTP server.
func (n *node) get(path string) (body string, err error) {
	return n.run("curl", "-s", "-m", "2", "-w", "\n%{http_code}\n", "http://127.0.0.1:9479"+path)
}

func (n *node) metric(line string) error {
	body, err := n.get("/metrics")
	if err == nil && !strings.Contains(body, "\n"+line+"\n") {
		err = errors.New("no line " + line + " in\n" + body)
	}
	return err
}

func (n *node) answers(path, status string) error {
	body, err := n.get(path)
	if err == nil && !strings.HasSuffix(body, "\n"+status+"\n") {
		err = fmt.Errorf("%s answers %q, want %s", path, body, status)
	}
	return err
}

// says reports whether the status of an object, such as "BGPPeer_tor", holds all these words. The
// node's state folder has to be "state" in its own.
func (n *node) says(object string, words ...string) error {
	text, err := os.ReadFile(filepath.Join(n.Dir(), "state", "status", object+".yaml"))
	flat := strings.Join(strings.Fields(string(text)), " ") // long lines are folded
	for _, word := range words {
		if err == nil && !strings.Contains(flat, word) {
			err = fmt.Errorf("no %q in\n%s", word, text)
		}
	}
	return err
}

// log is what the agent has said since its last start.
func (n *node) log() string {
	n.rig.t.Helper()
	text, err := n.agent.Log()
	if err != nil {
		n.rig.t.Fatal(err)
	}
	return text
}
