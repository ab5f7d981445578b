package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"testing/synctest"
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
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	synctest.Test(t, func(t *testing.T) {
		m := &thrift{}
		go func() { _ = m.Run(t.Context()) }()
		time.Sleep(2 * lookPeriod)
		if got := percent(); got != startPercent {
			t.Errorf("it is %d with little in use", got)
		}
		kept = [][]byte{make([]byte, roomyBytes+1)}
		defer func() { kept = nil }()
		runtime.GC()
		time.Sleep(2 * lookPeriod)
		if got := percent(); got != restPercent {
			t.Errorf("with much in use it is still %d", got)
		}
	})
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
