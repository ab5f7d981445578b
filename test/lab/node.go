package lab

import (
	"fmt"
	"net/netip"
)

// A Node is a host set up as a Kubernetes node is: it forwards, and has pods
// behind it.
type Node struct {
	*Host
	pods    int
	podNets map[netip.Prefix]netip.Addr // to their gateway on the node
}

// Node adds a node; sysctls ("net.ipv4.tcp_ecn=1") come on top of the usual ones.
func (l *Lab) Node(name string, sysctls ...string) *Node {
	n := &Node{Host: l.newHost(name), podNets: map[netip.Prefix]netip.Addr{}}
	if l.claim(name) {
		n.create(append(forwarding[:len(forwarding):len(forwarding)], sysctls...))
	}
	return n
}

// Pod adds a pod: a host behind the node's bridge cni0, with the given addresses
// and default routes to the first address of each one's prefix, which is the
// node's. Its interface is eth0; the node's end carries the pod's number.
func (n *Node) Pod(addrs ...string) *Host {
	l := n.lab
	n.pods++
	port := fmt.Sprintf("pod-%d", n.pods)
	pod := l.newHost(n.name + "-" + port)
	if !l.claimAny(pod.name) {
		return pod
	}
	pod.create(nil)
	gateways := n.gateways(addrs)
	l.script(
		fmt.Sprintf("ip -n %s link add name %s type veth peer name eth0 netns %s", n.name, port, pod.name),
		fmt.Sprintf("ip -n %s link set dev %s master cni0 up", n.name, port),
		fmt.Sprintf("ip -n %s link set dev eth0 up", pod.name),
		noticed(n.name, port, "cni0"),
		noticed(pod.name, "eth0"),
	)
	pod.AddAddress("eth0", addrs...)
	pod.Default(gateways...)
	return pod
}

// gateways makes sure that cni0 has the first address of each pod's prefix.
func (n *Node) gateways(addrs []string) []string {
	var lines, gateways []string
	if n.pods == 1 {
		lines = append(lines,
			fmt.Sprintf("ip -n %s link add name cni0 type bridge forward_delay 0 mcast_snooping 0", n.name),
			fmt.Sprintf("ip -n %s link set dev cni0 up", n.name))
	}
	for _, addr := range addrs {
		prefix, err := netip.ParsePrefix(addr)
		if err != nil {
			n.lab.fail(fmt.Errorf("address of a pod of %s: %w", n.name, err))
			return nil
		}
		gateway, known := n.podNets[prefix.Masked()]
		if !known {
			gateway = prefix.Masked().Addr().Next()
			n.podNets[prefix.Masked()] = gateway
			lines = append(lines, fmt.Sprintf("ip -n %s addr add %s/%d dev cni0", n.name, gateway, prefix.Bits()))
		}
		gateways = append(gateways, gateway.String())
	}
	n.lab.script(lines...)
	return gateways
}
