package main

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

func TestServiceBenchHearsOfEveryChange(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	args := []string{"service", "-root=../..", "-nodes=10", "-services=100", "-samples=4", "-churn=100", "-burst=20"}
	if err := run(t.Context(), args, &out); err == nil || err.Error() != "service: the run is invalid: "+tooFew(4) {
		t.Fatalf("so few samples are to make it invalid, and nothing else: %v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, key := range []string{"bench", "services", "p50_ms", "p99_ms", "gated_p50_ms", "churn_p99_ms", "churn_cpu_percent", "mb", "samples"} {
		if last := lines[len(lines)-1]; !strings.Contains(last, `"`+key+`":`) {
			t.Errorf("the result has no %s: %s", key, last)
		}
	}
}

func TestStormBenchLosesNobody(t *testing.T) {
	lab.NeedRoot(t)
	var out strings.Builder
	if err := run(t.Context(), []string{"storm", "-root=../..", "-nodes=10", "-services=20", "-storm=100"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestStreamPutsSegmentsInOrder(t *testing.T) {
	message := func(length int) []byte {
		b := append([]byte(strings.Repeat("\xff", 16)), make([]byte, length-16)...)
		binary.BigEndian.PutUint16(b[16:], uint16(length))
		return b
	}
	first := uint32(1<<32 - 30) // the numbers wrap on the way
	text := append(message(40), message(25)...)
	at := func(from, to int) segment { return segment{sequence: first + uint32(from), data: text[from:to]} }
	var s stream
	var lengths []int
	for _, seg := range []segment{at(0, 10), at(20, 50), at(0, 10), at(5, 25), at(50, 65)} {
		messages, err := s.add(seg)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			lengths = append(lengths, len(m))
		}
	}
	if len(lengths) != 2 || lengths[0] != 40 || lengths[1] != 25 {
		t.Errorf("messages of %v bytes, want 40 and 25", lengths)
	}
	if _, err := s.add(segment{sequence: first + 65, data: make([]byte, 30)}); err == nil {
		t.Error("what is no message passes for one")
	}
}

func TestWireTellsOfWhatWasWithdrawnUnasked(t *testing.T) {
	toggles := &toggles{services: 1000}
	stays, changes := netip.MustParsePrefix("10.96.0.10/32"), toggles.prefix(0)
	w := newWire(maps.Keys(map[netip.Prefix]bool{stays: true, changes: true}), toggles)
	began := w.expect(changes, false).began
	w.see(update{at: began.Add(5 * time.Millisecond), withdrawn: []netip.Prefix{changes}})
	if took := w.settle(t.Context()); len(took) != 1 || took[0].took != 5 {
		t.Errorf("heard after %v ms, want 5", took)
	}
	if got := w.strange(); got != nil {
		t.Errorf("what was asked for is told of as strange: %v", got)
	}
	w.see(update{withdrawn: []netip.Prefix{stays}})
	if got := w.strange(); len(got) != 1 || !strings.Contains(got[0], stays.String()) {
		t.Errorf("got %v, want %s to be told of", got, stays)
	}
}
