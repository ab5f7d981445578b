package bgp

import (
	"net/netip"
	"sync"
	"testing"
)

func change(prefix string, peers ...string) RIBChange {
	c := RIBChange{Prefix: netip.MustParsePrefix(prefix)}
	for _, p := range peers {
		c.Paths = append(c.Paths, Path{Peer: p})
	}
	return c
}

func TestRIBQueueKeepsTheNewestOfEachPrefix(t *testing.T) {
	q := NewRIBQueue()
	q.Put(change("10.1.0.0/24", "a"), change("10.2.0.0/24", "a"))
	q.Put(change("10.1.0.0/24", "b", "c"), change("10.2.0.0/24"))
	got := map[string]int{}
	for _, c := range q.Take() {
		got[c.Prefix.String()] = len(c.Paths)
	}
	if len(got) != 2 || got["10.1.0.0/24"] != 2 || got["10.2.0.0/24"] != 0 {
		t.Errorf("took %v", got)
	}
	if again := q.Take(); len(again) != 0 {
		t.Errorf("took %v twice", again)
	}
}

func TestRIBQueueWakesOnceForABurstAndAgainAfterIt(t *testing.T) {
	q := NewRIBQueue()
	awake := func() bool {
		select {
		case <-q.Wake():
			return true
		default:
			return false
		}
	}
	q.Put()
	if awake() {
		t.Error("awake for nothing")
	}
	for range 3 {
		q.Put(change("10.1.0.0/24", "a"))
	}
	if !awake() || awake() {
		t.Error("not awake exactly once")
	}
	q.Take()
	q.Put(change("10.1.0.0/24"))
	if !awake() {
		t.Error("asleep after a later change")
	}
}

func TestRIBQueueLosesNothingBetweenWriterAndReader(t *testing.T) {
	const prefixes, rounds = 50, 200
	q := NewRIBQueue()
	all := make([]netip.Prefix, prefixes)
	for i := range all {
		all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), 0}), 24)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 1; n <= rounds; n++ {
			for _, p := range all {
				q.Put(RIBChange{Prefix: p, Paths: make([]Path, n)})
			}
		}
	})
	latest := map[netip.Prefix]int{}
	done := func() bool {
		for _, p := range all {
			if latest[p] != rounds {
				return false
			}
		}
		return true
	}
	for !done() {
		<-q.Wake()
		for _, c := range q.Take() {
			if n := len(c.Paths); n <= latest[c.Prefix] {
				t.Fatalf("%s went from %d back to %d", c.Prefix, latest[c.Prefix], n)
			}
			latest[c.Prefix] = len(c.Paths)
		}
	}
	writer.Wait()
}
