package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/fairway-bgp/fairway/test/lab"
	"github.com/fairway-bgp/fairway/test/namespace"
)

var (
	us   = netip.MustParseAddr("fe80::b")
	one  = netip.MustParseAddr("fe80::1")
	two  = netip.MustParseAddr("fe80::2")
	nine = netip.MustParseAddr("fe80::9")
)

// spoken counts what is sent on a link that nobody answers on.
type spoken struct {
	advertised, solicited int
}

func (s *spoken) read() (message, error) { select {} }
func (s *spoken) advertise() error       { s.advertised++; return nil }
func (s *spoken) solicit() error         { s.solicited++; return nil }
func (s *spoken) Close() error           { return nil }

func quiet() (*neighborhood, *spoken) {
	conn := &spoken{}
	return &neighborhood{Neighborhood: Neighborhood{Addr: us}, conn: conn, heard: map[netip.Addr]heard{}}, conn
}

func (n *neighborhood) wants(t *testing.T, what string, want ...netip.Addr) {
	t.Helper()
	if got := n.found().Routers; !slices.Equal(got, want) {
		t.Errorf("%s: routers %v, want %v", what, got, want)
	}
}

func TestOfSeveralRoutersADefaultRouterComesFirstThenTheLeastAddress(t *testing.T) {
	n, _ := quiet()
	now := time.Now()
	for _, m := range []message{{from: two}, {from: us}, {from: one}, {from: nine, isDefault: true}, {from: netip.MustParseAddr("fe80::5"), solicitation: true}} {
		n.take(m, now)
	}
	n.wants(t, "all", nine, one, two)
	n.take(message{from: nine}, now)
	n.wants(t, "the lifetime is 0 now", one, two, nine)
}

func TestASilentRouterIsGoneOnlyWhereAnotherOneIsHeard(t *testing.T) {
	n, conn := quiet()
	now := time.Now()
	n.take(message{from: one}, now)
	now = now.Add(time.Hour)
	n.tick(now)
	n.wants(t, "alone and silent", one)
	if conn.solicited > 0 {
		t.Error("a single router is asked whether it is there")
	}
	n.take(message{from: two}, now)
	n.tick(now)
	n.wants(t, "one had not been asked for an hour", one, two)
	n.take(message{from: one}, now)
	conn.solicited = 0
	for range 4 {
		now = now.Add(leastGap)
		n.take(message{from: two}, now)
		n.tick(now)
		n.wants(t, "not silent for long", one, two)
	}
	if conn.solicited != 4 {
		t.Errorf("asked %d times which of two is there, want 4", conn.solicited)
	}
	now = now.Add(leastGap)
	n.take(message{from: two}, now)
	n.tick(now)
	n.wants(t, "silent", two)
}

func TestFewRoutersAreFollowed(t *testing.T) {
	n, _ := quiet()
	now := time.Now()
	n.take(message{from: two}, now)
	for i := range 1000 {
		n.take(message{from: netip.AddrFrom16([16]byte{0xfe, 0x80, 8: byte(i >> 8), 9: byte(i), 15: 0xff})}, now)
	}
	if got := len(n.found().Routers); got != maxRouters {
		t.Errorf("%d routers are followed, want %d", got, maxRouters)
	}
	now = now.Add(2 * silence)
	n.take(message{from: two}, now)
	n.tick(now)
	n.wants(t, "the others were never heard again", two)
}

func TestAdvertisementsAreSentUnaskedAndWhereSomebodyWaits(t *testing.T) {
	n, conn := quiet()
	now := time.Now()
	sent := func(what string, want int) {
		t.Helper()
		if conn.advertised != want {
			t.Errorf("%s: %d advertisements sent, want %d", what, conn.advertised, want)
		}
	}
	for i := range 6 {
		n.tick(now.Add(time.Duration(i) * leastGap))
	}
	sent("three at first, and one each 9 s", 4)
	now = now.Add(5 * leastGap)
	n.take(message{from: one, solicitation: true}, now.Add(4*time.Second))
	sent("an answer 4 s after the last one", 5)
	n.take(message{from: two}, now.Add(5*time.Second))
	sent("a new router 1 s after that", 5)
	n.tick(now.Add(7 * time.Second))
	sent("it hears of us at the next tick", 6)
	n.take(message{from: two}, now.Add(11*time.Second))
	sent("a known one", 6)
}

func TestPacketsThatAreNoNeighborDiscoveryAreIgnored(t *testing.T) {
	ra := make([]byte, advertisementSize)
	ra[0] = byte(ipv6.ICMPTypeRouterAdvertisement)
	with := func(at int, value byte) []byte { b := slices.Clone(ra); b[at] = value; return b }
	for name, test := range map[string]struct {
		packet []byte
		from   string
		want   string
	}{
		"an advertisement":              {ra, "fe80::1", "false false"},
		"one of a default router":       {with(7, 30), "fe80::1", "false true"},
		"a solicitation":                {with(0, byte(ipv6.ICMPTypeRouterSolicitation)), "::", "true false"},
		"another code":                  {with(1, 1), "fe80::1", errNotND.Error()},
		"another type":                  {with(0, 136), "fe80::1", errNotND.Error()},
		"too short":                     {ra[:15], "fe80::1", errNotND.Error()},
		"empty":                         {nil, "fe80::1", errNotND.Error()},
		"not from a link-local address": {ra, "2001:db8::1", errNotND.Error()},
	} {
		m, err := parseND(test.packet, netip.MustParseAddr(test.from))
		got := fmt.Sprint(m.solicitation, m.isDefault)
		if err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestRoutersFindEachOther has two nodes at the ends of a cable look for each other, and somebody
// who sends from farther away than the link.
func TestRoutersFindEachOther(t *testing.T) {
	namespace.Enter(t)
	namespace.IP(t, "link set lo up\nlink add one type veth peer name two\nlink set one addrgenmode none\nlink set two addrgenmode none\nlink set one up\nlink set two up\n"+
		"addr add fe80::1/64 dev one nodad\naddr add fe80::2/64 dev two nodad")
	ends := []Neighborhood{{Name: "one", Addr: one}, {Name: "two", Addr: two}}
	for i := range ends {
		device, err := net.InterfaceByName(ends[i].Name)
		if err != nil {
			t.Fatal(err)
		}
		ends[i].Link = device.Index
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := NewRouters(func() {})
	ended := namespace.Go(t, func() error { return r.Run(ctx) })
	defer func() {
		cancel()
		if err := <-ended; err != context.Canceled { //nolint:errorlint // it is passed on as it is
			t.Error(err)
		}
	}()
	finds := func(want ...string) {
		t.Helper()
		lab.Eventually(t, 10*time.Second, func() error {
			if got := fmt.Sprint(r.On(ends[0].Link), r.On(ends[1].Link)); got != strings.Join(want, " ") {
				return fmt.Errorf("found %s, want %s", got, want)
			}
			return nil
		})
	}
	r.Follow(ends)
	finds("{[fe80::2] }", "{[fe80::1] }")
	r.Follow(ends[:1])
	finds("{[fe80::2] }", "{[] }")

	strange := Neighborhood{Link: ends[1].Link, Name: "two", Addr: nine}
	r.Follow([]Neighborhood{strange})
	lab.Eventually(t, 10*time.Second, func() error {
		if problem := r.On(strange.Link).Problem; !strings.Contains(problem, "listening for router advertisements on two") {
			return fmt.Errorf("without the address: %q", problem)
		}
		return nil
	})
	namespace.IP(t, "addr add fe80::9/64 dev two nodad")
	r.Follow([]Neighborhood{ends[0], strange})
	finds("{[fe80::9] }", "{[fe80::1] }")
}

// TestAPacketFromAfarIsIgnored sends advertisements with the hop limit of a link, and less.
func TestAPacketFromAfarIsIgnored(t *testing.T) {
	namespace.Enter(t)
	namespace.IP(t, "link set lo up\nlink add one type veth peer name two\nlink set one up\nlink set two up\naddr add fe80::1/64 dev one nodad\naddr add fe80::2/64 dev two nodad")
	open := func(name string, addr netip.Addr) *ndSocket {
		t.Helper()
		device, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listenND(Neighborhood{Link: device.Index, Name: name, Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn.(*ndSocket)
	}
	near, far := open("one", one), open("two", two)
	for _, hops := range []int{64, ndHopLimit} {
		if err := far.SetMulticastHopLimit(hops); err != nil {
			t.Fatal(err)
		}
		if err := far.advertise(); err != nil {
			t.Fatal(err)
		}
		if err := near.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		m, err := near.read()
		if ok := err == nil && m.from == two && !m.isDefault; ok != (hops == ndHopLimit) {
			t.Errorf("hop limit %d: %+v, %v", hops, m, err)
		}
	}
}

// TestALinkThatIsMadeAnewIsHeardAtOnce has a link of the same name and another index, which Go would
// know only a minute later: to us, and to GoBGP in the same process.
func TestALinkThatIsMadeAnewIsHeardAtOnce(t *testing.T) {
	namespace.Enter(t)
	const made = "link add one index %[1]d type veth peer name two\nlink set one up\nlink set two up\naddr add fe80::1/64 dev one nodad\naddr add fe80::2/64 dev two nodad"
	namespace.IP(t, "link set lo up")
	for _, index := range []int{77, 88} {
		namespace.IP(t, fmt.Sprintf(made, index))
		conn, err := listenND(Neighborhood{Link: index, Name: "one", Addr: one})
		if err != nil {
			t.Fatalf("with index %d: %v", index, err)
		}
		if err := errors.Join(conn.advertise(), conn.Close()); err != nil {
			t.Errorf("with index %d: %v", index, err)
		}
		heard, err := net.ListenTCP("tcp6", &net.TCPAddr{IP: one.AsSlice(), Zone: "one"})
		if err != nil {
			t.Fatalf("by its name, with index %d: %v", index, err)
		}
		if err := heard.Close(); err != nil {
			t.Error(err)
		}
		namespace.IP(t, "link del one")
	}
}
