package cluster

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/raw"
)

// A peer tells one prefix anew 1,000 times a second, each time with another next hop, and
// then a great many times at once. What it said last is in the kernel in the end; nothing piles
// up, and another peer's session and routes do not notice.
func TestAPeerThatFloodsCostsItsOwnNewsAlone(t *testing.T) {
	r, n, dir, start := dirRig(t)
	second := r.Switch("second")
	second.Attach(n, "198.51.100.11/24")
	flooder := r.Host("flooder")
	second.Attach(flooder, "198.51.100.7/24")
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	allowed := strings.Replace(peerManifest, "asn: 65001,", "asn: 65001, import: {allow: [{prefix: 10.244.0.0/16, minLength: 24, maxLength: 24}]},", 1)
	write(t, dir, "router.yaml", allowed)
	write(t, dir, "flooder.yaml", strings.NewReplacer("name: router", "name: flooder", "192.0.2.1,", "198.51.100.7,", "65001", "65007", "holdTimeSeconds: 9", "holdTimeSeconds: 90").Replace(allowed))
	if err := r.router.Configure(t.Context(), "router bgp 65001\n address-family ipv4 unicast\n  network 10.244.200.0/24\n"); err != nil {
		t.Fatal(err)
	}
	start()
	r.eventually(func() error {
		return hasRoute(t.Context(), n.Host, "10.244.200.0/24", netip.MustParseAddr("192.0.2.1"))
	})

	conn, err := flooder.Dial(t.Context(), "tcp", "198.51.100.11:179")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const asn = 65007
	if _, err := raw.Establish(conn, raw.Open{ASN: asn, HoldTime: 90, ID: flooder.IPv4()}, patience); err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix("10.244.201.0/24")
	hops := []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("198.51.100.8")}
	last := netip.MustParseAddr("198.51.100.9")
	say := func(times int) {
		t.Helper()
		var b []byte
		for i := range times {
			b = append(b, raw.Announcement(asn, hops[i%2], prefix)...)
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	say(2)
	r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24", hops[1]) })
	before := n.memory(t)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for range 300 {
		<-pace.C
		say(10)
	}
	say(10_000) // GoBGP queues what comes faster than it works, so far as memory goes
	if _, err := conn.Write(raw.Announcement(asn, last, prefix)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r.eventually(func() error { return hasRoute(t.Context(), n.Host, "10.244.201.0/24", last) })
	after := n.memory(t)
	t.Logf("the last word is in the kernel after %s; memory from %d to %d KiB", time.Since(began), before, after)
	if after > before+32<<10 {
		t.Errorf("memory grew from %d to %d KiB", before, after)
	}
	if err := n.established(2); err != nil {
		t.Error(err)
	}
	if err := hasRoute(t.Context(), n.Host, "10.244.200.0/24", netip.MustParseAddr("192.0.2.1")); err != nil {
		t.Error(err)
	}
	if log := n.log(); strings.Contains(log, "level=ERROR") || strings.Count(log, `msg="peer down"`) > 0 {
		t.Errorf("the log:\n%s", log)
	}
	r.eventually(func() error { return n.metric("fairway_routes_failed 0") })
}

// memory is what the agent has in memory, in KiB, by its own account.
func (n *node) memory(t *testing.T) (kib int) {
	t.Helper()
	out, err := n.run("curl", "-s", "-m", "2", "http://127.0.0.1:9479/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if rest, is := strings.CutPrefix(line, "process_resident_memory_bytes "); is {
			var size float64
			if _, err := fmt.Sscan(rest, &size); err != nil {
				t.Fatal(err)
			}
			return int(size) / 1024
		}
	}
	t.Fatal("the agent does not tell its memory")
	return 0
}
