package gobgp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	api "github.com/osrg/gobgp/v3/api"

	"github.com/fairway-bgp/fairway/bgp"
)

func TestAReflectorPassesOnWhatItsClientsTellUnchanged(t *testing.T) {
	f := newFabric(t, 3)
	f.link(1, bgp.Client, 2, bgp.NoReflection)
	f.link(3, bgp.Client, 2, bgp.NoReflection)
	localPref, med := uint32(150), uint32(7)
	f.originate(1, pods1, &bgp.Attributes{
		Communities: []bgp.Community{65000<<16 | 1}, LargeCommunities: []bgp.LargeCommunity{{GlobalAdmin: 65000, Local1: 1, Local2: 2}},
		LocalPref: &localPref, MED: &med,
	})
	f.apply(1, 2, 3)
	f.hears(3, 2, "10.0.1.0/24 origin 0 via 127.0.2.1 med 7 local-pref 150 community 65000:1 originator 192.0.2.1 clusters 192.0.2.2 large 65000:1:2")
	f.hears(1, 2)
	f.at(3).learns("10.0.1.0/24 127.0.2.1@node-2")
	f.at(2).eventually("the count of what is told", func() (string, bool) {
		families := f.at(2).session("node-3").Families
		none := f.at(2).session("node-1").Families
		return f2s(families) + f2s(none), len(families) == 1 && families[0].Advertised == 1 && len(none) == 1 && none[0].Advertised == 0
	})

	f.originate(1, pods1, nil)
	f.apply(1)
	f.hears(3, 2)
	f.at(3).learns()
}

func TestANodeThatDoesNotReflectPassesNothingOn(t *testing.T) {
	f := newFabric(t, 3)
	f.link(2, bgp.NoReflection, 1, bgp.NoReflection)
	f.link(3, bgp.NoReflection, 1, bgp.NoReflection)
	f.originate(1, pods1, &bgp.Attributes{})
	f.originate(2, "10.0.2.0/24", &bgp.Attributes{})
	f.apply(1, 2, 3)
	f.up()
	f.hears(1, 2, own("10.0.2.0/24", 2))
	f.hears(3, 1, own(pods1, 1))
	f.originate(2, "10.0.2.0/24", nil)
	f.apply(2)
	f.hears(1, 2)
	f.originate(1, pods1, nil) // told after all that
	f.apply(1)
	f.hears(3, 1)
	if left := f.traces(3, 1); len(left) > 0 {
		t.Errorf("withdrawals of what was never told have left traces: %v", left)
	}
}

// traces are the prefixes that a speaker remembers of a peer without a path to them.
func (f *fabric) traces(n, from int) (left []string) {
	f.t.Helper()
	err := f.at(n).server.ListPath(f.t.Context(), &api.ListPathRequest{
		TableType: api.TableType_ADJ_IN, Name: f.addr(from).String(), Family: apiFamily(bgp.IPv4Unicast),
	}, func(d *api.Destination) {
		if len(d.GetPaths()) == 0 {
			left = append(left, d.GetPrefix())
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return left
}

// twoReflectors are clients 1 and 4 of the reflectors 2 and 3.
func twoReflectors(t *testing.T) *fabric {
	f := newFabric(t, 4)
	for _, client := range []int{1, 4} {
		for _, reflector := range []int{2, 3} {
			f.link(client, bgp.Client, reflector, bgp.NoReflection)
		}
	}
	f.link(2, bgp.NonClient, 3, bgp.NonClient)
	f.originate(1, pods1, &bgp.Attributes{})
	f.originate(4, pods4, &bgp.Attributes{})
	f.apply(1, 2, 3, 4)
	f.up()
	return f
}

// reflected waits until both reflectors have passed on all that they should, and no more.
func (f *fabric) reflected() {
	f.t.Helper()
	for _, r := range []int{2, 3} {
		f.hears(1, r, passed(pods4, 4, r))
		f.hears(4, r, passed(pods1, 1, r))
		f.hears(r, 5-r, passed(pods1, 1, 5-r), passed(pods4, 4, 5-r))
	}
}

func TestTwoReflectorsWithdrawWhatTheirClientsWithdraw(t *testing.T) {
	f := twoReflectors(t)
	f.reflected()
	for range 5 {
		f.originate(1, pods1, nil)
		f.apply(1)
		for _, r := range []int{2, 3} {
			f.hears(4, r)
			f.hears(r, 5-r, passed(pods4, 4, 5-r))
		}
		f.at(4).learns()
		f.originate(1, pods1, &bgp.Attributes{})
		f.apply(1)
		f.reflected()
		f.at(4).learns("10.0.1.0/24 127.0.2.1@node-2 127.0.2.1@node-3")
	}
}

func TestToBeginAndToCeaseReflectingResetsNothing(t *testing.T) {
	f := newFabric(t, 4)
	for _, pair := range [][2]int{{1, 2}, {1, 3}, {4, 2}, {4, 3}, {2, 3}} {
		f.link(pair[0], bgp.NoReflection, pair[1], bgp.NoReflection)
	}
	f.originate(1, pods1, &bgp.Attributes{})
	f.originate(4, pods4, &bgp.Attributes{})
	f.originate(2, "10.0.2.0/24", &bgp.Attributes{})
	f.apply(1, 2, 3, 4)
	f.up()
	before := f.since()
	two := own("10.0.2.0/24", 2)
	for range 3 {
		f.hears(4, 2, two)
		f.hears(4, 3)

		t.Log("speaker 3 begins to reflect, for 1 and 4 as clients, and 2")
		f.part(3, 1, bgp.Client)
		f.part(3, 4, bgp.Client)
		f.part(3, 2, bgp.NonClient)
		f.apply(3)
		f.hears(4, 3, passed(pods1, 1, 3), passed("10.0.2.0/24", 2, 3))
		f.hears(2, 3, passed(pods1, 1, 3), passed(pods4, 4, 3))
		f.hears(4, 2, two)

		t.Log("its client 4 becomes a non-client, which hears nothing of 2, and tells 2 nothing")
		f.part(3, 4, bgp.NonClient)
		f.apply(3)
		f.hears(4, 3, passed(pods1, 1, 3))
		f.hears(2, 3, passed(pods1, 1, 3))
		f.hears(1, 3, passed("10.0.2.0/24", 2, 3), passed(pods4, 4, 3))

		t.Log("and a client again")
		f.part(3, 4, bgp.Client)
		f.apply(3)
		f.hears(4, 3, passed(pods1, 1, 3), passed("10.0.2.0/24", 2, 3))
		f.hears(2, 3, passed(pods1, 1, 3), passed(pods4, 4, 3))

		t.Log("it reflects for nobody")
		for _, m := range []int{1, 2, 4} {
			f.part(3, m, bgp.NoReflection)
		}
		f.apply(3)
		f.hears(2, 3)
		f.hears(1, 3)
	}
	if after := f.since(); after != before {
		t.Errorf("sessions were\n%sand are\n%s", before, after)
	}
}

// From every state to every other, at random: who hears what of a reflector depends only on
// the parts that its peers have now and on what they tell now.
func TestWhatIsReflectedDependsOnlyOnTheLastApply(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	const reflector = 2
	clients := []int{1, 3, 4}
	f := newFabric(t, 4)
	for _, n := range clients {
		f.link(reflector, bgp.NoReflection, n, bgp.NoReflection)
	}
	f.apply(1, 2, 3, 4)
	f.up()
	before := f.since()
	tells := map[int]bool{}
	for step := range 40 {
		for _, n := range clients {
			if random.IntN(2) == 0 {
				f.part(reflector, n, bgp.Reflection(random.IntN(3)))
			}
			if tells[n] = random.IntN(2) == 0; tells[n] {
				f.originate(n, podsOf(n), &bgp.Attributes{})
			} else {
				f.originate(n, podsOf(n), nil)
			}
		}
		order := random.Perm(len(f.speakers))
		for _, n := range order {
			f.apply(n + 1)
		}
		for _, to := range clients {
			var want []string
			for _, from := range clients {
				if from != to && tells[from] && f.partOf(reflector, to).Hears(f.partOf(reflector, from)) {
					want = append(want, passed(podsOf(from), from, reflector))
				}
			}
			f.hears(to, reflector, want...)
		}
		if after := f.since(); after != before {
			t.Fatalf("step %d: sessions were\n%sand are\n%s", step, before, after)
		}
	}
}

func podsOf(n int) string { return fmt.Sprintf("10.0.%d.0/24", n) }

func TestAnotherClusterIDResetsTheSessionAndNoOther(t *testing.T) {
	f := newFabric(t, 3)
	f.link(1, bgp.Client, 2, bgp.NoReflection)
	f.link(3, bgp.Client, 2, bgp.NoReflection)
	f.originate(1, pods1, &bgp.Attributes{})
	f.apply(1, 2, 3)
	f.hears(3, 2, passed(pods1, 1, 2))
	stays, ends := f.at(2).session("node-1").Since, f.at(2).session("node-3").Since
	peers := slices.Clone(f.want(2).Peers)
	i := slices.IndexFunc(peers, func(p bgp.Peer) bool { return p.Name == "node-3" })
	peers[i].ClusterID = netip.MustParseAddr("10.9.9.9")
	f.want(2).Peers = peers
	f.apply(2)
	f.hears(3, 2, strings.Replace(passed(pods1, 1, 2), "192.0.2.2", "10.9.9.9", 1))
	if now := f.at(2).session("node-3").Since; !now.After(ends) {
		t.Error("the session that has another cluster ID was not reset")
	}
	if now := f.at(2).session("node-1").Since; !now.Equal(stays) {
		t.Error("the session that has the same was reset")
	}
}

func TestRoutersHearNothingReflectedAndTellNothingToReflect(t *testing.T) {
	f := newFabric(t, 2)
	f.link(1, bgp.Client, 2, bgp.NoReflection)
	f.originate(1, pods1, &bgp.Attributes{})
	external, internal := f.at(2).peer(1), f.at(2).peer(2)
	internal.ASN = ourASN
	f.want(2).Peers = append(f.want(2).Peers, external, internal)
	f.originate(2, "10.0.2.0/24", &bgp.Attributes{})
	f.apply(1, 2)
	outside, inside := f.at(2).fake(1), f.at(2).fake(2)
	inside.asn = ourASN
	one, two := f.at(2).connect(outside), f.at(2).connect(inside)
	f.hears(2, 1, own(pods1, 1))
	// A mark that a router sends itself makes no client of it.
	one.announceMarked(t, "10.9.1.0/24", one.asn)
	two.announceMarked(t, "10.9.2.0/24")
	f.at(2).learns("10.0.1.0/24 127.0.2.1@node-1", "10.9.1.0/24 127.0.1.1@peer-1", "10.9.2.0/24 127.0.1.2@peer-2")
	f.originate(2, "10.0.3.0/24", &bgp.Attributes{}) // told after all that
	f.apply(2)
	f.hears(1, 2, own("10.0.2.0/24", 2), own("10.0.3.0/24", 2))
	f.at(2).hears(one, "10.0.2.0/24 via 192.0.2.1", "10.0.3.0/24 via 192.0.2.1")
	f.at(2).hears(two, "10.0.2.0/24 via 192.0.2.2", "10.0.3.0/24 via 192.0.2.2")
}
