package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/fairway-bgp/fairway/test/raw"
)

// badCase is one thing that a bad peer does, and what the status says of it then.
type badCase struct {
	name string
	spec string // what the BGPPeer has more than others
	do   func(conn net.Conn, o raw.Open) (*raw.Session, error)
	says string
	// ends is the NOTIFICATION by which the speaker ends the connection, or closed; "": it goes on with it.
	ends string
	// refused has the reason for each prefix that is in the RIB then and that the node must not use.
	refused []string
}

// closed is how a connection ends without a NOTIFICATION.
var closed = raw.Notification{}.String()

// handshakeTime is how long a session may take to come up, and the speaker to take in what it is told.
const handshakeTime = 10 * time.Second

// write returns no error if the speaker has had enough before all is written: how it ends the connection is judged.
func write(conn net.Conn, octets []byte) error {
	if err := conn.SetWriteDeadline(time.Now().Add(handshakeTime)); err != nil {
		return err
	}
	_, err := conn.Write(octets)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// blurts says octets and nothing before.
func blurts(octets []byte) func(net.Conn, raw.Open) (*raw.Session, error) {
	return func(conn net.Conn, _ raw.Open) (*raw.Session, error) {
		return raw.Follow(conn), write(conn, octets)
	}
}

// opens says an OPEN that differs from a good one.
func opens(change func(*raw.Open)) func(net.Conn, raw.Open) (*raw.Session, error) {
	return func(conn net.Conn, o raw.Open) (*raw.Session, error) {
		change(&o)
		return raw.Follow(conn), write(conn, o.Message())
	}
}

// established brings the session up, with an OPEN that may differ, and says octets then.
func established(octets func() []byte, change ...func(*raw.Open)) func(net.Conn, raw.Open) (*raw.Session, error) {
	return func(conn net.Conn, o raw.Open) (*raw.Session, error) {
		for _, c := range change {
			c(&o)
		}
		session, err := raw.Establish(conn, o, handshakeTime)
		if err != nil {
			return nil, err
		}
		return session, write(conn, octets())
	}
}

// says is established with octets that are few.
func says(octets []byte, change ...func(*raw.Open)) func(net.Conn, raw.Open) (*raw.Session, error) {
	return established(func() []byte { return octets }, change...)
}

// The attributes of a path as they should be.
var (
	goodOrigin  = raw.Attribute(raw.WellKnown, raw.Origin, 0)
	goodASPath  = raw.Attribute(raw.WellKnown, raw.ASPath, 2, 1, 0, 0, badASN>>8, badASN&255)
	goodNextHop = raw.Attribute(raw.WellKnown, raw.NextHop, 198, 51, 100, 1)
	someNLRI    = raw.NLRI(netip.MustParsePrefix("10.244.77.0/24"))
	otherNLRI   = raw.NLRI(netip.MustParsePrefix("10.244.78.0/24"))
)

// goodParameters are the capabilities of a router that can do what is needed here: IPv4, AS numbers of four octets.
var goodParameters = slices.Concat(raw.Capability(1, 0, 1, 0, 1), raw.Capability(65, 0, 0, badASN>>8, badASN&255))

// updateOf is an UPDATE with these attributes, in this order.
func updateOf(nlri []byte, attributes ...[]byte) []byte {
	return raw.Update(nil, bytes.Join(attributes, nil), nlri)
}

// framed is a message whose header says that it has this length, true or not.
func framed(kind byte, length int, body ...byte) []byte {
	message := raw.Message(kind, body...)
	binary.BigEndian.PutUint16(message[16:], uint16(length))
	return message
}

// with is an UPDATE that has these attributes after the good ones.
func with(attributes ...[]byte) []byte {
	return updateOf(someNLRI, slices.Concat([][]byte{goodOrigin, goodASPath, goodNextHop}, attributes)...)
}

// announces is an UPDATE in which only the prefixes are bad.
func announces(prefixes ...string) []byte {
	var all []netip.Prefix
	for _, p := range prefixes {
		all = append(all, netip.MustParsePrefix(p))
	}
	return updateOf(raw.NLRI(all...), goodOrigin, goodASPath, goodNextHop)
}

// handledCases is every class of RFC 4271, section 6, and of RFC 7606 that the speaker handles, and peers that
// speak correctly and mean no good. prefixes is how many "very many" are.
func handledCases(prefixes int) []badCase {
	return slices.Concat(headerCases(), openCases(), updateCases(), lengthCases(), otherCases(), announcingCases(prefixes))
}

// headerCases are those of RFC 4271, section 6.1.
func headerCases() []badCase {
	marker := raw.Message(raw.KeepaliveType)
	marker[0] = 0
	return []badCase{
		{name: "header-marker", do: says(marker), says: "Established"},
		{name: "header-too-short", do: says(framed(raw.KeepaliveType, 18)), says: "bad message length", ends: "1/2"},
		{name: "header-too-long", do: says(framed(raw.UpdateType, 5000, make([]byte, 5000-19)...)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
	}
}

// openCases are those of RFC 4271, section 6.2, and of RFC 5492.
func openCases() []badCase {
	parameters := func(b []byte) func(*raw.Open) { return func(o *raw.Open) { o.Parameters = b } }
	holdTime := func(seconds uint16) func(*raw.Open) { return func(o *raw.Open) { o.HoldTime = seconds } }
	ours := func(o *raw.Open) { o.ID = netip.MustParseAddr(badNode) }
	return []badCase{
		{name: "open-version", do: opens(func(o *raw.Open) { o.Version = 5 }), says: "unsupported version", ends: "2/1"},
		{name: "open-asn", do: opens(func(o *raw.Open) { o.ASN, o.Parameters = 65009, nil }), says: "bad peer as", ends: "2/2"},
		{name: "open-id-zero", do: opens(func(o *raw.Open) { o.ID = netip.IPv4Unspecified() }), says: "bad bgp identifier", ends: "2/3"},
		{name: "open-id-ours", do: says(nil, ours), says: "Established"},
		{name: "open-id-ours-internal", spec: "asn: 64512", do: opens(func(o *raw.Open) { ours(o); o.ASN, o.Parameters = 64512, nil }), says: "bad bgp identifier", ends: "2/3"},
		{name: "open-parameter", do: says(nil, parameters([]byte{99, 2, 1, 2})), says: "Established"},
		{name: "open-capability", do: says(nil, parameters(slices.Concat(raw.Capability(199, 1), goodParameters))), says: "Established"},
		{name: "open-family", do: says(nil, parameters(raw.Capability(1, 0, 25, 0, 70))), says: "Established"},
		{name: "open-parameters-cut", do: blurts(raw.Message(raw.OpenType, 4, badASN>>8, badASN&255, 0, 90, 198, 51, 100, 9, 200, 2)), says: "bad message length", ends: "1/2"},
		{name: "open-hold-time-0", do: says(nil, holdTime(0)), says: "the connection was lost", ends: closed},
		{name: "open-hold-time-1", do: opens(holdTime(1)), says: "unacceptable hold time", ends: "2/6"},
	}
}

// oneOfTwo is what the status says of a peer that tells one prefix that is let in and one that is not: accepted ones are counted some
// time after received ones, so none accepted would show nothing.
const oneOfTwo = "2 received, 1 accepted"

// updateCases are those of RFC 4271, section 6.3.
func updateCases() []badCase {
	nextHop := func(addr ...byte) []byte {
		return updateOf(someNLRI, goodOrigin, goodASPath, raw.Attribute(raw.WellKnown, raw.NextHop, addr...))
	}
	asPath := func(nlri []byte, value ...byte) []byte {
		return updateOf(nlri, goodOrigin, raw.Attribute(raw.WellKnown, raw.ASPath, value...), goodNextHop)
	}
	return []badCase{
		{name: "update-attribute-list", do: says(raw.Message(raw.UpdateType, 0, 0, 0, 99, 0x40, 1, 1, 0)), says: "malformed attribute list", ends: "3/1"},
		{name: "update-withdrawn-cut", do: says(raw.Message(raw.UpdateType, 0, 99, 24, 10)), says: "malformed attribute list", ends: "3/1"},
		{name: "update-twice", do: says(with(goodOrigin)), says: "discarded: the path attribute appears twice"},
		{name: "update-unknown-well-known", do: says(with(raw.Attribute(raw.WellKnown, 99, 1))), says: "unrecognized well known attribute", ends: "3/2"},
		{name: "update-missing-origin", do: says(updateOf(someNLRI, goodASPath, goodNextHop)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
		{name: "update-missing-next-hop", do: says(updateOf(someNLRI, goodOrigin, goodASPath)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
		{name: "update-flags", do: says(updateOf(someNLRI, raw.Attribute(raw.Optional, raw.Origin, 0), goodASPath, goodNextHop)), says: "treated as a withdrawal: flags are invalid"},
		{name: "update-length", do: says(nextHop(198, 51, 100, 1, 1)), says: "treated as a withdrawal: nexthop length"},
		{name: "update-origin", do: says(updateOf(someNLRI, raw.Attribute(raw.WellKnown, raw.Origin, 5), goodASPath, goodNextHop)), says: "treated as a withdrawal: invalid origin attribute"},
		{name: "update-next-hop-zero", do: says(nextHop(0, 0, 0, 0)), says: "treated as a withdrawal: invalid nexthop address"},
		{name: "update-next-hop-multicast", do: says(nextHop(224, 0, 0, 1)), says: "treated as a withdrawal: invalid nexthop address"},
		{name: "update-next-hop-ours", do: says(nextHop(198, 51, 100, 2)), says: "Established", refused: []string{"NextHopIsSelf"}},
		{name: "update-optional", do: says(with(raw.Attribute(raw.Optional, raw.MPUnreach, 0, 1))), says: "malformed MP_REACH_NLRI or MP_UNREACH_NLRI"},
		{name: "update-network", do: says(updateOf([]byte{33, 10, 244, 77, 1, 0}, goodOrigin, goodASPath, goodNextHop)), says: "malformed attribute list", ends: "3/1"},
		{name: "update-as-path-segment", do: says(asPath(someNLRI, 9, 1, 0, 0, badASN>>8, badASN&255)), says: "treated as a withdrawal: can't parse AS_PATH"},
		{name: "update-as-path-cut", do: says(asPath(someNLRI, 2, 9, 0, 0, badASN>>8, badASN&255)), says: "treated as a withdrawal: can't parse AS_PATH"},
		{name: "update-as-path-ours", do: says(slices.Concat(with(), asPath(otherNLRI, 2, 2, 0, 0, badASN>>8, badASN&255, 0, 0, 64512>>8, 64512&255))), says: oneOfTwo},
	}
}

// lengthCases are attributes whose length cannot be (RFC 7606, section 7).
func lengthCases() []badCase {
	var cases []badCase
	for _, a := range []struct {
		name        string
		flags, kind byte
		length      int
		says        string
	}{
		{"med", raw.Optional, raw.MED, 3, "withdrawal: med length"},
		{"local-pref", raw.WellKnown, raw.LocalPref, 5, "withdrawal: local pref length"},
		{"atomic-aggregate", raw.WellKnown, raw.AtomicAggregate, 1, "discarded: atomic aggregate"},
		{"aggregator", raw.OptionalTransitive, raw.Aggregator, 5, "discarded: aggregator length"},
		{"communities", raw.OptionalTransitive, raw.Communities, 5, "withdrawal: communities length"},
		{"originator-id", raw.Optional, raw.OriginatorID, 3, "withdrawal: "},
		{"cluster-list", raw.Optional, raw.ClusterList, 5, "withdrawal: "},
		{"extended-communities", raw.OptionalTransitive, raw.ExtendedCommunities, 7, "withdrawal: "},
		{"large-communities", raw.OptionalTransitive, raw.LargeCommunities, 11, "withdrawal: large communities length"},
	} {
		octets := with(raw.Attribute(a.flags, a.kind, make([]byte, a.length)...))
		cases = append(cases, badCase{name: "length-" + a.name, do: says(octets), says: a.says})
	}
	return cases
}

// otherCases are of messages of other types, of the order of messages, and of none.
func otherCases() []badCase {
	return []badCase{
		{name: "keepalive-length", do: says(raw.Message(raw.KeepaliveType, 1)), says: "Established"},
		{name: "notification-length", do: says(raw.Message(raw.NotificationType, 6)), says: "bad message length", ends: "1/2"},
		{name: "refresh-length", do: says(raw.Message(raw.RefreshType, 0, 1)), says: "NOTIFICATION", ends: "7/1"},
		{name: "update-before-open", do: blurts(with()), says: "Active", ends: closed},
		{name: "silent", do: blurts(nil), says: "OpenSent"},
		{name: "flood", do: established(func() []byte {
			return slices.Repeat(slices.Concat(announces("10.244.77.0/24"), announces("10.244.78.0/24")), 5000)
		}), says: "Established; 2 received, 2 accepted"},
	}
}

// announcingCases are correct in form. Most of them are let in by their import rules, so that the guards count that
// no rule lifts.
func announcingCases(prefixes int) []badCase {
	const all = "import: {allow: [{prefix: 0.0.0.0/1, maxLength: 32}, {prefix: 128.0.0.0/1, maxLength: 32}]}"
	limited := "import: {maxPrefixes: 1000, maxPrefixesAction: Shutdown}"
	many := func() []byte { return manyPrefixes(prefixes) }
	return []badCase{
		{name: "default-route", do: says(announces("0.0.0.0/0", "10.244.77.0/24")), says: oneOfTwo},
		{name: "own-pod-cidr", spec: all, do: says(announces("10.244.1.0/24", "10.244.1.10/32")), says: "2 received", refused: []string{"OwnPodCIDR"}},
		{name: "service-range", spec: all, do: says(announces("10.96.0.0/16", "10.96.0.1/32")), says: "2 received", refused: []string{"ServiceRange", "ServiceRange"}},
		{name: "node-addresses", spec: all, do: says(announces(badNode+"/32", "192.0.2.3/32")), says: "2 received", refused: []string{"OwnAddress", "ConnectedNetwork"}},
		{name: "honest-router", spec: all, do: says(announces("192.0.2.1/32")), says: "1 received", refused: []string{"ConnectedNetwork"}},
		{name: "many-limited", spec: limited, do: established(many), says: "maximum number of prefixes reached", ends: "6/1"},
		{name: "many", spec: all, do: established(many), says: fmt.Sprintf("%d received, %[1]d accepted", prefixes)},
	}
}

// manyPrefixes are UPDATEs for so many host routes from 11.0.0.0 on.
func manyPrefixes(n int) (octets []byte) {
	const each = 500
	var prefixes []netip.Prefix
	for i := range n {
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], 11<<24+uint32(i))
		if prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4(addr), 32)); len(prefixes) == each || i == n-1 {
			octets = append(octets, updateOf(raw.NLRI(prefixes...), goodOrigin, goodASPath, goodNextHop)...)
			prefixes = prefixes[:0]
		}
	}
	return octets
}
