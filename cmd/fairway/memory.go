package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/fairway-bgp/fairway/controller/report"
)

// How much garbage the agent lets gather, in percent of what it uses.
const (
	// startPercent holds until the picture is complete: peers send all they have at once, and
	// with little garbage allowed a quarter of the time until the kernel has it is collection.
	startPercent = 200
	// restPercent is half of Go's default: on a node memory is dearer than the little time
	// that this costs, as a changed Service leaves little garbage.
	restPercent = 50
)

const (
	lookPeriod = time.Second
	// calmBytes is how much is allocated at the most in a period after which the start is over, even
	// where Services change many times a second.
	calmBytes = 16 << 20
	// quietBytes is how much is allocated at the most in a period in which nothing happens.
	quietBytes = 2 << 20
	// roomyBytes is how much is in use at the most for startPercent to hold: three times a gigabyte is more
	// than a node has to spare.
	roomyBytes = 300 << 20
	// spareBytes may be held beyond what is in use: to give it back costs a collection. As much
	// comes together in eight quiet periods at the soonest.
	spareBytes = 8 * quietBytes
)

// thrift keeps the agent's memory small when nothing happens, and gives it room when much
// does: Go alone gives memory back at its own pace, which takes minutes. It does nothing
// where the environment has GOGC; GOMEMLIMIT counts as ever.
type thrift struct {
	off      bool
	complete atomic.Bool
}

func newThrift() *thrift {
	_, set := os.LookupEnv("GOGC")
	if !set {
		debug.SetGCPercent(startPercent)
	}
	return &thrift{off: set}
}

// Report implements controller.Reporter.
func (t *thrift) Report(r *report.Report) {
	if r.Complete {
		t.complete.Store(true)
	}
}

// Run looks, until ctx ends, for periods in which little or nothing happens.
func (t *thrift) Run(ctx context.Context) error {
	if t.off {
		return nil
	}
	tick := time.NewTicker(lookPeriod)
	defer tick.Stop()
	before, resting := readHeap(), false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := readHeap()
		allocated := now.allocated - before.allocated
		before = now
		switch {
		case !resting && allocated < calmBytes && t.complete.Load():
			debug.SetGCPercent(restPercent)
			resting = true
			debug.FreeOSMemory() // of what the start took, most is free now
		case !resting && now.live > roomyBytes:
			debug.SetGCPercent(restPercent)
			resting = true
		case allocated < quietBytes && now.wasteful():
			debug.FreeOSMemory()
		}
	}
}

// heap is what the Go runtime says of its heap, in bytes.
type heap struct {
	allocated uint64 // ever
	live      uint64 // at the end of the last collection
	held      uint64 // that a collection could give back, and what is live
}

// wasteful reports whether so much is held that to give it back is worth a collection.
func (h heap) wasteful() bool {
	return h.held > h.live+spareBytes
}

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, // garbage too
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	return heap{allocated: value(0), live: value(1), held: value(2) + value(3)}
}
