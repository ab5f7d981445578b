package gobgp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestOwnASMayStandInAPathAsOftenAsAllowed(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Peers[1].AllowOwnAS = 2
	r.apply(want)
	for n := 1; n <= 2; n++ {
		p := r.connect(r.fake(n))
		for often := range 4 {
			path := []uint32{p.asn}
			for range often {
				path = append(path, ourASN)
			}
			p.announce(t, fmt.Sprintf("10.%d.%d.0/24", n, often), append(path, 64999)...)
		}
		p.announce(t, fmt.Sprintf("10.%d.9.0/24", n), p.asn, ourASN*10+1) // only looks alike
	}
	r.learns("10.1.0.0/24 127.0.1.1@peer-1", "10.1.9.0/24 127.0.1.1@peer-1",
		"10.2.0.0/24 127.0.1.2@peer-2", "10.2.1.0/24 127.0.1.2@peer-2", "10.2.2.0/24 127.0.1.2@peer-2", "10.2.9.0/24 127.0.1.2@peer-2")

	// Live, without a reset.
	want.Peers[0].AllowOwnAS, want.Peers[1].AllowOwnAS = 1, 0
	r.apply(want)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1", "10.1.1.0/24 127.0.1.1@peer-1", "10.1.9.0/24 127.0.1.1@peer-1",
		"10.2.0.0/24 127.0.1.2@peer-2", "10.2.9.0/24 127.0.1.2@peer-2")
}

func TestPathThatLoopsTakesAwayTheOneItReplaces(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	want.Peers[0].AllowOwnAS = 1
	r.apply(want)
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn, ourASN)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	p.announce(t, "10.1.0.0/24", p.asn, ourASN, ourASN)
	r.learns()
}

func TestPathsThatLoopAreFoundWhereNoOtherLeads(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}, Advertisements: ads(advertise("10.9.0.0/24", "peer-1"))}
	want.Peers[1].AllowOwnAS = 1
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	for _, p := range []*fakePeer{one, two} {
		p.announce(t, "10.1.0.0/24", p.asn, ourASN)          // one refuses, two has allowed
		p.announce(t, "10.2.0.0/24", p.asn, ourASN, ourASN)  // both refuse
		p.announce(t, "10.9.0.0/24", p.asn, ourASN, ourASN)  // our own
		p.announce(t, "192.0.2.0/24", p.asn, ourASN, ourASN) // the rules would refuse
	}
	one.announce(t, "10.3.0.0/24", one.asn)
	r.learns("10.1.0.0/24 127.0.1.2@peer-2", "10.3.0.0/24 127.0.1.1@peer-1")
	ours := func(p netip.Prefix) bool { return p.String() == "10.9.0.0/24" }
	expect := func(want string) {
		t.Helper()
		r.eventually("loops "+want, func() (string, bool) {
			sessions, err := r.Sessions(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			loops, err := r.Loops(t.Context(), sessions, ours)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(loops)
			return got, got == want
		})
	}
	expect("[{peer-1 1 10.2.0.0/24 [65001 65000 65000]} {peer-2 1 10.2.0.0/24 [65002 65000 65000]}]")
	two.withdraw(t, "10.1.0.0/24")
	expect("[{peer-1 2 10.1.0.0/24 [65001 65000]} {peer-2 1 10.2.0.0/24 [65002 65000 65000]}]")
	r.stillAlive(one, two)
}

func TestImportLocalPrefDecidesBetweenPeers(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	one.announce(t, "10.1.0.0/24", one.asn)
	two.announce(t, "10.1.0.0/24", two.asn, 64999) // the longer path
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	pref := uint32(200)
	want.Peers[1].ImportLocalPref = &pref
	r.apply(want)
	r.learns("10.1.0.0/24 127.0.1.2@peer-2")
	want.Peers[1].ImportLocalPref = nil
	r.apply(want)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	r.stillAlive(one, two)
}

// What a router is about to withdraw is used only where there is nothing else (RFC 8326).
func TestGracefulShutdownIsHonoured(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	const first, second = "10.1.0.0/24 127.0.1.1@peer-1", "10.1.0.0/24 127.0.1.2@peer-2"
	one.announce(t, "10.1.0.0/24", one.asn)
	two.announce(t, "10.1.0.0/24", two.asn)
	r.learns(first + " 127.0.1.2@peer-2")
	one.announceWith(t, "10.1.0.0/24", 65535<<16)
	r.learns(second)
	pref := uint32(200)
	want.Peers[0].ImportLocalPref = &pref // counts for what is not marked
	r.apply(want)
	r.learns(second)
	one.announceWith(t, "10.1.0.0/24", 65535<<16|1)
	r.learns(first)
	one.announceWith(t, "10.1.0.0/24", 65535<<16)
	r.learns(second)
	two.withdraw(t, "10.1.0.0/24")
	r.learns(first)
	r.stillAlive(one, two)
}

func TestShutdownIsToldWithItsMessage(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	p, other := r.connect(r.fake(1)), r.connect(r.fake(2))
	want.Peers[0].Down, want.Peers[0].Shutdown, want.Peers[0].ShutdownMessage = "adminState is Down: the rack moves", true, "the rack moves"
	r.apply(want)
	r.eventually("the end", func() (string, bool) { return p.ended(), p.ended() != "" })
	p.mu.Lock()
	n := p.notification
	p.mu.Unlock()
	// RFC 4486, section 4: Cease is 6, Administrative Shutdown 2; RFC 9003: a length, then the text.
	if n == nil || n.ErrorCode != 6 || n.ErrorSubcode != 2 || len(n.Data) == 0 || string(n.Data[1:]) != "the rack moves" {
		t.Errorf("NOTIFICATION %+v", n)
	}
	r.stillAlive(other)
	if s := r.session("peer-1"); s.State != bgp.Idle || s.LastError != "adminState is Down: the rack moves" {
		t.Errorf("session %+v", s)
	}
}

func TestPeerSeesTheLocalASNThatIsMeantForIt(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}, Advertisements: ads(advertise("10.9.0.0/24", "peer-1", "peer-2"))}
	want.Peers[0].LocalASN = 64800
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	if got := openASN(one); got != 64800 {
		t.Errorf("the peer sees AS %d, want 64800", got)
	}
	if got := openASN(two); got != ourASN {
		t.Errorf("the other sees AS %d, want %d", got, ourASN)
	}
	r.hears(one, "10.9.0.0/24 via 192.0.2.1")
	// A path that holds either number is a loop.
	one.announce(t, "10.1.0.0/24", one.asn, 64800)
	one.announce(t, "10.2.0.0/24", one.asn, ourASN)
	one.announce(t, "10.3.0.0/24", one.asn)
	r.learns("10.3.0.0/24 127.0.1.1@peer-1")
}

func TestPeerThatIsFartherAwayThanAllowedIsNotHeard(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Peers[0].TTLSecurityHops, want.Peers[1].TTLSecurityHops = 2, 2 // 254 at least
	r.apply(want)
	near, far := r.fake(1), r.fake(2)
	near.ttl, far.ttl = 254, 253
	p := r.connect(near)
	// What arrives before GoBGP has set the limit on an accepted connection is heard: an OPEN, at
	// the most. The KEEPALIVE that would bring the session up is not.
	if p, err := far.dial(); err == nil {
		defer p.conn.Close()
	}
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	if s := r.session("peer-2"); s.State == bgp.Established {
		t.Error("the session with the one that is too far away came up")
	}
}

func TestPrependedIsTheNumberThatThePeerKnows(t *testing.T) {
	var b policyBuilder
	told := &bgp.Attributes{Prepend: 2}
	p := policy{asn: 65000, classes: map[int]class{1: {family: bgp.IPv4Unicast, members: map[netip.Addr]member{
		netip.MustParseAddr("192.0.2.1"): {nextHop: netip.MustParseAddr("192.0.2.9"), export: told},
		netip.MustParseAddr("192.0.2.2"): {nextHop: netip.MustParseAddr("192.0.2.9"), export: told, localASN: 64800},
	}}}}
	var got []uint32
	for _, s := range b.exportStatements(p) {
		if prepend := s.GetActions().GetAsPrepend(); prepend != nil {
			got = append(got, prepend.GetAsn())
		}
	}
	if fmt.Sprint(got) != "[65000 64800]" {
		t.Errorf("prepended %v", got)
	}
}

// openASN is the number in the speaker's OPEN (RFC 6793, section 4.1).
func openASN(p *fakePeer) uint32 {
	for _, o := range p.open.OptParams {
		parameter, _ := o.(*packet.OptionParameterCapability)
		if parameter == nil {
			continue
		}
		for _, c := range parameter.Capability {
			if four, ok := c.(*packet.CapFourOctetASNumber); ok {
				return four.CapValue
			}
		}
	}
	return uint32(p.open.MyAS)
}

// The capabilities of an OPEN are what a peer knows of our restarts.
func TestRestartIsOfferedAsConfigured(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	want.Config.Notification, want.Config.LongLived = true, time.Hour
	r.apply(want)
	p := r.connect(r.fake(1))
	if got := offeredRestart(p); got != "restart 120 notification true, long-lived 3600 3600" {
		t.Errorf("offered %s", got)
	}
	want.Config = r.config()
	r.apply(want)
	r.eventually("the reset", func() (string, bool) { return p.ended(), p.ended() != "" })
	p = r.connect(r.fake(1))
	if got := offeredRestart(p); got != "restart 120 notification false" {
		t.Errorf("offered %s", got)
	}
}

// offeredRestart renders the capabilities of graceful restart (RFC 4724, RFC 8538, RFC 9494).
func offeredRestart(p *fakePeer) string {
	var parts []string
	for _, o := range p.open.OptParams {
		parameter, _ := o.(*packet.OptionParameterCapability)
		if parameter == nil {
			continue
		}
		for _, c := range parameter.Capability {
			switch c := c.(type) {
			case *packet.CapGracefulRestart:
				parts = append(parts, fmt.Sprintf("restart %d notification %t", c.Time, c.Flags&0x04 != 0))
			case *packet.CapLongLivedGracefulRestart:
				text := "long-lived"
				for _, tuple := range c.Tuples {
					text += fmt.Sprintf(" %d", tuple.RestartTime)
				}
				parts = append(parts, text)
			}
		}
	}
	return strings.Join(parts, ", ")
}
