// Package bgp is the vocabulary of Fairway's BGP side: what a speaker is told, and what
// it tells. It knows no implementation of the protocol; bgp/gobgp does.
//
// Everything is a value. A [Desired] is the whole wanted state of a speaker, a [RIBChange]
// is the complete newest set of paths of one prefix: neither is ever a delta.
package bgp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Family is an address family with SAFI unicast (RFC 4760).
type Family uint8

// The families Fairway speaks.
const (
	IPv4Unicast Family = iota + 1
	IPv6Unicast
)

// FamilyOf returns the family that carries addr; an IPv4-mapped IPv6 address counts as IPv4.
func FamilyOf(addr netip.Addr) Family {
	if addr.Unmap().Is4() {
		return IPv4Unicast
	}
	return IPv6Unicast
}

// String returns the name that the API uses for the family.
func (f Family) String() string {
	switch f {
	case IPv4Unicast:
		return "IPv4Unicast"
	case IPv6Unicast:
		return "IPv6Unicast"
	}
	return fmt.Sprintf("Family(%d)", uint8(f))
}

// Secret is a session's password. However it is printed, logged or marshalled, it redacts
// itself; only a conversion to string reveals it.
type Secret string

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer, so that %#v redacts too.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler, so that JSON and YAML redact too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// GracefulRestart is what the speaker offers to every peer that takes part (RFC 4724).
type GracefulRestart struct {
	Enabled bool
	// RestartTime is how long a peer keeps our routes after the session is lost;
	// whole seconds, 1 to 4095.
	RestartTime time.Duration
	// Deferral is how long, after a start, our own advertisements wait for the peers'
	// End-of-RIB; whole seconds.
	Deferral time.Duration
}

// Config is what a speaker is, whoever it talks to. Changing any field but
// GracefulRestart restarts the speaker and so resets every session.
type Config struct {
	ASN        uint32
	RouterID   netip.Addr // IPv4 form
	ListenPort uint16     // 0: never listen
	GracefulRestart
}

// PrefixRule accepts the prefixes inside Prefix whose length is from MinLength to
// MaxLength, both included.
type PrefixRule struct {
	Prefix    netip.Prefix
	MinLength uint8
	MaxLength uint8
}

// Matches reports whether the rule accepts p.
func (r PrefixRule) Matches(p netip.Prefix) bool {
	return p.Addr().Is4() == r.Prefix.Addr().Is4() &&
		p.Bits() >= int(r.MinLength) && p.Bits() <= int(r.MaxLength) &&
		p.Bits() >= r.Prefix.Bits() && r.Prefix.Contains(p.Addr())
}

// String renders the rule as "10.244.0.0/16 le 24 ge 16".
func (r PrefixRule) String() string {
	return fmt.Sprintf("%s ge %d le %d", r.Prefix, r.MinLength, r.MaxLength)
}

// Peer is one BGP session as it is wanted. It is identified by Name; Address is unique
// among the peers of one speaker.
type Peer struct {
	Name    string     // "tor-a/192.0.2.1" or "mesh/node-b/192.0.2.12"
	Address netip.Addr // with zone when link-local
	Port    uint16     // 0: 179
	ASN     uint32     // as expected in the peer's OPEN

	LocalAddress netip.Addr // source address; the zero Addr leaves it to the kernel
	Passive      bool       // never dial, only listen
	Password     Secret     // TCP MD5 (RFC 2385); empty: none

	HoldTime     time.Duration
	Keepalive    time.Duration
	ConnectRetry time.Duration

	EBGPMultihopTTL uint8 // 0: a single hop

	Families        []Family // sorted, at least one
	GracefulRestart bool

	// Import is what the peer may tell us, any rule suffices; nothing when empty.
	Import []PrefixRule
	// NextHops is what we announce as next hop to this peer, per family. A family without
	// a valid address here is not advertised.
	NextHops NextHops
}

// NextHops holds one next-hop address per family.
type NextHops struct {
	IPv4, IPv6 netip.Addr
}

// For returns the next hop of the family; the zero Addr if there is none.
func (n NextHops) For(f Family) netip.Addr {
	if f == IPv4Unicast {
		return n.IPv4
	}
	return n.IPv6
}

// Advertisement is one prefix that we originate and the peers, by name, that hear it.
type Advertisement struct {
	Prefix netip.Prefix
	To     []string // sorted; shared between advertisements, never changed in place
}

// Desired is the whole wanted state of a speaker.
type Desired struct {
	Config         *Config // nil: no speaker runs
	Peers          []Peer
	Advertisements []Advertisement
}

// Path is one way to a prefix, as a peer told it.
type Path struct {
	Peer      string     // name of the Peer it came from; "" when that is no longer configured
	PeerAddr  netip.Addr // address of the peer
	NextHop   netip.Addr // link-local ones carry the zone of the session
	ASPath    []uint32   // sequences and sets flattened, nearest AS first
	LocalPref uint32
	MED       uint32
	IBGP      bool
	Stale     bool // kept under graceful restart, its session is down
}

// RIBChange is the complete set of best paths that a prefix has now; none when it has gone.
type RIBChange struct {
	Prefix netip.Prefix
	Paths  []Path // equal in the decision process (multipath), in no particular order
}

// SessionState is a state of the BGP finite state machine (RFC 4271, section 8.2.2).
type SessionState string

// The states, in the words of the RFC.
const (
	Idle        SessionState = "Idle"
	Connect     SessionState = "Connect"
	Active      SessionState = "Active"
	OpenSent    SessionState = "OpenSent"
	OpenConfirm SessionState = "OpenConfirm"
	Established SessionState = "Established"
)

// Session is what is so between us and one peer.
type Session struct {
	Peer    string // name of the Peer
	Address netip.Addr
	ASN     uint32 // as configured
	State   SessionState
	Since   time.Time // of the last change between Established and not; zero if never up

	// LastError says in words why the session last went down or does not come up.
	LastError string

	HoldTime        time.Duration // negotiated; 0 unless Established
	GracefulRestart bool          // both sides offered it
	Families        []FamilySession
}

// FamilySession is what a session holds of one negotiated family. The counts are 0 unless
// the session is Established.
type FamilySession struct {
	Family     Family
	EndOfRIB   bool // the peer has sent it since the session came up
	Received   int
	Accepted   int
	Advertised int
}

// ErrNotStarted is in the error of a speaker that could not be started at all, for instance
// because its port is taken.
var ErrNotStarted = errors.New("the BGP speaker does not run")
