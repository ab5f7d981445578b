package plan

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestWeightsAreTheSmallestInProportion(t *testing.T) {
	for _, test := range []struct {
		shares []float64
		want   string
	}{
		{[]float64{125000}, "[1]"},
		{[]float64{7, 7, 7}, "[1 1 1]"},
		{[]float64{125000, 375000}, "[1 3]"},
		{[]float64{500000, 250000, 750000}, "[2 1 3]"},
		{[]float64{1, 100}, "[1 100]"},
		{[]float64{1, 1000}, "[1 255]"}, // as near as it gets
		{[]float64{math.SmallestNonzeroFloat32, math.MaxFloat32}, "[1 255]"},
	} {
		if got := fmt.Sprint(proportions(test.shares)); got != test.want {
			t.Errorf("%v: got %s, want %s", test.shares, got, test.want)
		}
	}
}

func TestNoWeightIsFarFromItsShare(t *testing.T) {
	for range 1000 {
		shares := make([]float64, 1+rand.IntN(16))
		for i := range shares {
			shares[i] = 1 + 99*rand.Float64()
		}
		weights := proportions(shares)
		for i := range shares {
			share, got := shares[i]/shares[0], float64(weights[i])/float64(weights[0])
			if weights[i] == 0 || math.Abs(got/share-1) > 0.5 {
				t.Fatalf("%v became %v", shares, weights)
			}
		}
	}
}
