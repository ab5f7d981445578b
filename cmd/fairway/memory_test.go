package main

import (
	"context"
	"runtime/debug"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/controller/report"
)

func TestMemoryIsGivenBackOnceNothingHappens(t *testing.T) {
	before := debug.SetGCPercent(-1) // nothing but the thrift collects
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
	givenBack := func() {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for h := readHeap(); h.wasteful(); h = readHeap() {
			if time.Now().After(deadline) {
				t.Fatalf("nothing was given back: %+v", h)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	givenBack()
	// And when the start is over, after any other burst.
	debug.SetGCPercent(-1)
	burst(64 << 20)
	if h := readHeap(); !h.wasteful() {
		t.Fatalf("after another burst %+v is not wasteful", h)
	}
	givenBack()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

var kept [][]byte

// burst uses memory and leaves it to the collector.
func burst(bytes int) {
	for range bytes >> 20 {
		page := make([]byte, 1<<20)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		kept = append(kept, page)
	}
	kept = nil
}
