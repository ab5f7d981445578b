package netlink

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// DefaultProtocol is the route protocol number that no known program uses.
const DefaultProtocol = 219

// protocolOwners names who uses a route protocol number: those of linux/rtnetlink.h, of
// iproute2's rt_protos, of FRR's zebra/rt_netlink.h, and of network plugins for Kubernetes.
var protocolOwners = map[int]string{
	unix.RTPROT_REDIRECT: "ICMP redirects", unix.RTPROT_KERNEL: "kernel", unix.RTPROT_BOOT: "boot",
	unix.RTPROT_STATIC: "static", unix.RTPROT_GATED: "gated", unix.RTPROT_RA: "router advertisements",
	unix.RTPROT_MRT: "mrt", unix.RTPROT_ZEBRA: "FRR zebra", unix.RTPROT_BIRD: "BIRD",
	unix.RTPROT_DNROUTED: "dnrouted", unix.RTPROT_XORP: "xorp", unix.RTPROT_NTK: "ntk",
	unix.RTPROT_DHCP: "dhcp", unix.RTPROT_MROUTED: "mrouted", unix.RTPROT_KEEPALIVED: "keepalived",
	unix.RTPROT_BABEL: "FRR babel", 80: "Calico", unix.RTPROT_OVN: "OVN", unix.RTPROT_OPENR: "Open/R",
	unix.RTPROT_BGP: "FRR bgp", unix.RTPROT_ISIS: "FRR isis", unix.RTPROT_OSPF: "FRR ospf",
	unix.RTPROT_RIP: "FRR rip", 190: "FRR ripng", 191: "FRR nhrp", unix.RTPROT_EIGRP: "FRR eigrp",
	193: "FRR ldp", 194: "FRR sharp", 195: "FRR pbr", 196: "FRR static", 197: "FRR openfabric",
	198: "FRR srte", 199: "FRR",
}

// ValidateProtocol returns why n must not be the number that marks our routes, or nil. A
// number that another program uses is refused: that program would take our routes for its
// own (FRR's zebra adopts and sweeps them when it starts), and we its.
func ValidateProtocol(n int) error {
	const advice = "choose another, such as %d"
	if owner, used := protocolOwners[n]; used {
		return fmt.Errorf("route protocol %d belongs to %s; "+advice, n, owner, DefaultProtocol)
	}
	if n < 5 || n > 255 {
		return fmt.Errorf("route protocol %d is not between 5 and 255; "+advice, n, DefaultProtocol)
	}
	return nil
}

const permissionHint = "CAP_NET_ADMIN is missing: run as root, or add NET_ADMIN to the container's securityContext.capabilities.add"

// CheckPermission returns one clear line if the kernel would not let this process change
// routes in the current network namespace.
func CheckPermission() error {
	conn, err := open()
	if err != nil {
		return err
	}
	return errors.Join(probe(newFIB(DefaultProtocol, conn)), conn.close())
}

// probe sends a delete too short to name a route. The kernel checks the permission first
// and the message second, so this asks it about the very thing, and can change nothing.
func probe(f *FIB) error {
	f.seq++
	b := appendHeader(f.out[:0], unix.RTM_DELROUTE, unix.NLM_F_REQUEST|unix.NLM_F_ACK, f.seq)
	b = append(b, unix.AF_INET, 0, 0, 0)
	if err := f.conn.send(finish(b, 0)); err != nil {
		return fmt.Errorf("asking the kernel for permission to change routes: %w", err)
	}
	a := answers{first: f.seq, errs: make([]error, 1)}
	if err := f.collect(&a); err != nil {
		return fmt.Errorf("asking the kernel for permission to change routes: %w", err)
	}
	if errors.Is(a.errs[0], unix.EPERM) {
		return errors.New("may not change the kernel's routes: " + permissionHint)
	}
	return nil
}
