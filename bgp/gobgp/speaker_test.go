package gobgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestAudienceChangeAnnouncesAndWithdrawsWithoutAReset(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Advertisements = ads(
		advertise("10.1.0.0/24", "peer-1"),
		advertise("10.2.0.0/24", "peer-1", "peer-2"),
		advertise("2001:db8:1::/64", "peer-2"),
		advertise("10.9.0.0/24"),
	)
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	r.hears(one, "10.1.0.0/24 via 192.0.2.1", "10.2.0.0/24 via 192.0.2.1")
	r.hears(two, "10.2.0.0/24 via 192.0.2.2", "2001:db8:1::/64 via 2001:db8::2")

	want.Advertisements = ads(
		advertise("10.1.0.0/24", "peer-2"),
		advertise("10.2.0.0/24", "peer-1"),
		advertise("2001:db8:1::/64", "peer-1", "peer-2"),
	)
	r.apply(want)
	r.hears(one, "10.2.0.0/24 via 192.0.2.1", "2001:db8:1::/64 via 2001:db8::1")
	r.hears(two, "10.1.0.0/24 via 192.0.2.2", "2001:db8:1::/64 via 2001:db8::2")

	want.Advertisements = bgp.Advertisements{}
	r.apply(want)
	r.hears(one)
	r.hears(two)
	r.stillAlive(one, two)
}

func TestEachPeerIsToldItsOwnNextHopAndAChangeOfItIsLive(t *testing.T) {
	r := newRig(t, Options{})
	one, two := r.peer(1), r.peer(2)
	two.NextHops.IPv6 = netip.Addr{}
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{one, two}, Advertisements: ads(
		advertise("10.1.0.0/24", "peer-1", "peer-2"),
		advertise("2001:db8:1::/64", "peer-1", "peer-2"),
	)}
	r.apply(want)
	first, second := r.connect(r.fake(1)), r.connect(r.fake(2))
	r.hears(first, "10.1.0.0/24 via 192.0.2.1", "2001:db8:1::/64 via 2001:db8::1")
	r.hears(second, "10.1.0.0/24 via 192.0.2.2")

	want.Peers[0].NextHops.IPv4 = netip.MustParseAddr("198.51.100.1")
	want.Peers[0].NextHops.IPv6 = netip.Addr{}
	want.Peers[1].NextHops.IPv6 = netip.MustParseAddr("2001:db8::22")
	r.apply(want)
	r.hears(first, "10.1.0.0/24 via 198.51.100.1")
	r.hears(second, "10.1.0.0/24 via 192.0.2.2", "2001:db8:1::/64 via 2001:db8::22")
	if got := r.session("peer-1").Families; got[0].Advertised != 1 || got[1].Advertised != 0 {
		t.Errorf("advertised counts %+v, want 1 IPv4 and 0 IPv6", got)
	}
	r.stillAlive(first, second)
}

func TestPeersThatComeAndGoCauseNoUpdatesToTheOthers(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Advertisements = ads(advertise("10.1.0.0/24", "peer-1", "peer-2"))
	r.apply(want)
	one := r.connect(r.fake(1))
	r.hears(one, "10.1.0.0/24 via 192.0.2.1")
	before := one.updateCount()

	want.Peers = []bgp.Peer{r.peer(1), r.peer(3)}
	want.Advertisements = ads(advertise("10.1.0.0/24", "peer-1", "peer-3"))
	r.apply(want)
	three := r.connect(r.fake(3))
	r.hears(three, "10.1.0.0/24 via 192.0.2.3")

	// The next announcement is the first thing that peer-1 hears.
	want.Advertisements = alsoAds(want.Advertisements, advertise("10.2.0.0/24", "peer-1"))
	r.apply(want)
	r.hears(one, "10.1.0.0/24 via 192.0.2.1", "10.2.0.0/24 via 192.0.2.1")
	if got := one.updateCount() - before; got != 1 {
		t.Errorf("peer-1 received %d updates, want the 1 of the new prefix", got)
	}
}

func TestImportRulesChangeLiveAndWithdrawWhatTheyNoLongerAllow(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	one.announce(t, "10.1.1.0/24", one.asn)
	one.announce(t, "10.1.2.0/26", one.asn)
	one.announce(t, "192.168.0.0/24", one.asn)
	one.announce(t, "2001:db8:5::/64", one.asn)
	two.announce(t, "10.2.1.0/24", two.asn)
	all := []string{
		"10.1.1.0/24 127.0.1.1@peer-1", "10.1.2.0/26 127.0.1.1@peer-1",
		"2001:db8:5::/64 2001:db8::99@peer-1", "10.2.1.0/24 127.0.1.2@peer-2",
	}
	r.learns(all...)
	r.eventually("the counts", func() (string, bool) {
		f := r.session("peer-1").Families
		return f2s(f), len(f) == 2 && f[0].Received == 3 && f[0].Accepted == 2 && f[1].Accepted == 1
	})

	want.Peers[0].Import = []bgp.PrefixRule{rule("10.0.0.0/8", 24, 24)}
	r.apply(want)
	r.learns("10.1.1.0/24 127.0.1.1@peer-1", "10.2.1.0/24 127.0.1.2@peer-2")

	want.Peers[0].Import = nil
	r.apply(want)
	r.learns("10.2.1.0/24 127.0.1.2@peer-2")
	if got := r.listed(); got != "10.2.1.0/24 127.0.1.2@peer-2" {
		t.Errorf("the RIB holds %q", got)
	}

	want.Peers[0].Import = r.peer(1).Import
	r.apply(want)
	r.learns(all...)
	r.stillAlive(one, two)
}

func TestAPathWithOurASWithdrawsTheGoodOneItReplaces(t *testing.T) {
	sequence := func(as ...uint32) []packet.AsPathParamInterface {
		return []packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, as)}
	}
	var long []uint32
	for range 12 {
		long = append(long, ourASN)
	}
	loops := map[string][]packet.AsPathParamInterface{
		"once in the middle": sequence(65001, ourASN, 65002),
		"at the end":         sequence(65001, ourASN),
		"twelve times":       sequence(append([]uint32{65001}, long...)...),
		"in a set": append(sequence(65001),
			packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SET, []uint32{65003, ourASN})),
	}
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	p := r.connect(r.fake(1))
	for name, segments := range loops {
		t.Run(name, func(t *testing.T) {
			p.announce(t, "10.1.0.0/24", 65001, 650001, 6500) // similar numbers are other numbers
			r.learns("10.1.0.0/24 127.0.1.1@peer-1")
			p.announceSegments(t, "10.1.0.0/24", segments...)
			r.learns()
		})
	}
}

func TestEqualPathsComeTogetherAndStayWholeInTheQueueAndInTheRIB(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2), r.peer(3)}})
	one, two, three := r.connect(r.fake(1)), r.connect(r.fake(2)), r.connect(r.fake(3))
	one.announce(t, "10.1.0.0/24", one.asn, 65100)
	two.announce(t, "10.1.0.0/24", two.asn, 65100)
	three.announce(t, "10.1.0.0/24", three.asn, 65200, 65100) // longer
	both := "10.1.0.0/24 127.0.1.1@peer-1 127.0.1.2@peer-2"
	r.learns(both)
	if got := r.listed(); got != both {
		t.Errorf("the RIB lists %q, want %q", got, both)
	}
	one.withdraw(t, "10.1.0.0/24")
	r.learns("10.1.0.0/24 127.0.1.2@peer-2")
	two.withdraw(t, "10.1.0.0/24")
	r.learns("10.1.0.0/24 127.0.1.3@peer-3")
	three.withdraw(t, "10.1.0.0/24")
	r.learns()
}

func TestLearnedPathsAreToldToNobody(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	want.Peers[0].ASN = ourASN // iBGP
	want.Advertisements = ads(advertise("10.9.0.0/24", "peer-1", "peer-2"))
	r.apply(want)
	inside := r.fake(1)
	inside.asn = ourASN
	one, two := r.connect(inside), r.connect(r.fake(2))
	one.announceSegments(t, "10.1.0.0/24")
	two.announce(t, "10.2.0.0/24", two.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1", "10.2.0.0/24 127.0.1.2@peer-2")
	want.Advertisements = alsoAds(want.Advertisements, advertise("10.8.0.0/24", "peer-1", "peer-2"))
	r.apply(want)
	r.hears(one, "10.8.0.0/24 via 192.0.2.1", "10.9.0.0/24 via 192.0.2.1")
	r.hears(two, "10.8.0.0/24 via 192.0.2.2", "10.9.0.0/24 via 192.0.2.2")
	changes, err := r.RIB(context.Background())
	if err != nil || len(changes) != 2 {
		t.Fatalf("RIB: %v, %v", changes, err)
	}
	for _, c := range changes {
		if got := c.Paths[0].IBGP; got != (c.Paths[0].Peer == "peer-1") {
			t.Errorf("%s of %s: IBGP %t", c.Prefix, c.Paths[0].Peer, got)
		}
	}
}

func TestOurOwnPrefixIsNeverLearned(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	r.apply(want)
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	want.Advertisements = ads(advertise("10.1.0.0/24"))
	r.apply(want)
	r.learns()
	if got := r.listed(); got != "" {
		t.Errorf("the RIB lists %q", got)
	}
	want.Advertisements = bgp.Advertisements{}
	r.apply(want)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
}

func TestSoftChangesOfAPeerDoNotResetIt(t *testing.T) {
	r := newRig(t, Options{})
	base := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(base)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	one.sendEndOfRIB(t, packet.RF_IPv4_UC)
	r.eventually("End-of-RIB", func() (string, bool) {
		f := r.session("peer-1").Families
		return f2s(f), f[0].EndOfRIB
	})
	since := r.session("peer-1").Since
	for name, change := range map[string]func(*bgp.Peer, *bgp.Config){
		"the same again":       func(*bgp.Peer, *bgp.Config) {},
		"connect retry":        func(p *bgp.Peer, _ *bgp.Config) { p.ConnectRetry = 7 * time.Second },
		"hold time":            func(p *bgp.Peer, _ *bgp.Config) { p.HoldTime, p.Keepalive = 30*time.Second, 10*time.Second },
		"multihop":             func(p *bgp.Peer, _ *bgp.Config) { p.EBGPMultihopTTL = 5 },
		"name":                 func(p *bgp.Peer, _ *bgp.Config) { p.Name = "renamed" },
		"import":               func(p *bgp.Peer, _ *bgp.Config) { p.Import = nil },
		"deferral":             func(_ *bgp.Peer, c *bgp.Config) { c.Deferral = 20 * time.Second },
		"order of the imports": func(p *bgp.Peer, _ *bgp.Config) { p.Import[0], p.Import[1] = p.Import[1], p.Import[0] },
	} {
		t.Run(name, func(t *testing.T) {
			p, c := r.peer(1), r.config()
			change(&p, c)
			r.apply(bgp.Desired{Config: c, Peers: []bgp.Peer{p, r.peer(2)}})
			// Whatever was sent before is there once this is.
			marked := bgp.Desired{Config: c, Peers: []bgp.Peer{p, r.peer(2)}, Advertisements: ads(advertise("10.3.0.0/24", p.Name))}
			r.apply(marked)
			r.hears(one, "10.3.0.0/24 via 192.0.2.1")
			r.apply(base)
			r.hears(one)
			r.stillAlive(one, two)
			s := r.session("peer-1")
			if s.Since != since || !s.Families[0].EndOfRIB {
				t.Errorf("session %+v, want up since %s with End-of-RIB", s, since)
			}
		})
	}
}

// The twin of the test above: what it looks at does show a reset.
func TestAHardChangeResetsOnlyItsOwnPeer(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	r.apply(want)
	one, two := r.connect(r.fake(1)), r.connect(r.fake(2))
	want.Peers[0].Families = []bgp.Family{bgp.IPv4Unicast}
	r.apply(want)
	r.eventually("the reset", func() (string, bool) { return one.ended(), strings.HasPrefix(one.ended(), "6/") })
	again := r.connect(r.fake(1))
	if got := len(r.session("peer-1").Families); got != 1 {
		t.Errorf("%d families negotiated, want 1", got)
	}
	r.stillAlive(two, again)
}

func TestABadPeerAffectsOnlyItself(t *testing.T) {
	r := newRig(t, Options{})
	bad := map[string]func(*bgp.Peer){
		"zero-asn":            func(p *bgp.Peer) { p.ASN = 0 },
		"no-address":          func(p *bgp.Peer) { p.Address = netip.Addr{} },
		"no-family":           func(p *bgp.Peer) { p.Families = nil },
		"unknown-family":      func(p *bgp.Peer) { p.Families = []bgp.Family{9} },
		"hold-time-1s":        func(p *bgp.Peer) { p.HoldTime = time.Second },
		"long-password":       func(p *bgp.Peer) { p.Password = bgp.Secret(strings.Repeat("x", 81)) },
		"link-local-unzoned":  func(p *bgp.Peer) { p.Address = netip.MustParseAddr("fe80::1") },
		"link-local-password": func(p *bgp.Peer) { p.Address = netip.MustParseAddr("fe80::1%lo"); p.Password = "x" },
		"crossed-local":       func(p *bgp.Peer) { p.LocalAddress = netip.MustParseAddr("::1") },
		"crossed-next-hop":    func(p *bgp.Peer) { p.NextHops.IPv4 = netip.MustParseAddr("2001:db8::1") },
		"bad-rule":            func(p *bgp.Peer) { p.Import = []bgp.PrefixRule{{}} },
		"same-address":        func(p *bgp.Peer) { p.Address = r.peer(1).Address },
	}
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	n, told := 10, []string{"peer-1"}
	for name, spoil := range bad {
		n++
		p := r.peer(n)
		p.Name = name
		spoil(&p)
		want.Peers = append(want.Peers, p)
		told = append(told, name)
	}
	want.Advertisements = ads(advertise("10.1.0.0/24", told...), advertise("10.0.0.1/8", "peer-1"))
	err := r.tryApply(want)
	failed := map[string]bool{}
	for _, e := range peerErrors(err) {
		failed[e.Peer] = true
	}
	for name := range bad {
		if !failed[name] {
			t.Errorf("no error names %s", name)
		}
		if s := r.session(name); s.State != bgp.Idle || s.LastError == "" {
			t.Errorf("session of %s: %+v", name, s)
		}
	}
	var prefix *bgp.PrefixError
	if !errors.As(err, &prefix) {
		t.Errorf("no error names the bad prefix: %v", err)
	}
	if failed["peer-1"] {
		t.Errorf("the good peer failed: %v", err)
	}
	p := r.connect(r.fake(1))
	r.hears(p, "10.1.0.0/24 via 192.0.2.1")
}

func TestWithoutAConfigEverythingIsWithdrawnWithACease(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1"))}
	r.apply(want)
	p := r.connect(r.fake(1))
	p.announce(t, "10.9.0.0/24", p.asn)
	r.learns("10.9.0.0/24 127.0.1.1@peer-1")

	r.apply(bgp.Desired{Peers: want.Peers})
	r.eventually("the Cease", func() (string, bool) { return p.ended(), p.ended() == "6/3" })
	r.learns()
	if got := r.listed(); got != "" {
		t.Errorf("the RIB lists %q", got)
	}
	if s := r.session("peer-1"); s.State != bgp.Idle {
		t.Errorf("session %+v", s)
	}
	if _, err := r.fake(1).dial(); err == nil {
		t.Error("something still listens")
	}

	r.apply(want)
	p = r.connect(r.fake(1))
	r.hears(p, "10.1.0.0/24 via 192.0.2.1")
}

func TestAChangeOfTheConfigStartsAgainWithEverything(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1"))}
	want.Peers[0].Password = "s3cret"
	protected := r.fake(1)
	protected.password = "s3cret"
	r.apply(want)
	p := r.connect(protected)
	p.announce(t, "10.9.0.0/24", p.asn)
	r.learns("10.9.0.0/24 127.0.1.1@peer-1")

	want.Config.RouterID = netip.MustParseAddr("192.0.2.77")
	r.apply(want)
	r.eventually("the end", func() (string, bool) { return p.ended(), !p.alive() })
	r.learns()
	p = r.connect(protected)
	r.hears(p, "10.1.0.0/24 via 192.0.2.1")
	if got := p.open.ID.String(); got != "192.0.2.77" {
		t.Errorf("router ID %s", got)
	}
}

func TestAPortInUseIsNamedAndTriedAgain(t *testing.T) {
	r := newRig(t, Options{})
	blocker, err := net.Listen("tcp4", "0.0.0.0:"+strconv.Itoa(int(r.port)))
	if err != nil {
		t.Fatal(err)
	}
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	err = r.tryApply(want)
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(int(r.port))+" is in use") {
		t.Errorf("error %v, want the port named", err)
	}
	if s := r.session("peer-1"); !strings.Contains(s.LastError, "in use") {
		t.Errorf("session %+v", s)
	}
	blocker.Close()
	// Now only the second address is taken: the first must not stay open.
	six, err := net.Listen("tcp6", "[::]:"+strconv.Itoa(int(r.port)))
	if err == nil {
		if err := r.tryApply(want); err == nil {
			t.Error("no error though [::] is taken")
		}
		six.Close()
	}
	r.apply(want)
	r.connect(r.fake(1))
}

func TestASpeakerThatDoesNotListenDials(t *testing.T) {
	r := newRig(t, Options{})
	l, err := net.Listen("tcp4", "127.0.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	want.Config.ListenPort = 0
	want.Peers[0].Passive = false
	want.Peers[0].Port = uint16(l.Addr().(*net.TCPAddr).Port)
	want.Peers[0].LocalAddress = netip.MustParseAddr("127.0.1.200")
	r.apply(want)
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr().(*net.TCPAddr).IP.String(); got != "127.0.1.200" {
		t.Errorf("dialled from %s", got)
	}
}

func TestTheEndOfRunIsSilent(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	p := r.connect(r.fake(1))
	marked := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.endOfRIB[bgp.IPv4Unicast] && p.endOfRIB[bgp.IPv6Unicast]
	}
	r.eventually("the first End-of-RIB", func() (string, bool) { return "", marked() })
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	// A NOTIFICATION would come before the answers to what is asked now.
	p.mu.Lock()
	p.endOfRIB = map[bgp.Family]bool{}
	p.mu.Unlock()
	for _, afi := range []uint16{packet.AFI_IP, packet.AFI_IP6} {
		if err := p.send(packet.NewBGPRouteRefreshMessage(afi, 0, packet.SAFI_UNICAST)); err != nil {
			t.Fatal(err)
		}
	}
	r.eventually("the answers", func() (string, bool) { return p.ended(), marked() })
	r.stillAlive(p)
}

func TestApplyWaitsForRunNoLongerThanItsContext(t *testing.T) {
	r := &rig{t: t, logged: &logBuffer{}}
	s, err := New(Options{Log: discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.Apply(ctx, bgp.Desired{Config: r.config()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Apply returned %v", err)
	}
}

// GoBGP does not pack what changes while a session is up: a burst costs an UPDATE for each of its
// prefixes, and must cost none for others.
func TestABurstOfPrefixesCostsAnUpdateForEachAndNoMore(t *testing.T) {
	r := newRig(t, Options{})
	audience := &bgp.Audience{Exports: []bgp.Export{{To: []string{"peer-1"}}}}
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}, Advertisements: ads(advert{"10.1.0.0/24", audience})}
	r.apply(want)
	peer := r.connect(r.fake(1))
	lines := []string{"10.1.0.0/24 via 192.0.2.1"}
	r.hears(peer, lines...)
	quiet := want.Advertisements
	var burst []advert
	for i := range 100 {
		prefix := fmt.Sprintf("10.96.0.%d/32", i)
		burst = append(burst, advert{prefix, audience})
		lines = append(lines, prefix+" via 192.0.2.1")
	}
	for _, step := range []struct {
		what  string
		want  bgp.Advertisements
		lines []string
	}{{"announced", alsoAds(quiet, burst...), lines}, {"withdrawn", quiet, lines[:1:1]}} {
		before := peer.updateCount()
		want.Advertisements = step.want
		r.apply(want)
		r.hears(peer, slices.Clone(step.lines)...)
		if got := peer.updateCount() - before; got > len(burst) {
			t.Errorf("%d prefixes were %s in %d UPDATEs", len(burst), step.what, got)
		}
	}
	r.stillAlive(peer)
}
