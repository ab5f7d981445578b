package plan

import (
	"math"
	"slices"

	"github.com/fairway-bgp/fairway/routes"
)

// bandwidthPerEndpoint is what a node tells for each of its endpoints, in bytes a second: one
// megabit. Only the proportions count; it is so small that a router which computes in 32 bits has
// room for 34,000 endpoints, and that a float32 is exact up to 1,000.
const bandwidthPerEndpoint = 125_000

// weigh gives the next hops weights in proportion to their shares, those that are the same
// together.
func weigh(hops []routes.NextHop, shares []float64) []routes.NextHop {
	var out []routes.NextHop
	var sums []float64
	for i, hop := range hops {
		at := slices.IndexFunc(out, func(h routes.NextHop) bool { return h.Gateway == hop.Gateway && h.Link == hop.Link })
		if at < 0 {
			out, sums = append(out, hop), append(sums, shares[i])
			continue
		}
		sums[at] += shares[i]
	}
	for i, weight := range proportions(sums) {
		out[i].Weight = weight
	}
	return out
}

// sharesOf divides the bandwidth of a path among the ways to its next hop.
func sharesOf(hops []routes.NextHop, bandwidth float32) []float64 {
	whole := 0.0
	for _, hop := range hops {
		whole += float64(max(hop.Weight, 1))
	}
	shares := make([]float64, len(hops))
	for i, hop := range hops {
		shares[i] = float64(bandwidth) * float64(max(hop.Weight, 1)) / whole
	}
	return shares
}

// proportions returns weights from 1 to 255: the smallest that differ from the shares by less
// than a thousandth, or else the nearest ones.
func proportions(shares []float64) []uint8 {
	weights := make([]uint8, len(shares))
	most := slices.Max(shares)
	for top := 1.0; top <= math.MaxUint8; top++ {
		exact := true
		for i, share := range shares {
			want := share / most * top
			weight := max(math.Round(want), 1)
			weights[i] = uint8(weight)
			exact = exact && math.Abs(want-weight) < want/1000
		}
		if exact {
			break
		}
	}
	return weights
}
