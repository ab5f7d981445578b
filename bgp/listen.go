package bgp

import "net/netip"

// Listen is a prefix whose routers may connect before they are known. Such a connection is
// refused, and its address told as that of a caller: whoever wants its next one to be taken
// makes a passive [Peer] of it.
type Listen struct {
	Prefix netip.Prefix
	// Password is what callers have to sign with to be heard at all (TCP MD5, RFC 2385); empty: nothing.
	Password Secret
}
