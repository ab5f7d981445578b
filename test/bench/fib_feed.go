package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairway-bgp/fairway/test/raw"
)

// feed is a set of prefixes with the next hops that the sender tells for them.
type feed struct {
	prefixes []netip.Prefix
	hops     [2]netip.Addr // prefix i has hops[i%2]
}

// What the prefixes are taken out of, and what Fairway's peer is allowed to tell.
const (
	poolIPv4, lengthIPv4 = "10.0.0.0/8", 26
	poolIPv6, lengthIPv6 = "fd00:10::/32", 64
)

// maxRoutes is how many prefixes the smaller pool has.
const maxRoutes = 1 << (lengthIPv4 - 8)

// newFeed returns the first count prefixes of the family's pool.
func newFeed(f family, count int) feed {
	out := feed{prefixes: make([]netip.Prefix, count), hops: f.hops}
	first := f.pool.Addr()
	for i := range out.prefixes {
		addr := first.AsSlice()
		if first.Is4() {
			binary.BigEndian.PutUint32(addr, binary.BigEndian.Uint32(addr)+uint32(i)<<(32-lengthIPv4)) // under maxRoutes
		} else {
			binary.BigEndian.PutUint32(addr[4:], uint32(i))
		}
		masked, _ := netip.AddrFromSlice(addr)
		out.prefixes[i] = netip.PrefixFrom(masked, f.length)
	}
	return out
}

func (f feed) hop(i int) netip.Addr { return f.hops[i%2] }

// want is the set as the kernel should hold it.
func (f feed) want() map[netip.Prefix]netip.Addr {
	want := make(map[netip.Prefix]netip.Addr, len(f.prefixes))
	for i, prefix := range f.prefixes {
		want[prefix] = f.hop(i)
	}
	return want
}

// without returns the feed's announcements without the prefix in the middle: for the twin
// that has to come out invalid.
func (f feed) without() []byte {
	return f.encode(len(f.prefixes) / 2)
}

// announcements are the UPDATEs that tell all of the feed, and End-of-RIB.
func (f feed) announcements() []byte { return f.encode(-1) }

// encode leaves out one prefix, none for -1. UPDATEs with the first and the second next hop
// take turns.
func (f feed) encode(leftOut int) []byte {
	var out []byte
	var turn [2][]netip.Prefix
	flush := func(parity int) {
		if len(turn[parity]) > 0 {
			out = appendUpdate(out, turn[parity], f.hops[parity])
			turn[parity] = turn[parity][:0]
		}
	}
	for i, prefix := range f.prefixes {
		if i == leftOut {
			continue
		}
		turn[i%2] = append(turn[i%2], prefix)
		if len(turn[i%2]) == perUpdate(prefix) {
			flush(i % 2)
		}
	}
	flush(0)
	flush(1)
	return appendEndOfRIB(out, f.hops[0].Is4())
}

// withdrawals are the UPDATEs that take everything back.
func (f feed) withdrawals() []byte {
	var out []byte
	for rest := f.prefixes; len(rest) > 0; {
		n := min(len(rest), perUpdate(rest[0]))
		out = appendWithdrawal(out, rest[:n])
		rest = rest[n:]
	}
	return out
}

// perUpdate is how many prefixes surely fit the 4,096 octets of a message.
func perUpdate(p netip.Prefix) int { return 3900 / (1 + (p.Bits()+7)/8) }

// extended is the flag of an attribute whose length takes two octets (RFC 4271, section 4.3).
const extended = 0x10

// What follows appends, as package raw does not: withdrawals are encoded within what is timed.

// appendMessage appends a message whose body the function appends.
func appendMessage(b []byte, kind byte, body func([]byte) []byte) []byte {
	start := len(b)
	for range 16 {
		b = append(b, 0xff)
	}
	b = body(append(b, 0, 0, kind))
	binary.BigEndian.PutUint16(b[start+16:], uint16(len(b)-start)) // at the most 4096
	return b
}

// appendUpdate appends an UPDATE that announces prefixes of one family with one next hop.
func appendUpdate(b []byte, prefixes []netip.Prefix, hop netip.Addr) []byte {
	return appendMessage(b, raw.UpdateType, func(b []byte) []byte {
		b = append(b, 0, 0) // no withdrawn routes
		return appendNLRI(appendSized(b, func(b []byte) []byte {
			b = append(b,
				raw.WellKnown, raw.Origin, 1, 0,
				raw.WellKnown, raw.ASPath, 6, 2, 1) // a sequence of one AS
			b = binary.BigEndian.AppendUint32(b, senderASN)
			if hop.Is4() {
				return append(append(b, raw.WellKnown, raw.NextHop, 4), hop.AsSlice()...)
			}
			b = append(b, raw.Optional|extended, raw.MPReach)
			return appendSized(b, func(b []byte) []byte {
				b = append(append(b, 0, 2, 1, 16), hop.AsSlice()...) // IPv6, unicast
				return appendNLRI(append(b, 0), prefixes)
			})
		}), ofIPv4(prefixes))
	})
}

// appendWithdrawal appends an UPDATE that takes prefixes of one family back.
func appendWithdrawal(b []byte, prefixes []netip.Prefix) []byte {
	return appendMessage(b, raw.UpdateType, func(b []byte) []byte {
		b = appendSized(b, func(b []byte) []byte { return appendNLRI(b, ofIPv4(prefixes)) })
		if len(ofIPv4(prefixes)) > 0 {
			return append(b, 0, 0) // no attributes
		}
		return appendSized(b, func(b []byte) []byte {
			b = append(b, raw.Optional|extended, raw.MPUnreach)
			return appendSized(b, func(b []byte) []byte { return appendNLRI(append(b, 0, 2, 1), prefixes) })
		})
	})
}

// appendEndOfRIB appends the marker of RFC 4724, section 2.
func appendEndOfRIB(b []byte, ipv4 bool) []byte {
	return appendMessage(b, raw.UpdateType, func(b []byte) []byte {
		if ipv4 {
			return append(b, 0, 0, 0, 0)
		}
		return append(b, 0, 0, 0, 6, raw.Optional, raw.MPUnreach, 3, 0, 2, 1)
	})
}

// ofIPv4 returns the prefixes if they are of IPv4, which alone stand outside of attributes.
func ofIPv4(prefixes []netip.Prefix) []netip.Prefix {
	if len(prefixes) > 0 && prefixes[0].Addr().Is4() {
		return prefixes
	}
	return nil
}

// appendSized appends two octets of length and what they count.
func appendSized(b []byte, body func([]byte) []byte) []byte {
	start := len(b)
	b = body(append(b, 0, 0))
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-2)) // within a message
	return b
}

func appendNLRI(b []byte, prefixes []netip.Prefix) []byte {
	for _, p := range prefixes {
		b = append(b, byte(p.Bits()))
		b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}
