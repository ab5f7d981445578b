package bgp

import (
	"net/netip"
	"slices"
)

// Relay is what some peers within our AS tell us, and peers outside of it hear from us: as it came,
// but for next hop and attributes. What bears NO_EXPORT, NO_ADVERTISE or NO_EXPORT_SUBCONFED
// (RFC 1997) is told to nobody, and communities are kept.
type Relay struct {
	From     []string     // names of peers; sorted. What they have from others counts as theirs
	Prefixes []PrefixRule // any rule suffices, but those peers must be allowed to tell it
	Exports  []Export     // no peer is in two of them; LocalPref and LinkBandwidth count for nothing
	// NextHops, unless empty, leave the next hop as it came, and pass on only what has one in them:
	// networks that we share with those who hear it (RFC 4271, section 5.1.3).
	NextHops []netip.Prefix
}

// Equal reports whether the two pass on the same to the same.
func (r Relay) Equal(other Relay) bool {
	return sameNames(r.From, other.From) && sameRules(r.Prefixes, other.Prefixes) && slices.Equal(r.NextHops, other.NextHops) &&
		slices.EqualFunc(r.Exports, other.Exports, func(a, b Export) bool {
			return slices.Equal(a.To, b.To) && a.Attributes.String() == b.Attributes.String()
		})
}

// sameNames compares two lists of names; one of thousands is often shared.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}
