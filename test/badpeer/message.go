// Package badpeer is a router that says what no router should: it brings a session up as RFC 4271
// has it, as far as it is asked to, and then writes whatever octets it is given.
package badpeer

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Types of messages (RFC 4271, section 4.1).
const (
	TypeOpen         = 1
	TypeUpdate       = 2
	TypeNotification = 3
	TypeKeepalive    = 4
	TypeRefresh      = 5
)

// Flags of attributes (RFC 4271, section 4.3).
const (
	Optional   = 0x80
	Transitive = 0x40
	extended   = 0x10
)

// Types of attributes, by the names of their RFCs.
const (
	Origin           = 1
	ASPath           = 2
	NextHop          = 3
	MultiExitDisc    = 4
	LocalPref        = 5
	AtomicAggregate  = 6
	Aggregator       = 7
	Communities      = 8
	OriginatorID     = 9
	ClusterList      = 10
	MPReachNLRI      = 14
	MPUnreachNLRI    = 15
	ExtCommunities   = 16
	AS4Path          = 17
	LargeCommunities = 32
	PrefixSID        = 40
)

const headerLength = 19

// Message encodes a message with a header as it should be.
func Message(kind byte, body ...byte) []byte {
	return Framed(kind, headerLength+len(body), body...)
}

// Framed is a message whose header says that it has this length, true or not.
func Framed(kind byte, length int, body ...byte) []byte {
	out := slices.Repeat([]byte{0xff}, 16)
	out = binary.BigEndian.AppendUint16(out, uint16(length))
	return append(append(out, kind), body...)
}

// Open is what the fields of an OPEN say (RFC 4271, section 4.2).
type Open struct {
	Version  byte
	ASN      uint16
	HoldTime uint16
	ID       netip.Addr
	// Parameters are the optional ones, each with its type and length. nil: the capabilities that
	// a router has which can do what is needed here: IPv4, four-octet AS numbers.
	Parameters []byte
}

// Encode returns the whole message.
func (o Open) Encode() []byte {
	b := binary.BigEndian.AppendUint16([]byte{o.Version}, o.ASN)
	b = binary.BigEndian.AppendUint16(b, o.HoldTime)
	b = append(b, o.ID.AsSlice()...)
	parameters := o.Parameters
	if parameters == nil {
		parameters = Capabilities(Capability(1, 0, 1, 0, 1), Capability(65, 0, 0, byte(o.ASN>>8), byte(o.ASN)))
	}
	return Message(TypeOpen, append(append(b, byte(len(parameters))), parameters...)...)
}

// Capability encodes one (RFC 5492, section 4).
func Capability(code byte, value ...byte) []byte {
	return append([]byte{code, byte(len(value))}, value...)
}

// Capabilities is the optional parameter that holds these.
func Capabilities(each ...[]byte) []byte {
	return Parameter(2, slices.Concat(each...)...)
}

// Parameter encodes an optional parameter of an OPEN.
func Parameter(kind byte, value ...byte) []byte {
	return append([]byte{kind, byte(len(value))}, value...)
}

// Attribute encodes a path attribute whose length is as it should be.
func Attribute(flags, kind byte, value ...byte) []byte {
	if len(value) > 255 {
		head := binary.BigEndian.AppendUint16([]byte{flags | extended, kind}, uint16(len(value)))
		return append(head, value...)
	}
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

// Update encodes an UPDATE with these attributes, in this order, and these octets as NLRI.
func Update(nlri []byte, attributes ...[]byte) []byte {
	all := slices.Concat(attributes...)
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(all)))
	return Message(TypeUpdate, slices.Concat(body, all, nlri)...)
}

// NLRI encodes IPv4 prefixes (RFC 4271, section 4.3).
func NLRI(prefixes ...netip.Prefix) (b []byte) {
	for _, p := range prefixes {
		b = append(b, byte(p.Bits()))
		b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}
