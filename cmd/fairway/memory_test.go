package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
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

// TestAStartThatTakesMuchHasLessRoom has a start go on without end.
func TestAStartThatTakesMuchHasLessRoom(t *testing.T) {
	before := debug.SetGCPercent(startPercent)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := &thrift{}
	go func() { _ = m.Run(ctx) }()
	percent := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	for deadline := time.Now().Add(2 * lookPeriod); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if metrics.Read(percent); percent[0].Value.Uint64() != startPercent {
			t.Fatalf("it is %d with nothing in use", percent[0].Value.Uint64())
		}
	}
	kept = [][]byte{make([]byte, roomyBytes+1)}
	defer func() { kept = nil }()
	runtime.GC()
	for deadline := time.Now().Add(20 * time.Second); percent[0].Value.Uint64() != restPercent; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("with much in use it is still %d", percent[0].Value.Uint64())
		}
		metrics.Read(percent)
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
