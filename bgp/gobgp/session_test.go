package gobgp

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestALostSessionKeepsItsPathsAndNeedsANewEndOfRIB(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	p.announce(t, "10.2.0.0/24", p.asn)
	p.sendEndOfRIB(t, packet.RF_IPv4_UC)
	p.sendEndOfRIB(t, packet.RF_IPv6_UC)
	r.eventually("both markers", func() (string, bool) {
		f := r.session("peer-1").Families
		return f2s(f), len(f) == 2 && f[0].EndOfRIB && f[1].EndOfRIB
	})
	// The marker counts only once all before it is in the queue.
	if got := len(r.Queue().Take()); got != 2 {
		t.Errorf("%d prefixes in the queue at End-of-RIB, want 2", got)
	}
	s := r.session("peer-1")
	if s.State != bgp.Established || !s.GracefulRestart || s.HoldTime != 90*time.Second || s.LastError != "" || s.Since.IsZero() {
		t.Errorf("session %+v", s)
	}
	drain(r)

	p.conn.Close()
	r.eventually("the loss", func() (string, bool) {
		s = r.session("peer-1")
		return f2s(s.Families), s.State != bgp.Established
	})
	if !strings.Contains(s.LastError, "connection was lost") || s.Families[0].Received != 0 {
		t.Errorf("session %+v", s)
	}
	if !readable(r.SessionEvents()) {
		t.Error("nobody was told")
	}
	changes, err := r.RIB(context.Background())
	if err != nil || len(changes) != 2 || !changes[0].Paths[0].Stale {
		t.Errorf("the RIB holds %+v, %v, want two stale paths", changes, err)
	}

	p = r.connect(r.fake(1)) // after GoBGP's five seconds
	p.announce(t, "10.1.0.0/24", p.asn)
	r.eventually("the session", func() (string, bool) {
		s = r.session("peer-1")
		return f2s(s.Families), s.State == bgp.Established
	})
	if s.Families[0].EndOfRIB || s.Families[1].EndOfRIB {
		t.Errorf("End-of-RIB of the session before: %+v", s)
	}
	p.sendEndOfRIB(t, packet.RF_IPv4_UC)
	p.sendEndOfRIB(t, packet.RF_IPv6_UC)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1") // told again: 10.2.0.0/24 is gone
}

func TestTimersAndMultihopWaitForTheEndOfTheSessionAndKeepItsGracefulRestart(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	r.apply(want)
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	want.Peers[0].ConnectRetry, want.Peers[0].HoldTime, want.Peers[0].EBGPMultihopTTL = 7*time.Second, 33*time.Second, 3
	r.apply(want)
	r.stillAlive(p)

	p.conn.Close()
	r.eventually("the new timers and hops", func() (string, bool) {
		live, err := r.livePeers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		now := live[want.Peers[0].Address]
		timers, multihop := now.GetTimers().GetConfig(), now.GetEbgpMultihop()
		return now.String(), timers.GetConnectRetry() == 7 && timers.GetHoldTime() == 33 && multihop.GetMultihopTtl() == 3
	})
	changes, err := r.RIB(context.Background())
	if err != nil || len(changes) != 1 || !changes[0].Paths[0].Stale {
		t.Errorf("the RIB holds %+v, %v, want the path kept", changes, err)
	}
}

func drain(r *rig) {
	for _, c := range r.Queue().Take() {
		r.rib[c.Prefix] = describeChange(c)
	}
	r.rib[netip.MustParsePrefix("10.1.0.0/24")] = "10.1.0.0/24 127.0.1.1@peer-1"
	r.rib[netip.MustParsePrefix("10.2.0.0/24")] = "10.2.0.0/24 127.0.1.1@peer-1"
	for readable(r.SessionEvents()) {
	}
}

func readable(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAPeerWithoutGracefulRestartCanStillMarkTheEndOfItsRIB(t *testing.T) {
	r := newRig(t, Options{})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	want.Peers[0].GracefulRestart = false
	r.apply(want)
	fake := r.fake(1)
	fake.restart = false
	p := r.connect(fake)
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	s := r.session("peer-1")
	if s.GracefulRestart || s.Families[0].EndOfRIB {
		t.Errorf("session %+v", s)
	}
	p.sendEndOfRIB(t, packet.RF_IPv4_UC)
	r.eventually("the marker", func() (string, bool) {
		f := r.session("peer-1").Families
		return f2s(f), f[0].EndOfRIB && !f[1].EndOfRIB
	})
	p.conn.Close() // no graceful restart: its paths go at once
	r.learns()
}

func TestANotificationIsPutInWords(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	p := r.connect(r.fake(1))
	text := "moving to rack 7"
	m := packet.NewBGPNotificationMessage(packet.BGP_ERROR_CEASE, packet.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, append([]byte{byte(len(text))}, text...))
	if err := p.send(m); err != nil {
		t.Fatal(err)
	}
	r.eventually("the reason", func() (string, bool) {
		why := r.session("peer-1").LastError
		return why, strings.Contains(why, "the peer sent") && strings.Contains(why, "administrative shutdown") && strings.Contains(why, text)
	})
}

func TestAnOpenThatDoesNotFitSaysWhy(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	fake := r.fake(1)
	fake.asn = 64999
	r.eventually("the reason", func() (string, bool) {
		if _, err := fake.dial(); err == nil {
			t.Fatal("the session came up with the wrong ASN")
		}
		why := r.session("peer-1").LastError
		return why, strings.Contains(why, "we sent") && strings.Contains(why, "bad peer as")
	})
}

func TestAPeerThatDoesNotAnswerSaysSo(t *testing.T) {
	r := newRig(t, Options{})
	p := r.peer(1)
	p.Passive, p.Port = false, freePort(t)
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}})
	r.eventually("the refusal", func() (string, bool) {
		why := r.session("peer-1").LastError
		return why, strings.Contains(why, "connection refused")
	})
}

func TestARestartingSpeakerSaysSoAndWaitsForItsPeers(t *testing.T) {
	for _, restarting := range []bool{true, false} {
		r := newRig(t, Options{Restarting: restarting})
		want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1", "peer-2"))}
		r.apply(want)
		one := r.connect(r.fake(1))
		if got := restartFlag(one); got != restarting {
			t.Errorf("restarting %t: the first peer was told %t", restarting, got)
		}
		if restarting {
			one.sendEndOfRIB(t, packet.RF_IPv4_UC)
			r.eventually("the first marker", func() (string, bool) {
				f := r.session("peer-1").Families
				return f2s(f), f[0].EndOfRIB
			})
			if got := one.says(); got != "" {
				t.Errorf("announced before the last End-of-RIB: %s", got)
			}
			one.sendEndOfRIB(t, packet.RF_IPv6_UC)
		}
		r.hears(one, "10.1.0.0/24 via 192.0.2.1")
		want.Peers = append(want.Peers, r.peer(2))
		r.apply(want)
		if restartFlag(r.connect(r.fake(2))) {
			t.Error("a peer that was added later was told of a restart")
		}
	}
}

// GoBGP takes the flag back from all peers once the first ones are in step.
func TestARestartingSpeakerSaysSoToAPeerThatComesLateToo(t *testing.T) {
	for _, password := range []string{"", "s3cret-one"} {
		r := newRig(t, Options{Restarting: true})
		want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1", "peer-2"))}
		want.Peers[1].Password = bgp.Secret(password)
		r.apply(want)
		one := r.connect(r.fake(1))
		one.sendEndOfRIB(t, packet.RF_IPv4_UC)
		one.sendEndOfRIB(t, packet.RF_IPv6_UC)
		r.hears(one, "10.1.0.0/24 via 192.0.2.1")
		r.eventually("the flag set again", func() (string, bool) {
			live, err := r.livePeers(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return "", live[want.Peers[1].Address].GetGracefulRestart().GetLocalRestarting()
		})
		fake := r.fake(2)
		fake.password = password
		two := r.connect(fake)
		if !restartFlag(two) {
			t.Error("the late peer was not told of the restart")
		}
		two.sendEndOfRIB(t, packet.RF_IPv4_UC)
		two.sendEndOfRIB(t, packet.RF_IPv6_UC)
		r.hears(two, "10.1.0.0/24 via 192.0.2.2")
		r.stillAlive(one, two)
	}
}

// One that is held down at first, as for want of a carrier, may keep our routes as well.
func TestARestartingSpeakerSaysSoToAPeerThatWasHeldDown(t *testing.T) {
	r := newRig(t, Options{Restarting: true})
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1", "peer-2"))}
	want.Peers[1].Down = "later"
	r.apply(want)
	one := r.connect(r.fake(1))
	one.sendEndOfRIB(t, packet.RF_IPv4_UC)
	one.sendEndOfRIB(t, packet.RF_IPv6_UC)
	r.hears(one, "10.1.0.0/24 via 192.0.2.1")
	want.Peers = slices.Clone(want.Peers)
	want.Peers[1].Down = ""
	r.apply(want)
	two := r.connect(r.fake(2))
	if !restartFlag(two) {
		t.Error("it was not told of the restart")
	}
	two.sendEndOfRIB(t, packet.RF_IPv4_UC)
	two.sendEndOfRIB(t, packet.RF_IPv6_UC)
	r.hears(two, "10.1.0.0/24 via 192.0.2.2")
	r.stillAlive(one, two)
}

func restartFlag(p *fakePeer) bool {
	for _, parameter := range p.open.OptParams {
		for _, c := range parameter.(*packet.OptionParameterCapability).Capability {
			if gr, ok := c.(*packet.CapGracefulRestart); ok {
				return gr.Flags&0x8 != 0 && gr.Tuples[0].Flags&0x80 != 0
			}
		}
	}
	return false
}

func TestAFatalErrorOfGoBGPExitsWithStatusTwo(t *testing.T) {
	var status int
	l := newLogger(discard(), newSessionLog(), nil)
	l.exit = func(s int) { status = s }
	l.Fatal("failed to listen grpc port", log.Fields{"Err": os.ErrPermission})
	if status != 2 {
		t.Errorf("exit status %d", status)
	}
}

func TestOnlyWhatMattersIsLoggedAtInfo(t *testing.T) {
	r := newRig(t, Options{})
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}})
	p := r.connect(r.fake(1))
	p.announce(t, "10.1.0.0/24", p.asn)
	r.learns("10.1.0.0/24 127.0.1.1@peer-1")
	p.conn.Close()
	var loud []string
	r.eventually("the loss", func() (string, bool) {
		loud = nil
		for line := range strings.Lines(r.logged.String()) {
			if !strings.Contains(line, "level=DEBUG") {
				loud = append(loud, line)
			}
		}
		all := strings.Join(loud, "")
		return all, strings.Contains(all, "peer down")
	})
	if len(loud) != 2 || !strings.Contains(loud[0], `msg="peer up"`) {
		t.Errorf("logged:\n%s", strings.Join(loud, ""))
	}
}

func TestGoBGPSpeaksOfEveryPathOnlyWhileASessionIsDown(t *testing.T) {
	sessions := newSessionLog()
	out := slog.New(slog.NewTextHandler(new(strings.Builder), &slog.HandlerOptions{Level: slog.LevelInfo}))
	l := newLogger(out, sessions, nil)
	l.ctx = t.Context()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	level := func(when string, want log.LogLevel) {
		t.Helper()
		if got := l.GetLevel(); got != want {
			t.Errorf("%s: level %v, want %v", when, got, want)
		}
	}
	sessions.keep(map[netip.Addr]bgp.Peer{a: {}, b: {}})
	level("no session", log.DebugLevel)
	sessions.changed(a, true)
	level("one of two", log.DebugLevel)
	sessions.changed(b, true)
	level("both", log.InfoLevel)
	sessions.changed(a, false)
	level("one is lost", log.DebugLevel)
	sessions.keep(map[netip.Addr]bgp.Peer{b: {}})
	level("and no longer wanted", log.InfoLevel)
	l.out = slog.New(slog.NewTextHandler(new(strings.Builder), &slog.HandlerOptions{Level: slog.LevelDebug}))
	level("the log is of debug", log.DebugLevel)
}

func TestAPeerOverItsLimitDoesNotFillTheLog(t *testing.T) {
	var out strings.Builder
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), newSessionLog(), nil)
	for range 3 {
		l.Warn("prefix limit reached", log.Fields{"Topic": "Peer", "Key": "192.0.2.1", "Family": "ipv4-unicast"})
	}
	if out.Len() > 0 {
		t.Errorf("each UPDATE leaves a line: %s", out.String())
	}
	l.Warn("another warning", log.Fields{"Topic": "Peer"})
	if out.Len() == 0 {
		t.Error("a warning is not logged")
	}
}

func TestPathsAreCountedOnceABurstIsOver(t *testing.T) {
	var a acceptedCount
	now := time.Unix(1000, 0)
	due := func(after time.Duration) bool { return a.due(now.Add(after)) }
	if due(time.Hour) {
		t.Error("nothing has changed")
	}
	a.note(now)
	if due(acceptedQuiet/2) || !due(acceptedQuiet) {
		t.Error("one change is not counted after the quiet time")
	}
	for i := range 100 {
		a.note(now.Add(time.Duration(i) * acceptedLate / 100))
	}
	if due(acceptedLate-acceptedQuiet/2) || !due(acceptedLate) {
		t.Error("changes without end are not counted late")
	}
	var fresh acceptedCount
	if _, again := fresh.look(now, true, 1); again {
		t.Error("what has just begun to come is counted at once")
	}
	if _, again := fresh.look(now.Add(acceptedQuiet), true, 1); !again {
		t.Error("what has come is not counted")
	}
	if _, again := fresh.look(now.Add(2*acceptedQuiet), true, 1); again {
		t.Error("the same is counted again")
	}
}

func TestACountIsPutOffByWhatTheLastOneTook(t *testing.T) {
	now := time.Unix(1000, 0)
	for took, wait := range map[time.Duration]time.Duration{
		100 * time.Millisecond: 5 * time.Second,
		10 * time.Second:       acceptedWait, // in a flood
	} {
		var a acceptedCount
		a.note(now)
		a.set(now, ribCounts{}, took)
		if a.due(now.Add(wait-time.Millisecond)) || !a.due(now.Add(wait)) {
			t.Errorf("after one that took %s the next count does not come after %s", took, wait)
		}
	}
}

func TestMalformedUpdatesThatEndNoSessionAreShown(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.1")
	l := newLogger(discard(), newSessionLog(), nil)
	l.ctx = t.Context()
	for msg, want := range map[string]string{
		treatedAsWithdraw:   "treated as a withdrawal: bad origin",
		attributesDiscarded: "discarded: bad origin",
		familyDisabled:      "ignored",
		familyNotDisabled:   "ignored",
	} {
		l.Warn(msg, log.Fields{"Key": peer.String(), "Error": errors.New("bad origin")})
		if got := l.sessions.get(peer).lastDown; !strings.HasSuffix(got, want) {
			t.Errorf("%q is shown as %q", msg, got)
		}
	}
}
