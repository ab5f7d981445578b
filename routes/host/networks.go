package host

import (
	"cmp"
	"slices"
)

// Networks returns the addresses that make a network reachable, those first that can be
// told to others: settled, lasting, primary. IPv6 link-local ones are left out.
func (f Facts) Networks() []Address {
	var out []Address
	for _, a := range f.Addresses {
		if f.connects(a) && !a.Addr.IsLinkLocalUnicast() {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b Address) int { return cmp.Compare(a.rank(), b.rank()) })
	return out
}

// rank orders addresses by how fit they are to be told to others; 0 is best.
func (a Address) rank() int {
	switch {
	case !a.lasting():
		return 2
	case a.Secondary:
		return 1
	}
	return 0
}
