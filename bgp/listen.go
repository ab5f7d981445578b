package bgp

import "net/netip"

// Listen is a prefix whose routers may connect before they are known. The address of such a connection
// is told as that of a caller: whoever wants it to be taken makes a passive [Peer] of it. It waits
// some seconds for that, where it can, and the caller's next one is taken in any case.
type Listen struct {
	Prefix netip.Prefix
	// Password is what callers have to sign with to be heard at all (TCP MD5, RFC 2385); empty: nothing.
	Password Secret
}
