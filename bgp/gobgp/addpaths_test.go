package gobgp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/fairway-bgp/fairway/bgp"
)

// path sends a path to a prefix by its identifier: announced with a next hop and an AS path,
// or withdrawn without one.
func (p *fakePeer) path(t *testing.T, prefix string, id uint32, nextHop string, asPath ...uint32) {
	t.Helper()
	parsed := netip.MustParsePrefix(prefix)
	nlri := packet.NewIPAddrPrefix(uint8(parsed.Bits()), parsed.Addr().String())
	nlri.SetPathLocalIdentifier(id)
	message := packet.NewBGPUpdateMessage([]*packet.IPAddrPrefix{nlri}, nil, nil)
	if nextHop != "" {
		message = packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{
			packet.NewPathAttributeOrigin(packet.BGP_ORIGIN_ATTR_TYPE_IGP),
			packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, asPath)}),
			packet.NewPathAttributeNextHop(nextHop),
		}, []*packet.IPAddrPrefix{nlri})
	}
	buf, err := message.Serialize(&packet.MarshallingOption{AddPath: map[packet.RouteFamily]packet.BGPAddPathMode{packet.RF_IPv4_UC: packet.BGP_ADD_PATH_SEND}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.conn.Write(buf); err != nil {
		t.Fatalf("sending path %d to %s: %v", id, prefix, err)
	}
}

// pathsRig has peer-1, which sends several paths to a prefix, and peer-2, which does not offer that.
func pathsRig(t *testing.T) (r *rig, want bgp.Desired, one, two *fakePeer) {
	t.Helper()
	r = newRig(t, Options{})
	want = bgp.Desired{Config: r.config(), Peers: []bgp.Peer{r.peer(1), r.peer(2)}}
	for i := range want.Peers {
		want.Peers[i].AddPaths = bgp.AddPaths{Receive: true, SendMax: 2}
	}
	r.apply(want)
	many := r.fake(1)
	many.paths = true
	return r, want, r.connect(many), r.connect(r.fake(2))
}

func TestSeveralPathsOfOnePeerAreAllLearned(t *testing.T) {
	r, want, one, two := pathsRig(t)
	one.path(t, pods1, 7, "192.0.2.71", one.asn)
	one.path(t, pods1, 8, "192.0.2.72", one.asn)
	two.announce(t, pods1, two.asn)
	all := pods1 + " 127.0.1.2@peer-2 192.0.2.71@peer-1 192.0.2.72@peer-1"
	r.learns(all)
	if got := r.listed(); got != all {
		t.Errorf("the RIB lists %s", got)
	}
	for name, list := range map[string]string{"peer-1": "add-path receive", "peer-2": ""} {
		s := r.session(name)
		names := strings.Join(s.Capabilities, ",")
		if !strings.Contains(names, "4-octet-as") || strings.Contains(names, "add-path send") || strings.Contains(names, "add-path receive") != (list != "") {
			t.Errorf("%s has %s", name, names)
		}
		if v4 := s.Families[0]; v4.ReceivesPaths != (list != "") || v4.SendsPaths || s.Families[1].ReceivesPaths {
			t.Errorf("%s has %+v", name, s.Families)
		}
	}
	r.eventually("the counts of paths", func() (string, bool) {
		f := r.session("peer-1").Families[0]
		return fmt.Sprintf("%+v", f), f.Received == 2 && f.Accepted == 2
	})

	t.Log("a path that is worse, one that loops in place of a good one, one withdrawn")
	one.path(t, pods1, 9, "192.0.2.73", one.asn, 65999)
	one.path(t, "10.9.9.0/24", 1, "192.0.2.71", one.asn)
	r.learns(all, "10.9.9.0/24 192.0.2.71@peer-1")
	one.path(t, pods1, 8, "192.0.2.72", one.asn, ourASN)
	r.learns(pods1+" 127.0.1.2@peer-2 192.0.2.71@peer-1", "10.9.9.0/24 192.0.2.71@peer-1")
	one.path(t, pods1, 8, "192.0.2.74", one.asn)
	r.learns(pods1+" 127.0.1.2@peer-2 192.0.2.71@peer-1 192.0.2.74@peer-1", "10.9.9.0/24 192.0.2.71@peer-1")
	one.path(t, pods1, 7, "")
	two.withdraw(t, pods1)
	r.learns(pods1+" 192.0.2.74@peer-1", "10.9.9.0/24 192.0.2.71@peer-1")
	one.path(t, pods1, 8, "")
	r.learns(pods1+" 192.0.2.73@peer-1", "10.9.9.0/24 192.0.2.71@peer-1")
	r.stillAlive(one, two)

	t.Log("it is negotiated anew when it changes, and no other session notices")
	want.Peers = slices.Clone(want.Peers)
	want.Peers[0].AddPaths = bgp.AddPaths{}
	r.apply(want)
	r.eventually("the end of the session", func() (string, bool) { return one.ended(), one.ended() != "" })
	again := r.connect(r.fake(1))
	again.announce(t, pods1, again.asn)
	r.learns(pods1 + " 127.0.1.1@peer-1")
	r.stillAlive(two)
}

// From every state to every other, at random: the paths that are learned are those that were
// announced and not withdrawn, whatever their identifiers were used for before.
func TestThePathsThatAreLearnedAreThoseAnnounced(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	r, _, one, two := pathsRig(t)
	held := map[string]map[uint32]string{"10.1.1.0/24": {}, "10.1.2.0/24": {}, "10.1.3.0/24": {}}
	prefixes := []string{"10.1.1.0/24", "10.1.2.0/24", "10.1.3.0/24"}
	for step := range 60 {
		for range 1 + random.IntN(6) {
			prefix, id := prefixes[random.IntN(3)], 1+random.Uint32N(4)
			if random.IntN(3) == 0 {
				one.path(t, prefix, id, "")
				delete(held[prefix], id)
				continue
			}
			hop := fmt.Sprintf("192.0.2.%d", 1+random.IntN(3))
			one.path(t, prefix, id, hop, one.asn)
			held[prefix][id] = hop
		}
		var want []string
		for _, prefix := range prefixes {
			var ways []string
			for _, hop := range held[prefix] {
				ways = append(ways, hop+"@peer-1")
			}
			if slices.Sort(ways); len(ways) > 0 {
				want = append(want, prefix+" "+strings.Join(ways, " "))
			}
		}
		// What is announced on the way may be the same for a moment.
		r.eventually(fmt.Sprintf("step %d in the RIB:\n%s", step, strings.Join(want, "\n")), func() (string, bool) {
			got := r.listed()
			return got, got == strings.Join(want, "\n")
		})
		r.learns(want...)
	}
	r.stillAlive(one, two)
}

// A path of ours whose audience changes has to be withdrawn from a peer that is told several
// paths: GoBGP would tell it nothing of the path as it is now, and leave the old one.
func TestWhatAPeerOfSeveralPathsNoLongerHearsIsWithdrawn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	f := newFabric(t, 5)
	for _, client := range []int{1, 3, 4} {
		f.link(client, bgp.Client, 2, bgp.NoReflection)
	}
	f.link(5, bgp.NoReflection, 2, bgp.NoReflection)
	f.want(2).Peers[3].AddPaths.SendMax = 1 + uint8(random.IntN(3))
	f.want(5).Peers[0].AddPaths.Receive = true
	f.apply(1, 2, 3, 4, 5)
	f.up()
	before := f.since()
	prefixes := []string{"10.7.1.0/24", "10.7.2.0/24", "10.7.3.0/24"}
	for range 40 {
		hear := map[int][]string{1: {}, 5: {}}
		var list []advert
		for _, prefix := range prefixes {
			var to []string
			for _, n := range []int{1, 5} {
				if random.IntN(2) == 0 {
					to = append(to, fmt.Sprintf("node-%d", n))
					hear[n] = append(hear[n], own(prefix, 2))
				}
			}
			list = append(list, advertise(prefix, to...))
		}
		f.want(2).Advertisements = ads(list...)
		f.apply(2)
		for n, lines := range hear {
			f.hears(n, 2, lines...)
		}
	}
	if after := f.since(); after != before {
		t.Errorf("sessions were\n%sand are\n%s", before, after)
	}
}
