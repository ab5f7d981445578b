package bgp

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

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

// String renders the rule as "10.244.0.0/16 ge 16 le 24".
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
	// AnyExternal takes any number in the peer's OPEN but our own, in place of ASN, which is 0.
	AnyExternal bool

	LocalASN     uint32     // as the peer sees us; 0: the speaker's own (RFC 7705)
	LocalAddress netip.Addr // source address; the zero Addr leaves it to the kernel
	Passive      bool       // never dial, only listen
	Password     Secret     // TCP MD5 (RFC 2385); empty: none

	HoldTime     time.Duration
	Keepalive    time.Duration
	ConnectRetry time.Duration

	EBGPMultihopTTL uint8 // 0: a single hop
	TTLSecurityHops uint8 // how far away the peer may be (RFC 5082); 0: not checked

	Families        []Family // sorted, at least one
	GracefulRestart bool
	AddPaths        AddPaths

	// Down says in words why there is to be no session for the time being; "": it is tried.
	Down string
	// Shutdown tells the peer so, when a session ends for Down: with Cease, Administrative Shutdown,
	// and ShutdownMessage, at most 128 bytes (RFC 9003).
	Shutdown        bool
	ShutdownMessage string

	// ClusterID is in IPv4 form and stands in the CLUSTER_LIST of what the peer is told
	// (RFC 4456, section 8). A session needs one to be reflected over, and may have it before,
	// so that to begin reflecting does not reset it; the zero Addr: none.
	ClusterID netip.Addr
	// Reflection is the peer's part while we reflect; it changes while the session is up.
	Reflection Reflection

	// Import is what the peer may tell us, any rule suffices; nothing when empty.
	Import []PrefixRule
	// AllowOwnAS is how often our own number may stand in what the peer tells us.
	AllowOwnAS uint8
	// ImportLocalPref is the LOCAL_PREF that what the peer tells us gets; nil: none of ours.
	ImportLocalPref *uint32
	// Limit bounds how many prefixes the peer may tell us; it changes while the session is up.
	Limit PrefixLimit
	// NextHops is what we announce as next hop to this peer, per family. A family without
	// a valid address here is not advertised.
	NextHops NextHops
	// ExtendedNextHop tells IPv4 prefixes with the IPv6 next hop where there is none of IPv4, as far as
	// the peer takes that (RFC 8950).
	ExtendedNextHop bool
}

// Lends reports whether the IPv6 next hop stands in for that of the family.
func (p Peer) Lends(f Family) bool {
	return p.ExtendedNextHop && f == IPv4Unicast && !p.NextHops.IPv4.IsValid() && p.NextHops.IPv6.IsValid()
}

// Internal reports whether the session is one within an AS, for a speaker of that number.
func (p Peer) Internal(asn uint32) bool { return p.ASN == p.OwnASN(asn) }

// OwnASN is our number as the peer sees it, for a speaker of that number.
func (p Peer) OwnASN(asn uint32) uint32 { return cmp.Or(p.LocalASN, asn) }

// Equal reports whether the two are wanted alike.
func (p Peer) Equal(other Peer) bool {
	return p.Name == other.Name && p.Address == other.Address && p.Port == other.Port && p.ASN == other.ASN &&
		p.LocalAddress == other.LocalAddress && p.Passive == other.Passive && p.Password == other.Password &&
		p.HoldTime == other.HoldTime && p.Keepalive == other.Keepalive && p.ConnectRetry == other.ConnectRetry &&
		p.EBGPMultihopTTL == other.EBGPMultihopTTL && p.GracefulRestart == other.GracefulRestart && p.NextHops == other.NextHops && p.Down == other.Down &&
		p.LocalASN == other.LocalASN && p.TTLSecurityHops == other.TTLSecurityHops && p.Shutdown == other.Shutdown && p.ShutdownMessage == other.ShutdownMessage &&
		p.ClusterID == other.ClusterID && p.Reflection == other.Reflection && p.Limit == other.Limit && p.AnyExternal == other.AnyExternal && p.ExtendedNextHop == other.ExtendedNextHop && p.AddPaths == other.AddPaths &&
		slices.Equal(p.Families, other.Families) && p.SameImport(other)
}

// SameImport reports whether what the two tell is taken in alike.
func (p Peer) SameImport(other Peer) bool {
	return p.AllowOwnAS == other.AllowOwnAS && sameValue(p.ImportLocalPref, other.ImportLocalPref) && sameRules(p.Import, other.Import)
}

func sameValue(a, b *uint32) bool { return a == b || a != nil && b != nil && *a == *b }

// sameRules compares two lists of rules; thousands of peers often share one.
func sameRules(a, b []PrefixRule) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// PrefixLimit says how many prefixes of each family a peer may tell us, those that its import
// rules refuse among them, and what happens to one that tells more.
type PrefixLimit struct {
	Max int // 0: any number
	// Shutdown ends the session with Cease, Maximum Number of Prefixes Reached (RFC 4486, section 4).
	Shutdown bool
	// Restart is how long after that it is tried again; 0: once Max has changed.
	Restart time.Duration
}

// Reflection is the part of a peer in route reflection (RFC 4456, section 6). What is passed
// on stays as it was told, but for ORIGINATOR_ID and CLUSTER_LIST.
type Reflection uint8

// The parts that a peer may have.
const (
	NoReflection Reflection = iota // hears only what we originate; nothing that it tells is passed on
	Client                         // hears what clients and non-clients tell, and is heard by both
	NonClient                      // hears what clients tell, and is heard by clients
)

// String returns the word of the RFC; "" for none.
func (r Reflection) String() string {
	switch r {
	case Client:
		return "client"
	case NonClient:
		return "non-client"
	}
	return ""
}

// Hears reports whether a peer of this part hears what one of the other part tells.
func (r Reflection) Hears(from Reflection) bool {
	return r != NoReflection && from != NoReflection && (r == Client || from == Client)
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
