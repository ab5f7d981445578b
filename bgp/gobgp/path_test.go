package gobgp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fairway-bgp/fairway/bgp"
)

func testReader() *reader {
	return &reader{view: &view{asn: ourASN, peers: map[netip.Addr]bgp.Peer{
		addr("fe80::1"):   {Name: "unnumbered", Address: addr("fe80::1%eth7")},
		addr("192.0.2.1"): {Name: "tor", Address: addr("192.0.2.1")},
	}}}
}

func apiPath(t *testing.T, prefix, from string, attrs ...proto.Message) *api.Path {
	t.Helper()
	p, err := localPath(netip.MustParsePrefix(prefix), 1)
	if err != nil {
		t.Fatal(err)
	}
	p.NeighborIp, p.SourceAsn, p.Pattrs = from, 65001, nil
	for _, attr := range attrs {
		packed, err := anypb.New(attr)
		if err != nil {
			t.Fatal(err)
		}
		p.Pattrs = append(p.Pattrs, packed)
	}
	return p
}

func reach(hops ...string) proto.Message { return &api.MpReachNLRIAttribute{NextHops: hops} }

func TestANextHopIsReadAsItIsMeant(t *testing.T) {
	for _, test := range []struct {
		name, from string
		attr       proto.Message
		want       string
	}{
		{"plain", "192.0.2.1", &api.NextHopAttribute{NextHop: "192.0.2.9"}, "192.0.2.9 of tor"},
		{"global", "192.0.2.1", reach("2001:db8::9"), "2001:db8::9 of tor"},
		{"global before link-local", "192.0.2.1", reach("2001:db8::9", "fe80::9"), "2001:db8::9 of tor"},
		{"link-local before global where the session is", "fe80::1", reach("2001:db8::9", "fe80::9"), "fe80::9%eth7 of unnumbered"},
		{"global over an unnumbered session", "fe80::1", reach("2001:db8::9"), "2001:db8::9 of unnumbered"},
		{"link-local of an unnumbered session", "fe80::1", reach("fe80::9"), "fe80::9%eth7 of unnumbered"},
		{"link-local beside an empty global one", "fe80::1", reach("::", "fe80::9"), "fe80::9%eth7 of unnumbered"},
		{"empty, of an unnumbered session", "fe80::1", reach("::"), "fe80::1%eth7 of unnumbered"},
		{"empty, of another session", "192.0.2.1", reach("::"), "invalid IP of tor"},
		{"mapped", "192.0.2.1", reach("::ffff:192.0.2.9"), "192.0.2.9 of tor"},
		{"of a peer that is no longer configured", "192.0.2.77", reach("2001:db8::9"), "2001:db8::9 of "},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, ok, err := testReader().learnedPath(apiPath(t, "10.1.0.0/24", test.from, test.attr))
			if err != nil || !ok {
				t.Fatalf("%t, %v", ok, err)
			}
			if got := fmt.Sprintf("%s of %s", p.NextHop, p.Peer); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestTheAttributesOfAPathAreReadWhole(t *testing.T) {
	p := apiPath(t, "10.1.0.0/24", "192.0.2.1",
		&api.OriginAttribute{Origin: 2}, &api.NextHopAttribute{NextHop: "192.0.2.9"},
		&api.AsPathAttribute{Segments: []*api.AsSegment{
			{Type: api.AsSegment_AS_SEQUENCE, Numbers: []uint32{65001, 65002}},
			{Type: api.AsSegment_AS_SET, Numbers: []uint32{65003, 65004}},
			{Type: api.AsSegment_AS_CONFED_SEQUENCE, Numbers: []uint32{65005}},
		}},
		&api.LocalPrefAttribute{LocalPref: 150}, &api.MultiExitDiscAttribute{Med: 7},
		&api.CommunitiesAttribute{Communities: []uint32{65000<<16 | 1}}, linkBandwidths(t, float32(math.NaN()), -1, 0, 375_000, 9))
	p.Stale, p.SourceAsn = true, ourASN
	got, ok, err := testReader().learnedPath(p)
	want := "{Peer:tor PeerAddr:192.0.2.1 NextHop:192.0.2.9 ASPath:[65001 65002 65003 65004 65005] ASPathLength:3 Origin:2 LocalPref:150 MED:7 LinkBandwidth:375000 IBGP:true Stale:true}"
	if err != nil || !ok || fmt.Sprintf("%+v", got) != want {
		t.Errorf("got %+v, %t, %v, want %s", got, ok, err, want)
	}
}

func linkBandwidths(t *testing.T, values ...float32) proto.Message {
	t.Helper()
	var a api.ExtendedCommunitiesAttribute
	for _, value := range values {
		packed, err := anypb.New(&api.LinkBandwidthExtended{Asn: 65001, Bandwidth: value})
		if err != nil {
			t.Fatal(err)
		}
		a.Communities = append(a.Communities, packed)
	}
	return &a
}

func TestPathsOfOneEventAreGroupedByPrefixAndUnusableOnesLeftOut(t *testing.T) {
	hop := &api.NextHopAttribute{NextHop: "192.0.2.9"}
	withdrawn := apiPath(t, "10.3.0.0/24", "192.0.2.1", hop)
	withdrawn.IsWithdraw = true
	other := apiPath(t, "10.4.0.0/24", "192.0.2.1", hop)
	other.Family = &api.Family{Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}
	changes, err := testReader().changes([]*api.Path{
		apiPath(t, "10.1.0.0/24", "192.0.2.1", hop),
		apiPath(t, "10.2.0.0/24", "<nil>", hop), // ours
		apiPath(t, "10.1.0.0/24", "fe80::1", hop),
		apiPath(t, "10.1.0.0/24", "192.0.2.1", hop, &api.CommunitiesAttribute{Communities: []uint32{llgrStale}}),
		withdrawn, other,
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, c := range changes {
		got[c.Prefix.String()] = len(c.Paths)
	}
	if want := map[string]int{"10.1.0.0/24": 2, "10.2.0.0/24": 0, "10.3.0.0/24": 0}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAPathThatCannotBeReadIsAnErrorNotAnAbsence(t *testing.T) {
	p := apiPath(t, "10.1.0.0/24", "192.0.2.1")
	p.Nlri.Value = []byte{0xff}
	if _, err := testReader().changes([]*api.Path{p}); err == nil {
		t.Error("no error")
	}
}

// A reader that remembers and one that does not have to read any sequence of paths alike.
func TestWhatIsRememberedOfAPathNeverShowsInAnother(t *testing.T) {
	attrs := []proto.Message{
		&api.NextHopAttribute{NextHop: "192.0.2.9"}, &api.NextHopAttribute{NextHop: "192.0.2.8"},
		reach("2001:db8::9"), reach("2001:db8::8", "fe80::8"), reach("fe80::7"),
		&api.AsPathAttribute{Segments: []*api.AsSegment{{Type: api.AsSegment_AS_SEQUENCE, Numbers: []uint32{65001}}}},
		&api.LocalPrefAttribute{LocalPref: 150}, &api.MultiExitDiscAttribute{Med: 7},
		&api.CommunitiesAttribute{Communities: []uint32{llgrStale}}, linkBandwidths(t, 1), linkBandwidths(t, 2),
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	remembers := testReader()
	for range 5000 {
		var some []proto.Message
		for _, attr := range attrs {
			if random.IntN(len(attrs)) == 0 {
				some = append(some, attr)
			}
		}
		p := apiPath(t, "10.1.0.0/24", []string{"192.0.2.1", "fe80::1", "<nil>"}[random.IntN(3)], some...)
		got, gotOK, err := remembers.learnedPath(p)
		want, wantOK, wantErr := testReader().learnedPath(p)
		if err != nil || wantErr != nil || gotOK != wantOK || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("seed %d: %v: got %+v, %t, %v; want %+v, %t, %v", seed, p, got, gotOK, err, want, wantOK, wantErr)
		}
	}
}

func BenchmarkReadingAFeed(b *testing.B) {
	p, err := localPath(netip.MustParsePrefix("10.1.0.0/24"), 1)
	if err != nil {
		b.Fatal(err)
	}
	p.NeighborIp, p.SourceAsn = "192.0.2.1", 65001
	r := testReader()
	b.ReportAllocs()
	for b.Loop() {
		if changes, err := r.changes([]*api.Path{p}); err != nil || len(changes[0].Paths) != 1 {
			b.Fatal(changes, err)
		}
	}
}
