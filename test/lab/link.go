package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// A Link is a cable between two hosts, or between a host and a switch. It runs
// through the lab's patch panel, so that it can be cut as a cable is: both ends
// lose carrier while neither is set down.
type Link struct {
	lab  *Lab
	A, B End
	cut  []string // the ports of the panel, one or two
}

// An End is where a link meets a host. At a switch it is empty.
type End struct {
	Host      *Host
	Interface string
	Addrs     []netip.Addr
}

// Link connects two hosts. Each interface is named after the host at the far
// end, with "-2" and so on for further links. Of each subnet a gets the first
// address and b the next: 10.0.0.0/31 gives .0 and .1, 10.0.0.0/24 .1 and .2,
// fd00::/127 :: and ::1. No subnets leave link-local addresses only.
func (l *Lab) Link(a, b Machine, subnets ...string) *Link {
	link := &Link{lab: l, A: End{Host: a.host()}, B: End{Host: b.host()}}
	link.A.Interface = link.A.Host.free(link.B.Host.name)
	link.B.Interface = link.B.Host.free(link.A.Host.name)
	var addrsA, addrsB []string
	for _, subnet := range subnets {
		prefix, err := netip.ParsePrefix(subnet)
		if err != nil || prefix.IsSingleIP() {
			l.fail(fmt.Errorf("link between %s and %s: %q is not a subnet", link.A.Host.name, link.B.Host.name, subnet))
			return link
		}
		first := prefix.Masked().Addr()
		if prefix.Bits() < first.BitLen()-1 {
			first = first.Next()
		}
		addrsA = append(addrsA, fmt.Sprintf("%s/%d", first, prefix.Bits()))
		addrsB = append(addrsB, fmt.Sprintf("%s/%d", first.Next(), prefix.Bits()))
	}
	wire := l.nextPort("wire")
	l.script(bridge(wire)...)
	link.plug(wire, &link.A, addrsA)
	link.plug(wire, &link.B, addrsB)
	return link
}

// A Switch is a plain layer 2 switch without spanning tree or snooping.
type Switch struct {
	lab  *Lab
	name string
}

// Switch adds a switch.
func (l *Lab) Switch(name string) *Switch {
	if l.claim(name) {
		l.script(bridge(name)...)
	}
	return &Switch{lab: l, name: name}
}

// Attach plugs a host into the switch, through an interface named after the
// switch, with these addresses, each with its prefix length.
func (s *Switch) Attach(m Machine, addrs ...string) *Link {
	link := &Link{lab: s.lab, A: End{Host: m.host()}}
	link.A.Interface = link.A.Host.free(s.name)
	link.plug(s.name, &link.A, addrs)
	return link
}

func bridge(name string) []string {
	return []string{
		"ip link add name " + name + " type bridge forward_delay 0 mcast_snooping 0",
		"ip link set dev " + name + " up",
	}
}

// plug runs a cable from a bridge of the patch panel to one end.
func (k *Link) plug(bridge string, end *End, addrs []string) {
	port := k.lab.nextPort("port")
	k.cut = append(k.cut, port)
	host := end.Host.name
	k.lab.script(
		fmt.Sprintf("ip link add name %s type veth peer name %s netns %s", port, end.Interface, host),
		fmt.Sprintf("ip link set dev %s alias '%s of %s' master %s up", port, end.Interface, host, bridge),
		fmt.Sprintf("ip -n %s link set dev %s up", host, end.Interface),
		noticed("", port, bridge),
		noticed(host, end.Interface),
	)
	for _, addr := range addrs {
		if prefix, err := netip.ParsePrefix(addr); err == nil {
			end.Addrs = append(end.Addrs, prefix.Addr())
		}
	}
	end.Host.AddAddress(end.Interface, addrs...)
}

// noticed is a script that has the kernel act on changes of carrier now: left to
// itself it takes up to a second, in which there is no link-local address and
// routers wait. Linux from 6.9 on catches up when asked about a device; an older
// one is just later.
func noticed(host string, devices ...string) string {
	var lines []string
	for _, device := range devices {
		line := "ip link show dev " + device + " >/dev/null"
		if host != "" {
			line = "ip -n " + host + strings.TrimPrefix(line, "ip")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// free finds the interface name for a link to what is called peer.
func (h *Host) free(peer string) string {
	name := peer
	for n := 2; h.links[name]; n++ {
		name = fmt.Sprintf("%s-%d", peer, n)
	}
	if len(name) > 15 {
		h.lab.fail(fmt.Errorf("%s cannot have an interface called %q: more than 15 characters", h.name, name))
	}
	h.links[name] = true
	return name
}

// Cut takes carrier away at both ends. As with a real cable, the kernel may act
// on it and tell its listeners up to a second later.
func (k *Link) Cut(ctx context.Context) error { return k.set(ctx, "down") }

// Mend gives carrier back. The same goes for when the ends act on it.
func (k *Link) Mend(ctx context.Context) error { return k.set(ctx, "up") }

func (k *Link) set(ctx context.Context, state string) error {
	var lines []string
	for _, port := range k.cut {
		lines = append(lines, "ip link set dev "+port+" "+state)
	}
	lines = append(lines, noticed("", k.cut...)) // the panel's own bridge
	_, err := k.lab.run(ctx, "", "sh", "-ec", strings.Join(lines, "\n"))
	return err
}
