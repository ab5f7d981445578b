// Package host knows the facts of this host that routing decisions rest on: links,
// addresses, connected networks, forwarding. Read takes them from the kernel; all
// questions about them are pure functions of Facts.
package host

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// Facts are what is so on this host at one moment. They are a value: compare two with
// Equal to see whether anything changed.
type Facts struct {
	Links     []Link    // sorted by index
	Addresses []Address // sorted by link; within a link in the kernel's order, primary first

	// Sysctls are the settings that matter, by their path below /proc/sys.
	Sysctls map[string]string
}

// Link is a network interface.
type Link struct {
	Index    int
	Name     string
	Up       bool // set up by the administrator
	Carrier  bool // the far end answers; false for a bridge without ports
	Loopback bool
}

// Address is an address of this host on a link.
type Address struct {
	Link int
	Addr netip.Addr // without zone
	// Network is what the address makes reachable on the link, masked: with a peer, the
	// peer's prefix. A single address without peer has a Network of its own length.
	Network netip.Prefix
	Global  bool // of global scope; false for link-local and host scope
	// Unsettled: duplicate address detection has not ended, or has failed.
	Unsettled bool
	// Temporary (RFC 8981) and Deprecated (RFC 4862) IPv6 addresses do not last; Secondary
	// IPv4 addresses go when the primary one of their network goes.
	Temporary, Deprecated, Secondary bool
	// Dynamic: it has a lifetime, as those have that DHCP or router advertisements gave.
	Dynamic bool
}

// Connected is a network that is reachable on a link without a gateway.
type Connected struct {
	Prefix netip.Prefix
	Link   int
}

// Equal reports whether nothing differs.
func (f Facts) Equal(other Facts) bool {
	return maps.Equal(f.Sysctls, other.Sysctls) &&
		slices.Equal(f.Links, other.Links) && slices.Equal(f.Addresses, other.Addresses)
}

// Link returns the link with that index.
func (f Facts) Link(index int) (Link, bool) {
	for _, link := range f.Links {
		if link.Index == index {
			return link, true
		}
	}
	return Link{}, false
}

// LinkNamed returns the link with that name.
func (f Facts) LinkNamed(name string) (Link, bool) {
	for _, link := range f.Links {
		if link.Name == name {
			return link, true
		}
	}
	return Link{}, false
}

// connects reports whether the address makes its network reachable: its link is up and
// leads somewhere, and the network is more than the address itself.
func (f Facts) connects(a Address) bool {
	link, ok := f.Link(a.Link)
	return ok && link.Up && !link.Loopback && !(a.Network.IsSingleIP() && a.Network.Addr() == a.Addr)
}

// Connected returns the networks of all links that are up, sorted, each once per link. The
// IPv6 link-local network is among them.
func (f Facts) Connected() []Connected {
	var out []Connected
	for _, address := range f.Addresses {
		if f.connects(address) {
			out = append(out, Connected{Prefix: address.Network, Link: address.Link})
		}
	}
	slices.SortFunc(out, func(a, b Connected) int {
		if c := a.Prefix.Compare(b.Prefix); c != 0 {
			return c
		}
		return a.Link - b.Link
	})
	return slices.Compact(out)
}

// OnLink returns the link on which addr is a direct neighbour, or one of our own addresses,
// and our address there in the same network. The most specific network counts; of equal
// ones that of a link with carrier, then of the lowest index. An IPv6 link-local address
// is on the link that its zone names (by name or index), and nowhere without one.
func (f Facts) OnLink(addr netip.Addr) (link int, local netip.Addr, ok bool) {
	addr = addr.Unmap()
	zoned := 0
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		if zoned, ok = f.zone(addr.Zone()); !ok {
			return 0, netip.Addr{}, false
		}
	}
	addr = addr.WithZone("")
	var best *Address
	for i := range f.Addresses {
		a := &f.Addresses[i]
		if !a.Network.Contains(addr) || (zoned != 0 && a.Link != zoned) || !f.connects(*a) {
			continue
		}
		if best == nil || f.nearer(*a, *best) {
			best = a
		}
	}
	if best == nil {
		return 0, netip.Addr{}, false
	}
	return best.Link, best.Addr, true
}

// nearer reports whether a is a better answer than b, which comes before it.
func (f Facts) nearer(a, b Address) bool {
	if a.Network.Bits() != b.Network.Bits() {
		return a.Network.Bits() > b.Network.Bits()
	}
	if a.Link != b.Link {
		linkA, _ := f.Link(a.Link)
		linkB, _ := f.Link(b.Link)
		return linkA.Carrier && !linkB.Carrier // else the lower index, which came first
	}
	return a.lasting() && !b.lasting()
}

// lasting reports whether the address can be told to others as ours.
func (a Address) lasting() bool {
	return !a.Unsettled && !a.Temporary && !a.Deprecated
}

func (f Facts) zone(zone string) (int, bool) {
	if link, ok := f.LinkNamed(zone); ok {
		return link.Index, true
	}
	index, err := strconv.Atoi(zone)
	if err != nil {
		return 0, false
	}
	_, ok := f.Link(index)
	return index, ok
}

// IsLocal reports whether packets to addr end on this host: it is an address of any link,
// up or down, or within an IPv4 network of the loopback link, such as 127.0.0.0/8. A
// link-local address without zone is local if any link has it.
func (f Facts) IsLocal(addr netip.Addr) bool {
	addr = addr.Unmap()
	zoned := 0
	if addr.Zone() != "" {
		var ok bool
		if zoned, ok = f.zone(addr.Zone()); !ok {
			return false
		}
		addr = addr.WithZone("")
	}
	return slices.ContainsFunc(f.Addresses, func(a Address) bool {
		if zoned != 0 && a.Link != zoned {
			return false
		}
		if a.Addr == addr {
			return true
		}
		link, _ := f.Link(a.Link)
		return link.Loopback && addr.Is4() && a.Network.Contains(addr)
	})
}

// AddressOn returns an address of that link and family which others can reach and which
// will last: of global scope, settled, neither deprecated nor temporary; a primary one
// before a secondary one. The zero Addr: there is none.
func (f Facts) AddressOn(link int, family4 bool) netip.Addr {
	var secondary netip.Addr
	for _, a := range f.Addresses {
		if a.Link != link || a.Addr.Is4() != family4 || !a.Global || !a.lasting() {
			continue
		}
		if !a.Secondary {
			return a.Addr
		}
		if !secondary.IsValid() {
			secondary = a.Addr
		}
	}
	return secondary
}

// LinkLocal returns the IPv6 link-local address of a link, settled and not deprecated. The zero
// Addr: it has none.
func (f Facts) LinkLocal(link int) netip.Addr {
	for _, a := range f.Addresses {
		if a.Link == link && a.Addr.Is6() && a.Addr.IsLinkLocalUnicast() && a.lasting() {
			return a.Addr
		}
	}
	return netip.Addr{}
}
