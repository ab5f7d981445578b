package bgp

import "net/netip"

// MaxLooked is how many paths of a family a peer may tell for them to be looked through for loops: that holds up the speaker.
const MaxLooked = 10_000

// Loops are prefixes that a peer tells with our own AS number in their path more often than it may
// stand there (RFC 4271, section 9.1.2), that its rules would let in, and that no other path leads to.
type Loops struct {
	Peer     string
	Prefixes int
	First    netip.Prefix // of them
	ASPath   []uint32     // of that one
}
