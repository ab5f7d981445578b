package host

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Read takes the facts of the current network namespace from the kernel. After an error
// they say nothing.
func Read() (Facts, error) {
	var facts Facts
	var err error
	if facts.Links, err = readLinks(); err != nil {
		return Facts{}, fmt.Errorf("reading links: %w", err)
	}
	if facts.Addresses, err = readAddresses(); err != nil {
		return Facts{}, fmt.Errorf("reading addresses: %w", err)
	}
	if facts.Sysctls, err = readSysctls(facts); err != nil {
		return Facts{}, err
	}
	return facts, nil
}

// dumpAttempts bounds how often a listing is begun again because it changed while it was read.
const dumpAttempts = 10

// listed repeats list while the kernel marks its result as inconsistent.
func listed[T any](list func() ([]T, error)) ([]T, error) {
	for attempt := 1; ; attempt++ {
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || attempt == dumpAttempts {
			return out, err
		}
	}
}

func readLinks() ([]Link, error) {
	list, err := listed(netlink.LinkList)
	if err != nil {
		return nil, err
	}
	links := make([]Link, len(list))
	for i, link := range list {
		attrs := link.Attrs()
		links[i] = Link{
			Index:    attrs.Index,
			Name:     attrs.Name,
			Up:       attrs.RawFlags&unix.IFF_UP != 0,
			Carrier:  attrs.RawFlags&unix.IFF_LOWER_UP != 0,
			Loopback: attrs.RawFlags&unix.IFF_LOOPBACK != 0,
		}
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return links, nil
}

func readAddresses() ([]Address, error) {
	list, err := listed(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return nil, err
	}
	addresses := make([]Address, 0, len(list))
	for _, addr := range list {
		if address, ok := addressFrom(addr); ok {
			addresses = append(addresses, address)
		}
	}
	slices.SortStableFunc(addresses, func(a, b Address) int { return cmp.Compare(a.Link, b.Link) })
	return addresses, nil
}

// addressFrom converts; false for an address that is neither IPv4 nor IPv6.
func addressFrom(in netlink.Addr) (Address, bool) {
	own, ok := prefixFrom(in.IPNet)
	if !ok {
		return Address{}, false
	}
	out := Address{
		Link:      in.LinkIndex,
		Addr:      own.Addr(),
		Network:   own.Masked(),
		Global:    in.Scope == unix.RT_SCOPE_UNIVERSE || in.Scope == unix.RT_SCOPE_SITE,
		Unsettled: in.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0,
	}
	if peer, ok := prefixFrom(in.Peer); ok {
		out.Network = peer.Masked()
	}
	out.Dynamic = in.Flags&unix.IFA_F_PERMANENT == 0
	out.Deprecated = in.Flags&unix.IFA_F_DEPRECATED != 0
	// One bit has two names, by family.
	out.Secondary = out.Addr.Is4() && in.Flags&unix.IFA_F_SECONDARY != 0
	out.Temporary = out.Addr.Is6() && in.Flags&unix.IFA_F_TEMPORARY != 0
	return out, true
}

func prefixFrom(in *net.IPNet) (netip.Prefix, bool) {
	if in == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(in.IP)
	if !ok {
		return netip.Prefix{}, false
	}
	bits, size := in.Mask.Size()
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, bits), size == addr.BitLen()
}
