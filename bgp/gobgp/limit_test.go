package gobgp

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

// limited is a speaker with one peer that has a limit.
func limited(t *testing.T, limit bgp.PrefixLimit, opts Options) (*rig, bgp.Desired) {
	t.Helper()
	r := newRig(t, opts)
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1)}}
	want.Peers[0].Limit = limit
	r.apply(want)
	return r, want
}

// announceMany announces 10.n.0.0/24 and so on, and prefixes that no rule allows.
func announceMany(t *testing.T, p *fakePeer, allowed, refused int) {
	t.Helper()
	for i := range allowed {
		p.announce(t, fmt.Sprintf("10.1.%d.0/24", i), p.asn)
	}
	for i := range refused {
		p.announce(t, fmt.Sprintf("172.16.%d.0/24", i), p.asn)
	}
}

// endsOver waits until the session has ended for too many prefixes and is kept down.
func (r *rig) endsOver(p *fakePeer) {
	r.t.Helper()
	// RFC 4486, section 4: Cease is 6, Maximum Number of Prefixes Reached 1.
	r.eventually("the end", func() (string, bool) { return p.ended(), p.ended() == "6/1" })
	r.eventually("the peer kept down", func() (string, bool) {
		live, err := r.livePeer(context.Background(), netip.MustParseAddr(p.from))
		return fmt.Sprint(live, err), live.GetState().GetAdminState() == api.PeerState_PFX_CT
	})
}

// received waits until the session holds so many IPv4 prefixes, refused ones too.
func (r *rig) received(peer string, want int) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("%d prefixes", want), func() (string, bool) {
		f := r.session(peer).Families
		return f2s(f), len(f) > 0 && f[0].Received == want
	})
}

func TestPeerOverItsLimitIsEndedAndStaysDownUntilTheLimitChanges(t *testing.T) {
	r, want := limited(t, bgp.PrefixLimit{Max: 4, Shutdown: true}, Options{})
	p := r.connect(r.fake(1))
	announceMany(t, p, 3, 1)
	r.received("peer-1", 4)
	announceMany(t, p, 0, 2) // one more, and it is refused besides
	r.endsOver(p)
	r.learns()
	const words = "we sent NOTIFICATION Cease, maximum number of prefixes reached: the peer told 5 prefixes of IPv4Unicast, " +
		"and maxPrefixes is 4; it is tried again when maxPrefixes is changed, or adminState is Down and Up again"
	if s := r.session("peer-1"); s.State != bgp.Idle || s.LastError != words {
		t.Errorf("session %+v", s)
	}

	// Other changes wait, whether they would touch the session or not.
	want.Peers[0].HoldTime = 60 * time.Second
	want.Peers[0].ClusterID = netip.MustParseAddr("192.0.2.200")
	r.apply(want)
	r.endsOver(p)

	want.Peers[0].Limit.Max = 10
	r.apply(want)
	p = r.connect(r.fake(1))
	if p.open.HoldTime != 60 {
		t.Errorf("the hold time is %d", p.open.HoldTime)
	}
	announceMany(t, p, 7, 3)
	r.received("peer-1", 10)
	r.stillAlive(p)
}

func TestPeerOverItsLimitIsTriedAgainAfterItsTime(t *testing.T) {
	r, want := limited(t, bgp.PrefixLimit{Max: 1, Shutdown: true}, Options{})
	p := r.connect(r.fake(1))
	announceMany(t, p, 2, 0)
	r.endsOver(p)
	want.Peers[0].Limit.Restart = time.Second
	r.apply(want)
	if s := r.session("peer-1"); !strings.HasSuffix(s.LastError, "; it is tried again 1s after its end") {
		t.Errorf("session %+v", s)
	}
	p = r.connect(r.fake(1))
	announceMany(t, p, 2, 0) // it has not learned
	r.endsOver(p)
}

func TestLimitChangesWhileTheSessionIsUp(t *testing.T) {
	r, want := limited(t, bgp.PrefixLimit{}, Options{})
	p := r.connect(r.fake(1))
	announceMany(t, p, 3, 0)
	r.received("peer-1", 3)
	for _, limit := range []bgp.PrefixLimit{{Max: 3, Shutdown: true}, {Max: 2}, {Max: 9, Shutdown: true, Restart: time.Hour}, {}} {
		want.Peers[0].Limit = limit
		r.apply(want)
		r.enforceLimits(context.Background())
		r.stillAlive(p)
	}
	want.Peers[0].Limit = bgp.PrefixLimit{Max: 2, Shutdown: true}
	r.apply(want)
	r.endsOver(p)
}

func TestLimitWithAPasswordHoldsToo(t *testing.T) {
	r, want := limited(t, bgp.PrefixLimit{}, Options{})
	want.Peers[0].Password = "sesame"
	want.Peers[0].Limit = bgp.PrefixLimit{Max: 1, Shutdown: true}
	r.apply(want)
	fake := r.fake(1)
	fake.password = "sesame"
	p := r.connect(fake)
	announceMany(t, p, 2, 0)
	r.endsOver(p)
	want.Peers[0].Limit.Max = 2
	r.apply(want)
	p = r.connect(fake)
	announceMany(t, p, 2, 0)
	r.received("peer-1", 2)
	r.stillAlive(p)
}

func TestKeptDownIsWhoIsOverTheLimitThatStillHolds(t *testing.T) {
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	o := &over{limit: 5, at: noon}
	for _, c := range []struct {
		over  *over
		now   bgp.PrefixLimit
		after time.Duration
		want  bool
	}{
		{nil, bgp.PrefixLimit{Max: 5, Shutdown: true}, 0, false},
		{o, bgp.PrefixLimit{Max: 5, Shutdown: true}, 1000 * time.Hour, true},
		{o, bgp.PrefixLimit{Max: 5, Shutdown: true, Restart: time.Minute}, 59 * time.Second, true},
		{o, bgp.PrefixLimit{Max: 5, Shutdown: true, Restart: time.Minute}, 60 * time.Second, false},
		{o, bgp.PrefixLimit{Max: 6, Shutdown: true}, 0, false},
		{o, bgp.PrefixLimit{Max: 5}, 0, false},
		{o, bgp.PrefixLimit{}, 0, false},
	} {
		if got := c.over.keepsDown(c.now, noon.Add(c.after)); got != c.want {
			t.Errorf("%+v under %+v after %s: %v", c.over, c.now, c.after, got)
		}
	}
}

// flood sends so many prefixes as fast as the speaker takes them, until it hangs up.
func flood(p *fakePeer, prefixes int) {
	attrs := []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{p.asn})}),
		packet.NewPathAttributeNextHop(p.from),
	}
	const each = 500
	for sent := 0; sent < prefixes; sent += each {
		nlri := make([]*packet.IPAddrPrefix, 0, each)
		for i := sent; i < sent+each; i++ {
			nlri = append(nlri, packet.NewIPAddrPrefix(32, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()))
		}
		if p.send(packet.NewBGPUpdateMessage(nil, attrs, nlri)) != nil {
			return
		}
	}
}

func TestMemoryIsBoundedUnderALimit(t *testing.T) {
	if testing.Short() {
		t.Skip("floods a speaker with a million prefixes")
	}
	const million, bound = 1_000_000, 300 << 20
	// peak floods, and returns the most heap in use until the session has ended or the bound is passed.
	peak := func(limit bgp.PrefixLimit) (heap uint64) {
		r, _ := limited(t, limit, Options{Log: discard()}) // a log of each path would count too
		p := r.connect(r.fake(1))
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapInuse
		go flood(p, million)
		r.eventually("the end, or the bound", func() (string, bool) {
			runtime.ReadMemStats(&m)
			heap = max(heap, m.HeapInuse-min(m.HeapInuse, before))
			return fmt.Sprint(heap), p.ended() != "" || heap > bound
		})
		if limit.Shutdown {
			r.endsOver(p)
		}
		return heap
	}
	heap := peak(bgp.PrefixLimit{Max: 1000, Shutdown: true})
	t.Logf("with a limit: %d MiB", heap>>20)
	if heap > bound {
		t.Errorf("%d MiB are in use under a limit", heap>>20)
	}
	if heap := peak(bgp.PrefixLimit{}); heap <= bound {
		t.Errorf("%d MiB are in use without a limit: the measure shows nothing", heap>>20)
	}
}
