package main

import "testing"

func TestFewRepairsAreInvalid(t *testing.T) {
	for samples, bad := range map[int]bool{leastSamples - 1: true, leastSamples: false} {
		took := make([]float64, samples)
		took[samples/2] = 90
		var r repairResult
		r.conclude(took)
		if got := len(r.invalid()) > 0; got != bad || r.Samples != samples || r.RepairP50 != 0 || r.RepairMax != 90 {
			t.Errorf("of %d samples: invalid %t, %+v", samples, got, r)
		}
	}
}
