// Package routes keeps the kernel's table equal to what is wanted of it: the words, the
// pure difference between wanted and present, and [Table], which carries it out.
//
// A route is ours when it bears our protocol number in the kernel; nothing else is ever
// changed, and a route of ours that is wanted is never absent on the way to its new form.
package routes

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"
)

// Key is what the kernel tells routes apart by.
type Key struct {
	Prefix netip.Prefix
	Table  uint32 // 254: main
	Metric uint32 // never 0: in IPv6 the kernel would make it 1024

	// only is the Selector; of none it is the zero Handle. 8 bytes, for there are many keys.
	only unique.Handle[Selector]
}

// Selector narrows a route to some of the packets to its prefix. Fairway never wants a route
// that has one, but the kernel tells routes apart by it, so one of these may bear our number.
type Selector struct {
	TOS    uint8        // IPv4; 0: any
	Source netip.Prefix // IPv6; the zero Prefix: any
}

// Selector returns what narrows the key's route; the zero Selector: nothing.
func (k Key) Selector() Selector {
	if k.only == (unique.Handle[Selector]{}) {
		return Selector{}
	}
	return k.only.Value()
}

// WithSelector returns the key of the route that s narrows.
func (k Key) WithSelector(s Selector) Key {
	k.only = unique.Handle[Selector]{}
	if s != (Selector{}) {
		k.only = unique.Make(s)
	}
	return k
}

// String renders the key much as ip-route(8) does.
func (k Key) String() string {
	return fmt.Sprintf("%s%s metric %d table %d", k.Prefix, k.Selector(), k.Metric, k.Table)
}

// String is "" for the zero Selector.
func (s Selector) String() string {
	text := ""
	if s.Source.IsValid() {
		text += fmt.Sprintf(" from %s", s.Source)
	}
	if s.TOS != 0 {
		text += fmt.Sprintf(" tos %#02x", s.TOS)
	}
	return text
}

// Kind is what the kernel does with a packet that a route matches.
type Kind uint8

// The kinds of routes Fairway installs.
const (
	Unicast     Kind = iota // forward to one of the next hops
	Unreachable             // answer with ICMP unreachable; no next hops

	// Other is anything else that bears our number in the kernel: blackhole, prohibit, or a
	// route with what Fairway never writes, as an MTU, a preferred source or an end of its life.
	// Fairway never wants one; it is ours to replace or delete.
	Other Kind = 255
)

// MainTable is the number of the kernel's main routing table.
const MainTable = 254

// NextHop is one way out of the node.
type NextHop struct {
	Gateway netip.Addr // without zone; the zero Addr: the destination is on the link itself
	Link    int        // interface index
	Weight  uint8      // 1 to 255 in IPv4 terms (the kernel's hops+1); 0 counts as 1
}

// Route is one route as it is wanted, or as the kernel holds it. Two routes are equal when
// their Normalize'd forms are.
type Route struct {
	Key
	Kind     Kind
	NextHops []NextHop
}

// String renders the route much as ip-route(8) does.
func (r Route) String() string {
	var b strings.Builder
	switch r.Kind {
	case Unreachable:
		b.WriteString("unreachable ")
	case Other:
		b.WriteString("other ")
	}
	b.WriteString(r.Prefix.String())
	b.WriteString(r.Selector().String())
	for _, nh := range r.NextHops {
		if nh.Gateway.IsValid() {
			fmt.Fprintf(&b, " via %s", nh.Gateway)
		}
		fmt.Fprintf(&b, " link %d", nh.Link)
		if nh.Weight > 1 {
			fmt.Fprintf(&b, " weight %d", nh.Weight)
		}
	}
	fmt.Fprintf(&b, " metric %d table %d", r.Metric, r.Table)
	return b.String()
}

// Inside returns the part of the sorted addresses that lies in the prefix.
func Inside(prefix netip.Prefix, sorted []netip.Addr) []netip.Addr {
	from, _ := slices.BinarySearchFunc(sorted, prefix.Masked().Addr(), netip.Addr.Compare)
	to := from
	for to < len(sorted) && prefix.Contains(sorted[to]) {
		to++
	}
	return sorted[from:to]
}
