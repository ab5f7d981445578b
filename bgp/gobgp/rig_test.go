package gobgp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

const (
	ourASN   = 65000
	patience = 15 * time.Second
)

// rig is a running speaker with all that a test looks at.
type rig struct {
	*Speaker
	t      *testing.T
	port   uint16
	logged *logBuffer
	rib    map[netip.Prefix]string // folded from the queue
	stop   context.CancelFunc      // ends Run
	ended  chan error
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newRig(t *testing.T, opts Options) *rig {
	t.Helper()
	r := &rig{t: t, port: freePort(t), logged: &logBuffer{}, rib: map[netip.Prefix]string{}, ended: make(chan error, 1)}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(r.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	speaker, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Speaker = speaker
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ended <- speaker.Run(ctx) }()
	t.Cleanup(func() {
		ctx, done := context.WithTimeout(context.Background(), patience)
		defer done()
		if err := speaker.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
		cancel()
		if t.Failed() {
			t.Logf("log of the speaker:\n%s", r.logged)
		}
	})
	return r
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func (r *rig) config() *bgp.Config {
	return &bgp.Config{
		ASN: ourASN, RouterID: netip.MustParseAddr("192.0.2.1"), ListenPort: r.port,
		GracefulRestart: bgp.GracefulRestart{Enabled: true, RestartTime: 120 * time.Second, Deferral: 10 * time.Second},
	}
}

// peer returns a peer of the speaker at 127.0.1.n with ASN 65000+n, waiting to be dialled.
func (r *rig) peer(n int) bgp.Peer {
	return bgp.Peer{
		Name:            fmt.Sprintf("peer-%d", n),
		Address:         netip.AddrFrom4([4]byte{127, 0, 1, byte(n)}),
		ASN:             uint32(ourASN + n),
		Passive:         true,
		HoldTime:        90 * time.Second,
		Keepalive:       30 * time.Second,
		ConnectRetry:    time.Second,
		Families:        []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast},
		GracefulRestart: true,
		Import:          []bgp.PrefixRule{rule("10.0.0.0/8", 8, 32), rule("2001:db8::/32", 32, 128)},
		NextHops:        bgp.NextHops{IPv4: netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), IPv6: netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", n))},
	}
}

// fake returns the other end of r.peer(n).
func (r *rig) fake(n int) fakeOptions {
	return fakeOptions{
		from: fmt.Sprintf("127.0.1.%d", n), port: r.port, asn: uint32(ourASN + n),
		routerID: fmt.Sprintf("192.0.2.%d", 100+n), restart: true,
	}
}

// connect dials until the session is up: after a reset GoBGP refuses for five seconds.
func (r *rig) connect(o fakeOptions) *fakePeer {
	r.t.Helper()
	var p *fakePeer
	r.eventually("the session with "+o.from, func() (string, bool) {
		var err error
		p, err = o.dial()
		return fmt.Sprint(err), err == nil
	})
	r.t.Cleanup(func() { p.conn.Close() })
	// GoBGP leaves the connection of a peer open that it deletes just as it comes up.
	r.eventually("the speaker's side of the session with "+o.from, func() (string, bool) {
		sessions, err := r.Sessions(context.Background())
		i := slices.IndexFunc(sessions, func(s bgp.Session) bool {
			return s.Address.String() == o.from && s.State == bgp.Established
		})
		return fmt.Sprintf("%+v, %v", sessions, err), i >= 0
	})
	return p
}

func rule(prefix string, low, high uint8) bgp.PrefixRule {
	return bgp.PrefixRule{Prefix: netip.MustParsePrefix(prefix), MinLength: low, MaxLength: high}
}

// advert is one prefix and who hears it.
type advert struct {
	prefix   string
	audience *bgp.Audience
}

func advertise(prefix string, to ...string) advert {
	slices.Sort(to)
	return advert{prefix, &bgp.Audience{Exports: []bgp.Export{{To: to}}}}
}

func ads(list ...advert) bgp.Advertisements { return alsoAds(bgp.Advertisements{}, list...) }

// alsoAds adds to what is advertised.
func alsoAds(to bgp.Advertisements, list ...advert) bgp.Advertisements {
	draft := to.Edit()
	for _, a := range list {
		draft.Set(netip.MustParsePrefix(a.prefix), a.audience)
	}
	return draft.Map()
}

// apply applies and expects no error.
func (r *rig) apply(want bgp.Desired) {
	r.t.Helper()
	if err := r.tryApply(want); err != nil {
		r.t.Fatalf("apply: %v", err)
	}
}

func (r *rig) tryApply(want bgp.Desired) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return r.Apply(ctx, want)
}

// eventually polls until ok; what is the last thing seen.
func (r *rig) eventually(what string, check func() (string, bool)) {
	r.t.Helper()
	var last string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var ok bool
		if last, ok = check(); ok {
			return
		}
	}
	r.t.Fatalf("no sign of %s; last seen:\n%s", what, last)
}

// hears waits until the peer holds exactly these lines.
func (r *rig) hears(p *fakePeer, lines ...string) {
	r.t.Helper()
	slices.Sort(lines)
	want := strings.Join(lines, "\n")
	r.eventually(fmt.Sprintf("%s hearing\n%s", p.from, want), func() (string, bool) {
		got := p.says()
		return got, got == want
	})
}

// learns waits until the queue has told exactly these lines, "PREFIX NEXTHOP@PEER ...".
func (r *rig) learns(lines ...string) {
	r.t.Helper()
	slices.Sort(lines)
	want := strings.Join(lines, "\n")
	r.eventually("learning\n"+want, func() (string, bool) {
		for _, c := range r.Queue().Take() {
			r.rib[c.Prefix] = describeChange(c)
			if len(c.Paths) == 0 {
				delete(r.rib, c.Prefix)
			}
		}
		got := describeRIB(r.rib)
		return got, got == want
	})
}

func describeChange(c bgp.RIBChange) string {
	var ways []string
	for _, p := range c.Paths {
		ways = append(ways, fmt.Sprintf("%s@%s", p.NextHop, p.Peer))
	}
	slices.Sort(ways)
	return c.Prefix.String() + " " + strings.Join(ways, " ")
}

func describeRIB(rib map[netip.Prefix]string) string {
	var lines []string
	for _, line := range rib {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// listed returns RIB() in the same words.
func (r *rig) listed() string {
	r.t.Helper()
	changes, err := r.RIB(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	rib := map[netip.Prefix]string{}
	for _, c := range changes {
		rib[c.Prefix] = describeChange(c)
	}
	return describeRIB(rib)
}

func (r *rig) session(name string) bgp.Session {
	r.t.Helper()
	sessions, err := r.Sessions(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range sessions {
		if s.Peer == name {
			return s
		}
	}
	r.t.Fatalf("no session %s in %v", name, sessions)
	return bgp.Session{}
}

// stillAlive fails if any of the sessions was reset.
func (r *rig) stillAlive(peers ...*fakePeer) {
	r.t.Helper()
	for _, p := range peers {
		if !p.alive() {
			r.t.Errorf("the session with %s was reset: %s", p.from, p.ended())
		}
	}
}

func f2s(f []bgp.FamilySession) string { return fmt.Sprintf("%+v", f) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
