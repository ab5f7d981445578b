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
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/cow"
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
	// Notification keeps our routes, and the peer's, through sessions that end with a NOTIFICATION (RFC 8538).
	Notification bool
	// LongLived is how long a peer may keep our routes beyond RestartTime, less preferred
	// (RFC 9494); whole seconds, up to 16777215; 0: not at all.
	LongLived time.Duration
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

// Audience is who hears a prefix, and with which attributes. It is shared by all prefixes
// that are told alike, and never changed.
type Audience struct {
	Exports []Export // no peer is in two of them
}

// Export is a part of an audience whose peers, by name, hear the same attributes.
type Export struct {
	To         []string // sorted
	Attributes Attributes
}

// Attributes are the path attributes that we choose for what we originate. The zero value
// leaves all of them to the protocol's defaults.
type Attributes struct {
	Communities      []Community      // sorted (RFC 1997)
	LargeCommunities []LargeCommunity // sorted (RFC 8092)
	LocalPref        *uint32          // told to iBGP peers only (RFC 4271, section 5.1.5)
	MED              *uint32          // RFC 4271, section 5.1.4
	Prepend          uint8            // how many times more our AS number stands in the path
	// LinkBandwidth is told in an extended community (draft-ietf-idr-link-bandwidth): a router
	// that has equal paths shares its traffic between them in proportion. Bytes a second; 0: not told.
	LinkBandwidth float32
}

// Community is a standard community (RFC 1997): an AS number in the upper 16 bits.
type Community uint32

// String renders the community as "65000:1".
func (c Community) String() string { return fmt.Sprintf("%d:%d", uint32(c)>>16, uint32(c)&0xffff) }

// LargeCommunity is a large community (RFC 8092).
type LargeCommunity struct {
	GlobalAdmin, Local1, Local2 uint32
}

// String renders the community as "65000:1:2".
func (c LargeCommunity) String() string {
	return fmt.Sprintf("%d:%d:%d", c.GlobalAdmin, c.Local1, c.Local2)
}

// String renders the attributes on one line; two that mean the same have the same text.
func (a Attributes) String() string {
	var parts []string
	for _, c := range a.Communities {
		parts = append(parts, "community "+c.String())
	}
	for _, c := range a.LargeCommunities {
		parts = append(parts, "large-community "+c.String())
	}
	if a.LocalPref != nil {
		parts = append(parts, fmt.Sprintf("local-pref %d", *a.LocalPref))
	}
	if a.MED != nil {
		parts = append(parts, fmt.Sprintf("med %d", *a.MED))
	}
	if a.Prepend > 0 {
		parts = append(parts, fmt.Sprintf("prepend %d", a.Prepend))
	}
	if a.LinkBandwidth > 0 {
		parts = append(parts, fmt.Sprintf("link-bandwidth %.0f", a.LinkBandwidth))
	}
	return strings.Join(parts, " ")
}

// Station is a BMP collector (RFC 7854).
type Station struct {
	Address netip.Addr
	Port    uint16
	Hears   StationPolicy
}

// StationPolicy is which routes a station hears.
type StationPolicy uint8

// The policies: what peers say, what of it the import rules let in, both, what is chosen from
// it (RFC 9069), and everything.
const (
	PrePolicy StationPolicy = iota
	PostPolicy
	BothPolicies
	LocalRIB
	AllRoutes
)

// String returns the name that the API uses.
func (p StationPolicy) String() string {
	return [...]string{"PrePolicy", "PostPolicy", "Both", "LocalRIB", "All"}[p]
}

// Desired is the whole wanted state of a speaker.
type Desired struct {
	Config         *Config // nil: no speaker runs
	Peers          []Peer
	Advertisements Advertisements // what we originate
	Relays         []Relay        // what we pass on to others
	Stations       []Station      // each address and port once
	Listens        []Listen       // each prefix once
}

// Advertisements are prefixes and who hears them.
type Advertisements = cow.Map[netip.Prefix, *Audience]

// Path is one way to a prefix, as a peer told it.
type Path struct {
	Peer     string     // name of the Peer it came from; "" when that is no longer configured
	PeerAddr netip.Addr // address of the peer
	NextHop  netip.Addr // link-local ones carry the zone of the session
	ASPath   []uint32   // sequences and sets flattened, nearest AS first
	// ASPathLength is as the decision process counts it: a set as one (RFC 4271, section 9.1.2.2).
	ASPathLength int
	Origin       uint8 // RFC 4271, section 5.1.1
	LocalPref    uint32
	MED          uint32
	// LinkBandwidth is in bytes a second (draft-ietf-idr-link-bandwidth), finite and positive; 0: not told.
	LinkBandwidth float32
	IBGP          bool
	Stale         bool // kept under graceful restart, its session is down
}

// RIBChange is the complete set of best paths that a prefix has now; none when it has gone.
type RIBChange struct {
	Prefix netip.Prefix
	Paths  []Path // equal in the decision process (multipath), in no particular order
}

// Ranking is all that is known of a prefix: its paths in sets of equal ones, the best set
// first. The first set is that of its RIBChange.
type Ranking struct {
	Prefix netip.Prefix
	Sets   [][]Path
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
	ASN     uint32 // as configured; with AnyExternal as the peer last said, 0 if it has not
	State   SessionState
	Since   time.Time // of the last change between Established and not; zero if never up

	// LastError says in words why the session last went down or does not come up.
	LastError string

	HoldTime        time.Duration // negotiated; 0 unless Established
	GracefulRestart bool          // both sides offered it
	ExtendedNextHop bool          // the peer takes IPv6 next hops for IPv4 (RFC 8950)
	Capabilities    []string      // names of those that both sides announced (RFC 5492), sorted
	Families        []FamilySession
}

// FamilySession is what a session holds of one negotiated family. The counts are 0 unless
// the session is Established. They are of prefixes; of what the peer tells in several paths to
// a prefix, of paths.
type FamilySession struct {
	Family     Family
	EndOfRIB   bool // the peer has sent it since the session came up
	Received   int
	Accepted   int
	Advertised int
	Relayed    int // of Advertised, what other peers have told us and Relays pass on

	ReceivesPaths bool // several paths to a prefix are received (RFC 7911, section 4)
	SendsPaths    bool // and sent
}

// PeerError is what keeps one peer from being as it is wanted. It concerns nothing else.
type PeerError struct {
	Peer string // name of the Peer
	Err  error
}

func (e *PeerError) Error() string { return fmt.Sprintf("peer %s: %v", e.Peer, e.Err) }

// Unwrap returns the cause.
func (e *PeerError) Unwrap() error { return e.Err }

// PrefixError is what keeps one prefix from being advertised as it is wanted.
type PrefixError struct {
	Prefix netip.Prefix
	Err    error
}

func (e *PrefixError) Error() string { return fmt.Sprintf("advertising %s: %v", e.Prefix, e.Err) }

// Unwrap returns the cause.
func (e *PrefixError) Unwrap() error { return e.Err }

// Errors returns the parts of a joined error, each for itself; none for nil.
func Errors(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Is(err, ErrNotStarted) {
		return []error{err}
	}
	var out []error
	for _, part := range joined.Unwrap() {
		out = append(out, Errors(part)...)
	}
	return out
}

// ErrNotStarted is in the error of a speaker that could not be started at all, for instance
// because its port is taken.
var ErrNotStarted = errors.New("the BGP speaker does not run")
