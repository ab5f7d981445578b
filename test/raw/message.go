// Package raw speaks BGP by hand: it sends messages of any form, right or wrong, which no real speaker would.
package raw

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Types of messages (RFC 4271, section 4.1; RFC 2918).
const (
	OpenType         = 1
	UpdateType       = 2
	NotificationType = 3
	KeepaliveType    = 4
	RefreshType      = 5
)

const headLength = 19

// Message encodes a message (RFC 4271, section 4.1).
func Message(kind byte, body ...byte) []byte {
	out := append(bytes.Repeat([]byte{0xff}, 16), 0, 0, kind)
	binary.BigEndian.PutUint16(out[16:], uint16(headLength+len(body)))
	return append(out, body...)
}

// Open is what an OPEN says (RFC 4271, section 4.2).
type Open struct {
	Version  byte // 0: 4
	ASN      uint16
	HoldTime uint16 // seconds
	ID       netip.Addr
	// Parameters are the optional ones, encoded.
	Parameters []byte
}

// Message encodes it.
func (o Open) Message() []byte {
	version := o.Version
	if version == 0 {
		version = 4
	}
	body := binary.BigEndian.AppendUint16([]byte{version}, o.ASN)
	body = binary.BigEndian.AppendUint16(body, o.HoldTime)
	body = append(body, o.ID.AsSlice()...)
	body = append(append(body, byte(len(o.Parameters))), o.Parameters...)
	return Message(OpenType, body...)
}

// Capability encodes an optional parameter with one capability (RFC 5492).
func Capability(code byte, value ...byte) []byte {
	return append([]byte{2, byte(2 + len(value)), code, byte(len(value))}, value...)
}

// Attribute encodes a path attribute (RFC 4271, section 4.3) of at most 255 bytes.
func Attribute(flags, kind byte, value ...byte) []byte {
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

// Flags of path attributes.
const (
	WellKnown          = 0x40
	Optional           = 0x80
	OptionalTransitive = 0xc0
)

// Types of path attributes.
const (
	Origin              = 1
	ASPath              = 2
	NextHop             = 3
	MED                 = 4
	LocalPref           = 5
	AtomicAggregate     = 6
	Aggregator          = 7
	Communities         = 8
	OriginatorID        = 9
	ClusterList         = 10
	MPReach             = 14
	MPUnreach           = 15
	ExtendedCommunities = 16
	AS4Path             = 17
	AS4Aggregator       = 18
	LargeCommunities    = 32
	PrefixSID           = 40
)

// Update encodes an UPDATE (RFC 4271, section 4.3).
func Update(withdrawn, attributes, nlri []byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	body = append(body, withdrawn...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(attributes)))
	body = append(body, attributes...)
	return Message(UpdateType, append(body, nlri...)...)
}

// NLRI encodes prefixes (RFC 4271, section 4.3).
func NLRI(prefixes ...netip.Prefix) []byte {
	var out []byte
	for _, p := range prefixes {
		out = append(out, byte(p.Bits()))
		out = append(out, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return out
}

// Announcement is an UPDATE for IPv4 prefixes as it should be, from an AS.
func Announcement(asn uint16, hop netip.Addr, prefixes ...netip.Prefix) []byte {
	return Update(nil, attributes(asn, hop), NLRI(prefixes...))
}

// attributes are those that every announcement has to have.
func attributes(asn uint16, hop netip.Addr) []byte {
	return join(
		Attribute(WellKnown, Origin, 0),
		Attribute(WellKnown, ASPath, 2, 1, byte(asn>>8), byte(asn)),
		Attribute(WellKnown, NextHop, hop.AsSlice()...))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
