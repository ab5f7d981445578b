package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller/report"
)

func TestMemoryIsGivenBackOnceNothingHappens(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	m := &thrift{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	debug.FreeOSMemory()
	burst(64 << 20)
	if h := readHeap(); !h.wasteful() {
		t.Fatalf("after a burst of garbage %+v is not wasteful", h)
	}
	go func() { done <- m.Run(ctx) }()
	m.Report(&report.Report{Complete: true})
	deadline := time.Now().Add(20 * time.Second)
	for h := readHeap(); h.wasteful(); h = readHeap() {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was given back: %+v", h)
		}
		runtime.Gosched() // the ticker is the agent's own
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

var kept [][]byte

// burst uses memory and leaves it to the collector, which keeps it for the next time.
func burst(bytes int) {
	for range bytes >> 20 {
		page := make([]byte, 1<<20)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		kept = append(kept, page)
	}
	kept = nil
	runtime.GC()
}
