package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/test/badpeer"
)

// badCase is one thing that a bad peer does, and what the status says of it then.
type badCase struct {
	name string
	spec string // what the BGPPeer has more than others
	do   func(p *badpeer.Peer, o badpeer.Open) error
	says string
	// refused is a reason for which the node must not use some prefix; "": it need not refuse any.
	refused string
}

// raw says octets and nothing before.
func raw(octets []byte) func(*badpeer.Peer, badpeer.Open) error {
	return func(p *badpeer.Peer, _ badpeer.Open) error { return p.Send(octets) }
}

// opens says an OPEN that differs from a good one.
func opens(change func(*badpeer.Open)) func(*badpeer.Peer, badpeer.Open) error {
	return func(p *badpeer.Peer, o badpeer.Open) error {
		change(&o)
		return p.Send(o.Encode())
	}
}

// established brings the session up, with an OPEN that may differ, and says octets then.
func established(octets func() []byte, change ...func(*badpeer.Open)) func(*badpeer.Peer, badpeer.Open) error {
	return func(p *badpeer.Peer, o badpeer.Open) error {
		for _, c := range change {
			c(&o)
		}
		if err := p.Handshake(o); err != nil {
			return err
		}
		return p.Send(octets())
	}
}

// says is established with octets that are few.
func says(octets []byte, change ...func(*badpeer.Open)) func(*badpeer.Peer, badpeer.Open) error {
	return established(func() []byte { return octets }, change...)
}

// The attributes of a path as they should be.
var (
	goodOrigin  = badpeer.Attribute(badpeer.Transitive, badpeer.Origin, 0)
	goodASPath  = badpeer.Attribute(badpeer.Transitive, badpeer.ASPath, 2, 1, 0, 0, badASN>>8, badASN&255)
	goodNextHop = badpeer.Attribute(badpeer.Transitive, badpeer.NextHop, 198, 51, 100, 1)
	someNLRI    = badpeer.NLRI(netip.MustParsePrefix("10.244.77.0/24"))
)

// with is an UPDATE that has these attributes after the good ones.
func with(attributes ...[]byte) []byte {
	return badpeer.Update(someNLRI, slices.Concat([][]byte{goodOrigin, goodASPath, goodNextHop}, attributes)...)
}

// announces is an UPDATE in which only the prefixes are bad.
func announces(prefixes ...string) []byte {
	var all []netip.Prefix
	for _, p := range prefixes {
		all = append(all, netip.MustParsePrefix(p))
	}
	return badpeer.Update(badpeer.NLRI(all...), goodOrigin, goodASPath, goodNextHop)
}

// handledCases is every class of RFC 4271, section 6, and of RFC 7606 that the speaker handles, and peers that
// speak correctly and mean no good. prefixes is how many "very many" are.
func handledCases(prefixes int) []badCase {
	return slices.Concat(headerCases(), openCases(), updateCases(), lengthCases(), otherCases(), announcingCases(prefixes))
}

// headerCases are those of RFC 4271, section 6.1.
func headerCases() []badCase {
	marker := badpeer.Message(badpeer.TypeKeepalive)
	marker[0] = 0
	return []badCase{
		{name: "header-marker", do: says(marker), says: "Established"},
		{name: "header-too-short", do: says(badpeer.Framed(badpeer.TypeKeepalive, 18)), says: "bad message length"},
		{name: "header-too-long", do: says(badpeer.Framed(badpeer.TypeUpdate, 5000, make([]byte, 5000-19)...)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
	}
}

// openCases are those of RFC 4271, section 6.2, and of RFC 5492.
func openCases() []badCase {
	parameters := func(b []byte) func(*badpeer.Open) { return func(o *badpeer.Open) { o.Parameters = b } }
	holdTime := func(seconds uint16) func(*badpeer.Open) { return func(o *badpeer.Open) { o.HoldTime = seconds } }
	ours := func(o *badpeer.Open) { o.ID = netip.MustParseAddr(badNode) }
	return []badCase{
		{name: "open-version", do: opens(func(o *badpeer.Open) { o.Version = 5 }), says: "unsupported version"},
		{name: "open-asn", do: opens(func(o *badpeer.Open) { o.ASN = 65009 }), says: "bad peer as"},
		{name: "open-id-zero", do: opens(func(o *badpeer.Open) { o.ID = netip.IPv4Unspecified() }), says: "bad bgp identifier"},
		{name: "open-id-ours", do: says(nil, ours), says: "Established"},
		{name: "open-id-ours-internal", spec: "asn: 64512", do: opens(func(o *badpeer.Open) { ours(o); o.ASN = 64512 }), says: "bad bgp identifier"},
		{name: "open-parameter", do: says(nil, parameters(badpeer.Parameter(99, 1, 2))), says: "Established"},
		{name: "open-capability", do: says(nil, parameters(badpeer.Capabilities(badpeer.Capability(199, 1), badpeer.Capability(65, 0, 0, badASN>>8, badASN&255)))), says: "Established"},
		{name: "open-family", do: says(nil, parameters(badpeer.Capabilities(badpeer.Capability(1, 0, 25, 0, 70)))), says: "Established"},
		{name: "open-parameters-cut", do: raw(badpeer.Message(badpeer.TypeOpen, 4, badASN>>8, badASN&255, 0, 90, 198, 51, 100, 9, 200, 2)), says: "bad message length"},
		{name: "open-hold-time-0", do: says(nil, holdTime(0)), says: "the connection was lost"},
		{name: "open-hold-time-1", do: opens(holdTime(1)), says: "unacceptable hold time"},
	}
}

// updateCases are those of RFC 4271, section 6.3.
func updateCases() []badCase {
	nextHop := func(addr ...byte) []byte {
		return badpeer.Update(someNLRI, goodOrigin, goodASPath, badpeer.Attribute(badpeer.Transitive, badpeer.NextHop, addr...))
	}
	asPath := func(value ...byte) []byte {
		return badpeer.Update(someNLRI, goodOrigin, badpeer.Attribute(badpeer.Transitive, badpeer.ASPath, value...), goodNextHop)
	}
	return []badCase{
		{name: "update-attribute-list", do: says(badpeer.Message(badpeer.TypeUpdate, 0, 0, 0, 99, 0x40, 1, 1, 0)), says: "malformed attribute list"},
		{name: "update-withdrawn-cut", do: says(badpeer.Message(badpeer.TypeUpdate, 0, 99, 24, 10)), says: "malformed attribute list"},
		{name: "update-twice", do: says(with(goodOrigin)), says: "discarded: the path attribute appears twice"},
		{name: "update-unknown-well-known", do: says(with(badpeer.Attribute(badpeer.Transitive, 99, 1))), says: "unrecognized well known attribute"},
		{name: "update-missing-origin", do: says(badpeer.Update(someNLRI, goodASPath, goodNextHop)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
		{name: "update-missing-next-hop", do: says(badpeer.Update(someNLRI, goodOrigin, goodASPath)), says: "treated as a withdrawal: well-known mandatory attributes are not present"},
		{name: "update-flags", do: says(badpeer.Update(someNLRI, badpeer.Attribute(badpeer.Optional, badpeer.Origin, 0), goodASPath, goodNextHop)), says: "treated as a withdrawal: flags are invalid"},
		{name: "update-length", do: says(nextHop(198, 51, 100, 1, 1)), says: "treated as a withdrawal: nexthop length"},
		{name: "update-origin", do: says(badpeer.Update(someNLRI, badpeer.Attribute(badpeer.Transitive, badpeer.Origin, 5), goodASPath, goodNextHop)), says: "treated as a withdrawal: invalid origin attribute"},
		{name: "update-next-hop-zero", do: says(nextHop(0, 0, 0, 0)), says: "treated as a withdrawal: invalid nexthop address"},
		{name: "update-next-hop-multicast", do: says(nextHop(224, 0, 0, 1)), says: "treated as a withdrawal: invalid nexthop address"},
		{name: "update-next-hop-ours", do: says(nextHop(198, 51, 100, 2)), says: "Established", refused: "NextHopIsSelf"},
		{name: "update-optional", do: says(with(badpeer.Attribute(badpeer.Optional, badpeer.MPUnreachNLRI, 0, 1))), says: "malformed MP_REACH_NLRI or MP_UNREACH_NLRI"},
		{name: "update-network", do: says(badpeer.Update([]byte{33, 10, 244, 77, 1, 0}, goodOrigin, goodASPath, goodNextHop)), says: "malformed attribute list"},
		{name: "update-as-path-segment", do: says(asPath(9, 1, 0, 0, badASN>>8, badASN&255)), says: "treated as a withdrawal: can't parse AS_PATH"},
		{name: "update-as-path-cut", do: says(asPath(2, 9, 0, 0, badASN>>8, badASN&255)), says: "treated as a withdrawal: can't parse AS_PATH"},
		{name: "update-as-path-ours", do: says(asPath(2, 2, 0, 0, badASN>>8, badASN&255, 0, 0, 64512>>8, 64512&255)), says: "Established"},
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
		{"med", badpeer.Optional, badpeer.MultiExitDisc, 3, "withdrawal: med length"},
		{"local-pref", badpeer.Transitive, badpeer.LocalPref, 5, "withdrawal: local pref length"},
		{"atomic-aggregate", badpeer.Transitive, badpeer.AtomicAggregate, 1, "discarded: atomic aggregate"},
		{"aggregator", badpeer.Optional | badpeer.Transitive, badpeer.Aggregator, 5, "discarded: aggregator length"},
		{"communities", badpeer.Optional | badpeer.Transitive, badpeer.Communities, 5, "withdrawal: communities length"},
		{"originator-id", badpeer.Optional, badpeer.OriginatorID, 3, "withdrawal: "},
		{"cluster-list", badpeer.Optional, badpeer.ClusterList, 5, "withdrawal: "},
		{"extended-communities", badpeer.Optional | badpeer.Transitive, badpeer.ExtCommunities, 7, "withdrawal: "},
		{"large-communities", badpeer.Optional | badpeer.Transitive, badpeer.LargeCommunities, 11, "withdrawal: large communities length"},
	} {
		octets := with(badpeer.Attribute(a.flags, a.kind, make([]byte, a.length)...))
		cases = append(cases, badCase{name: "length-" + a.name, do: says(octets), says: a.says})
	}
	return cases
}

// otherCases are of messages of other types, of the order of messages, and of none.
func otherCases() []badCase {
	return []badCase{
		{name: "keepalive-length", do: says(badpeer.Message(badpeer.TypeKeepalive, 1)), says: "Established"},
		{name: "notification-length", do: says(badpeer.Message(badpeer.TypeNotification, 6)), says: "bad message length"},
		{name: "refresh-length", do: says(badpeer.Message(badpeer.TypeRefresh, 0, 1)), says: "NOTIFICATION"},
		{name: "update-before-open", do: raw(with()), says: "Active"},
		{name: "silent", do: raw(nil), says: "OpenSent"},
		{name: "flood", do: established(func() []byte {
			return slices.Repeat(slices.Concat(announces("10.244.77.0/24"), announces("10.244.78.0/24")), 5000)
		}), says: "Established"},
	}
}

// announcingCases are correct in form. Most of them are let in by their import rules, so that the guards count that
// no rule lifts.
func announcingCases(prefixes int) []badCase {
	const all = "import: {allow: [{prefix: 0.0.0.0/1, maxLength: 32}, {prefix: 128.0.0.0/1, maxLength: 32}]}"
	limited := "import: {maxPrefixes: 1000, maxPrefixesAction: Shutdown}"
	many := func() []byte { return manyPrefixes(prefixes) }
	return []badCase{
		{name: "default-route", do: says(announces("0.0.0.0/0")), says: "1 received, 0 accepted"},
		{name: "own-pod-cidr", spec: all, do: says(announces("10.244.1.0/24", "10.244.1.10/32")), says: "2 received", refused: "OwnPodCIDR"},
		{name: "service-range", spec: all, do: says(announces("10.96.0.0/16", "10.96.0.1/32")), says: "2 received", refused: "ServiceRange"},
		{name: "node-addresses", spec: all, do: says(announces(badNode+"/32", "192.0.2.3/32")), says: "2 received", refused: "OwnAddress"},
		{name: "honest-router", spec: all, do: says(announces("192.0.2.1/32")), says: "1 received", refused: "ConnectedNetwork"},
		{name: "many-limited", spec: limited, do: established(many), says: "maximum number of prefixes reached"},
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
			octets = append(octets, badpeer.Update(badpeer.NLRI(prefixes...), goodOrigin, goodASPath, goodNextHop)...)
			prefixes = prefixes[:0]
		}
	}
	return octets
}
