package netlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/fairway-bgp/fairway/routes"
)

// The layouts below are those of linux/netlink.h and linux/rtnetlink.h.

var native = binary.NativeEndian

// header is struct nlmsghdr.
type header struct {
	length uint32
	kind   uint16
	flags  uint16
	seq    uint32
	port   uint32
}

var errShort = errors.New("a message from the kernel is cut short")

func align(n int) int { return (n + 3) &^ 3 }

// appendHeader appends a header whose length finish fills in.
func appendHeader(b []byte, kind, flags uint16, seq uint32) []byte {
	b = native.AppendUint32(b, 0)
	b = native.AppendUint16(b, kind)
	b = native.AppendUint16(b, flags)
	b = native.AppendUint32(b, seq)
	return native.AppendUint32(b, 0)
}

// finish writes the length of the message that began at start.
func finish(b []byte, start int) []byte {
	native.PutUint32(b[start:], uint32(len(b)-start)) // maxBatchBytes keeps it within
	return b
}

// nextMessage splits the first message off b.
func nextMessage(b []byte) (h header, payload, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return h, nil, nil, errShort
	}
	h = header{
		length: native.Uint32(b), kind: native.Uint16(b[4:]), flags: native.Uint16(b[6:]),
		seq: native.Uint32(b[8:]), port: native.Uint32(b[12:]),
	}
	if h.length < unix.SizeofNlMsghdr || int64(h.length) > int64(len(b)) {
		return h, nil, nil, errShort
	}
	payload = b[unix.SizeofNlMsghdr:h.length]
	return h, payload, b[min(align(int(h.length)), len(b)):], nil
}

// nextAttr splits the first attribute off b.
func nextAttr(b []byte) (kind uint16, value, rest []byte, err error) {
	if len(b) < unix.SizeofRtAttr {
		return 0, nil, nil, errShort
	}
	length := int(native.Uint16(b))
	if length < unix.SizeofRtAttr || length > len(b) {
		return 0, nil, nil, errShort
	}
	kind = native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	return kind, b[unix.SizeofRtAttr:length], b[min(align(length), len(b)):], nil
}

func appendAttrHeader(b []byte, kind uint16, size int) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+size)) // addresses and words
	return native.AppendUint16(b, kind)
}

func appendUint32(b []byte, kind uint16, value uint32) []byte {
	return native.AppendUint32(appendAttrHeader(b, kind, 4), value)
}

func appendAddr(b []byte, kind uint16, addr netip.Addr) []byte {
	raw := addr.AsSlice()
	return append(appendAttrHeader(b, kind, len(raw)), raw...)
}

func familyOf(addr netip.Addr) uint8 {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// appendRtMsg appends struct rtmsg for the key, and the attributes that spell out the key.
func appendRtMsg(b []byte, key routes.Key, protocol, scope, kind uint8) []byte {
	table := uint8(unix.RT_TABLE_COMPAT)
	if key.Table <= 255 {
		table = uint8(key.Table)
	}
	only := key.Selector()
	sourceBits := uint8(max(only.Source.Bits(), 0))                       // -1 where there is none
	family, bits := familyOf(key.Prefix.Addr()), uint8(key.Prefix.Bits()) // 0 to 128
	b = append(b, family, bits, sourceBits, only.TOS, table, protocol, scope, kind)
	b = native.AppendUint32(b, 0)
	b = appendAddr(b, unix.RTA_DST, key.Prefix.Addr())
	if only.Source.IsValid() {
		b = appendAddr(b, unix.RTA_SRC, only.Source.Addr())
	}
	b = appendUint32(b, unix.RTA_TABLE, key.Table)
	return appendUint32(b, unix.RTA_PRIORITY, key.Metric)
}

// appendRoute appends all of a route but the message header.
func appendRoute(b []byte, r routes.Route, protocol uint8) []byte {
	kind := uint8(unix.RTN_UNICAST)
	if r.Kind == routes.Unreachable {
		kind = unix.RTN_UNREACHABLE
	}
	b = appendRtMsg(b, r.Key, protocol, scopeOf(r), kind)
	switch len(r.NextHops) {
	case 0:
	case 1:
		// Not a multipath of one: in IPv6 the kernel takes on-link routes in this form alone.
		b = appendGateway(b, r.Prefix, r.NextHops[0].Gateway)
		b = appendUint32(b, unix.RTA_OIF, uint32(r.NextHops[0].Link)) // an interface index
	default:
		start := len(b)
		b = appendAttrHeader(b, unix.RTA_MULTIPATH, 0)
		for _, hop := range r.NextHops {
			b = appendNextHop(b, r.Prefix, hop)
		}
		native.PutUint16(b[start:], uint16(len(b)-start)) // maxHops keeps it within
	}
	return b
}

// scopeOf returns the scope that ip-route(8) gives the route too. It is no part of a
// route's identity, but the kernel looks for the gateways in a narrower scope than the
// route's own.
func scopeOf(r routes.Route) uint8 {
	if !r.Prefix.Addr().Is4() || r.Kind != routes.Unicast {
		return unix.RT_SCOPE_UNIVERSE
	}
	for _, hop := range r.NextHops {
		if hop.Gateway.IsValid() {
			return unix.RT_SCOPE_UNIVERSE
		}
	}
	return unix.RT_SCOPE_LINK
}

// appendGateway appends nothing for a destination on the link, RTA_GATEWAY within a family,
// RTA_VIA for an IPv4 prefix behind an IPv6 gateway (RFC 8950).
func appendGateway(b []byte, prefix netip.Prefix, gateway netip.Addr) []byte {
	switch {
	case !gateway.IsValid():
		return b
	case gateway.Is4() == prefix.Addr().Is4():
		return appendAddr(b, unix.RTA_GATEWAY, gateway)
	}
	raw := gateway.AsSlice()
	b = appendAttrHeader(b, unix.RTA_VIA, 2+len(raw))
	b = native.AppendUint16(b, uint16(familyOf(gateway)))
	b = append(b, raw...)
	return append(b, make([]byte, align(len(b))-len(b))...) // every message starts aligned
}

// appendNextHop appends struct rtnexthop and its attributes.
func appendNextHop(b []byte, prefix netip.Prefix, hop routes.NextHop) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, hop.Weight-1)
	b = native.AppendUint32(b, uint32(hop.Link)) // an interface index
	b = appendGateway(b, prefix, hop.Gateway)
	native.PutUint16(b[start:], uint16(len(b)-start)) // under 64 bytes
	return b
}

// parsed is a route message.
type parsed struct {
	family   uint8
	protocol uint8
	flags    uint32
	// altered: the route has something that Fairway never writes, and that changes what the
	// kernel does with it. Routes of others may.
	altered bool
	route   routes.Route
}

// asOurs is the route as one that bears our number: one that is altered is none that we want.
func (p parsed) asOurs() routes.Route {
	if p.altered {
		p.route.Kind = routes.Other
	}
	return p.route.Normalize()
}

// parseRoute reads the payload of RTM_NEWROUTE or RTM_DELROUTE.
func parseRoute(b []byte) (parsed, error) {
	if len(b) < unix.SizeofRtMsg {
		return parsed{}, errShort
	}
	p := parsed{family: b[0], protocol: b[5], flags: native.Uint32(b[8:])}
	if p.family != unix.AF_INET && p.family != unix.AF_INET6 {
		return p, nil
	}
	p.altered = p.flags&unix.RTNH_F_ONLINK != 0
	p.route.Table = uint32(b[4])
	p.route.Kind = kindOf(b[7])
	dst := netip.IPv4Unspecified()
	if p.family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	src, bits, sourceBits := dst, int(b[1]), int(b[2])
	var single routes.NextHop
	err := eachAttr(b[unix.SizeofRtMsg:], func(kind uint16, value []byte) error {
		switch kind {
		case unix.RTA_DST:
			return readAddr(&dst, value)
		case unix.RTA_SRC:
			return readAddr(&src, value)
		case unix.RTA_TABLE:
			return readUint32(&p.route.Table, value)
		case unix.RTA_PRIORITY:
			return readUint32(&p.route.Metric, value)
		case unix.RTA_MULTIPATH:
			return p.readMultipath(value)
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_OIF:
			return readHop(&single, kind, value)
		}
		p.altered = p.altered || alters(kind, value)
		return nil
	})
	if err != nil {
		return p, err
	}
	if single.Link != 0 || single.Gateway.IsValid() {
		single.Weight = 1
		p.route.NextHops = append(p.route.NextHops, single)
	}
	p.route.Prefix = netip.PrefixFrom(dst, bits)
	only := routes.Selector{TOS: b[3]}
	if sourceBits > 0 {
		only.Source = netip.PrefixFrom(src, sourceBits).Masked()
	}
	p.route.Key = p.route.WithSelector(only)
	p.route = p.route.Normalize()
	p.altered = p.altered || b[6] != scopeOf(p.route)
	return p, nil
}

// alters reports whether an attribute is one that makes a route another than we write: any
// but those that the kernel adds to every route in IPv6, where they say nothing.
func alters(kind uint16, value []byte) bool {
	switch kind {
	case unix.RTA_PREF:
		return len(value) != 1 || value[0] != prefMedium
	case unix.RTA_CACHEINFO: // struct rta_cacheinfo
		return len(value) < 12 || native.Uint32(value[8:]) != 0 // rta_expires
	}
	return true
}

// prefMedium is ICMPV6_ROUTER_PREF_MEDIUM of linux/icmpv6.h.
const prefMedium = 0

func kindOf(rtn uint8) routes.Kind {
	switch rtn {
	case unix.RTN_UNICAST:
		return routes.Unicast
	case unix.RTN_UNREACHABLE:
		return routes.Unreachable
	}
	return routes.Other
}

func eachAttr(b []byte, read func(kind uint16, value []byte) error) error {
	for len(b) > 0 {
		kind, value, rest, err := nextAttr(b)
		if err != nil {
			return err
		}
		if err := read(kind, value); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// readHop reads the attributes that say where a single path, or one of many, leads.
func readHop(hop *routes.NextHop, kind uint16, value []byte) error {
	switch kind {
	case unix.RTA_GATEWAY:
		return readAddr(&hop.Gateway, value)
	case unix.RTA_VIA:
		if len(value) < 2 {
			return errShort
		}
		return readAddr(&hop.Gateway, value[2:])
	case unix.RTA_OIF:
		var index uint32
		err := readUint32(&index, value)
		hop.Link = int(index)
		return err
	}
	return nil
}

func (p *parsed) readMultipath(b []byte) error {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtNexthop {
			return errShort
		}
		length := int(native.Uint16(b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			return errShort
		}
		// A weight of 256, which only others set, reads as 255.
		hop := routes.NextHop{Weight: max(b[3], b[3]+1), Link: int(native.Uint32(b[4:]))}
		p.altered = p.altered || b[2]&unix.RTNH_F_ONLINK != 0
		err := eachAttr(b[unix.SizeofRtNexthop:length], func(kind uint16, value []byte) error {
			p.altered = p.altered || kind != unix.RTA_GATEWAY && kind != unix.RTA_VIA
			return readHop(&hop, kind, value)
		})
		if err != nil {
			return err
		}
		p.route.NextHops = append(p.route.NextHops, hop)
		b = b[min(align(length), len(b)):]
	}
	return nil
}

func readAddr(into *netip.Addr, value []byte) error {
	addr, ok := netip.AddrFromSlice(value)
	if !ok {
		return fmt.Errorf("a message from the kernel has an address of %d bytes", len(value))
	}
	*into = addr
	return nil
}

func readUint32(into *uint32, value []byte) error {
	if len(value) != 4 {
		return errShort
	}
	*into = native.Uint32(value)
	return nil
}
