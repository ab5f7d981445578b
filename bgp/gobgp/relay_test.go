package gobgp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
)

// In these tests speaker 1 is a gateway, 2 and 3 are other nodes of its AS, and 4 and 5 are routers, each
// of an AS of its own.
const (
	gateway, tor, core = 1, 4, 5
	pods2, pods3       = "10.0.2.0/24", "10.0.3.0/24"
	shared             = "10.0.99.0/24" // of several nodes
	foreign            = "10.128.0.0/16"
)

func newRelayFabric(t *testing.T) *fabric {
	f := newFabric(t, 5)
	for _, router := range []int{tor, core} {
		f.want(router).Config.ASN = uint32(ourASN + 100*router)
		ours, theirs := f.peer(gateway, router, bgp.NoReflection), f.peer(router, gateway, bgp.NoReflection)
		ours.ASN = f.want(router).Config.ASN
		f.want(gateway).Peers = append(f.want(gateway).Peers, ours)
		f.want(router).Peers = append(f.want(router).Peers, theirs)
	}
	for _, node := range []int{2, 3} {
		f.want(gateway).Peers = append(f.want(gateway).Peers, f.peer(gateway, node, bgp.NoReflection))
		f.want(node).Peers = append(f.want(node).Peers, f.peer(node, gateway, bgp.NoReflection))
	}
	return f
}

// relayTo passes what nodes tell inside 10.0.0.0/9 on to routers.
func relayTo(with bgp.Attributes, routers ...string) bgp.Relay {
	return bgp.Relay{
		From: []string{"node-2", "node-3"}, Prefixes: []bgp.PrefixRule{rule("10.0.0.0/9", 16, 24)},
		Exports: []bgp.Export{{To: routers, Attributes: with}},
	}
}

func unchanged(r bgp.Relay, nextHops ...string) bgp.Relay {
	for _, p := range nextHops {
		r.NextHops = append(r.NextHops, netip.MustParsePrefix(p))
	}
	return r
}

func TestAGatewayPassesOnWhatNodesTell(t *testing.T) {
	f := newRelayFabric(t)
	med := uint32(7)
	f.originate(2, pods2, &bgp.Attributes{Communities: []bgp.Community{65000<<16 | 1}, LargeCommunities: []bgp.LargeCommunity{{GlobalAdmin: 65000, Local1: 1, Local2: 2}}})
	f.originate(2, foreign, &bgp.Attributes{})
	f.originate(3, pods3, &bgp.Attributes{Communities: []bgp.Community{0xffffff01}}) // NO_EXPORT
	f.originate(core, "10.0.50.0/24", &bgp.Attributes{})
	f.originate(gateway, pods1, &bgp.Attributes{})
	f.want(gateway).Relays = []bgp.Relay{relayTo(bgp.Attributes{
		Communities: []bgp.Community{65000<<16 | 9}, LargeCommunities: []bgp.LargeCommunity{{GlobalAdmin: 65000, Local1: 8, Local2: 8}}, MED: &med,
	}, "node-4")}
	f.apply(1, 2, 3, 4, 5)
	f.up()
	f.at(gateway).learns("10.0.2.0/24 127.0.2.2@node-2", "10.0.3.0/24 127.0.2.3@node-3", "10.0.50.0/24 127.0.2.5@node-5", "10.128.0.0/16 127.0.2.2@node-2")
	own := pods1 + " origin 0 via 127.0.2.1"
	f.hears(tor, gateway, own, pods2+" origin 0 via 127.0.2.1 med 7 community 65000:1 community 65000:9 large 65000:1:2 large 65000:8:8")
	f.hears(core, gateway, own)
	f.hears(3, gateway, own)
	f.hasASPath(tor, pods2, ourASN)
	f.at(gateway).eventually("the count of what is told", func() (string, bool) {
		four, five := f.at(gateway).session("node-4").Families, f.at(gateway).session("node-5").Families
		return f2s(four) + f2s(five), len(four) == 1 && four[0].Advertised == 2 && four[0].Relayed == 1 && len(five) == 1 && five[0].Advertised == 1
	})
	f.originate(2, pods2, nil)
	f.apply(2)
	f.hears(tor, gateway, own)
}

func (f *fabric) hasASPath(n int, prefix string, path ...uint32) {
	f.t.Helper()
	changes, err := f.at(n).RIB(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range changes {
		if c.Prefix.String() == prefix && !slices.Equal(c.Paths[0].ASPath, path) {
			f.t.Errorf("%s has the AS path %v, want %v", prefix, c.Paths[0].ASPath, path)
		}
	}
}

// TestTheNextHopOfANodeStaysOnlyWhereItIsShared: when the best path comes to be one that may not be
// told, what was told is withdrawn.
func TestTheNextHopOfANodeStaysOnlyWhereItIsShared(t *testing.T) {
	f := newRelayFabric(t)
	f.originate(2, shared, &bgp.Attributes{})
	f.originate(2, pods2, &bgp.Attributes{})
	f.originate(3, pods3, &bgp.Attributes{})
	f.want(gateway).Relays = []bgp.Relay{unchanged(relayTo(bgp.Attributes{}, "node-4"), "127.0.2.2/32"), relayTo(bgp.Attributes{}, "node-5")}
	f.apply(1, 2, 3, 4, 5)
	f.up()
	of2 := pods2 + " origin 0 via 127.0.2.2"
	f.hears(tor, gateway, of2, shared+" origin 0 via 127.0.2.2")
	f.hears(core, gateway, pods2+" origin 0 via 127.0.2.1", pods3+" origin 0 via 127.0.2.1", shared+" origin 0 via 127.0.2.1")
	pref := uint32(200)
	f.originate(3, shared, &bgp.Attributes{LocalPref: &pref})
	f.apply(3)
	f.hears(tor, gateway, of2)
	f.originate(3, shared, nil)
	f.apply(3)
	f.hears(tor, gateway, of2, shared+" origin 0 via 127.0.2.2")
}

// TestMarksThatARouterSendsPassNothingOn: the numbers of relays are ours alone.
func TestMarksThatARouterSendsPassNothingOn(t *testing.T) {
	r := newRig(t, Options{})
	node, router, other := r.peer(1), r.peer(2), r.peer(3)
	node.ASN, node.Families = ourASN, []bgp.Family{bgp.IPv4Unicast}
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{node, router, other}, Relays: []bgp.Relay{{
		From: []string{"peer-1"}, Prefixes: []bgp.PrefixRule{rule("10.1.0.0/16", 16, 24)}, Exports: []bgp.Export{{To: []string{"peer-3"}}},
	}}})
	options := r.fake(1)
	options.asn = ourASN
	inside, outside, third := r.connect(options), r.connect(r.fake(2)), r.connect(r.fake(3))
	inside.announceMarked(t, "10.1.1.0/24")
	inside.announceMarked(t, "10.2.2.0/24")
	outside.announceMarked(t, "10.1.3.0/24", ourASN+2)
	outside.announceMarked(t, "10.3.3.0/24", ourASN+2)
	r.eventually("all of it", func() (string, bool) { got := r.listed(); return got, strings.Count(got, "\n") == 3 })
	r.hears(third, "10.1.1.0/24 via 192.0.2.3")
	r.hears(outside)
}

// What came before anything was passed on bears no marks either: its import is not looked at again.
func TestMarksFromBeforeTheFirstRelayPassNothingOn(t *testing.T) {
	r := newRig(t, Options{})
	node, other, router := r.peer(1), r.peer(2), r.peer(3)
	node.ASN, other.ASN = ourASN, ourASN
	want := bgp.Desired{Config: r.config(), Peers: []bgp.Peer{node, other, router}}
	r.apply(want)
	one, two := r.fake(1), r.fake(2)
	one.asn, two.asn = ourASN, ourASN
	inside, planter := r.connect(one), r.connect(two)
	inside.announceMarked(t, "10.1.1.0/24")
	planter.announceMarked(t, "10.2.2.0/24")
	r.eventually("both", func() (string, bool) { got := r.listed(); return got, strings.Count(got, "\n") == 1 })
	want.Relays = []bgp.Relay{
		{From: []string{"peer-1"}, Prefixes: []bgp.PrefixRule{rule("10.1.0.0/16", 16, 24)}, Exports: []bgp.Export{{To: []string{"peer-3"}}}},
	}
	r.apply(want)
	third := r.connect(r.fake(3))
	r.hears(third, "10.1.1.0/24 via 192.0.2.3")
}

// A relay that no prefix can be made of affects itself alone.
func TestARelayWithoutAValidPrefixAffectsItselfAlone(t *testing.T) {
	r := newRig(t, Options{})
	node, router := r.peer(1), r.peer(2)
	node.ASN = ourASN
	good := bgp.Relay{From: []string{"peer-1"}, Prefixes: []bgp.PrefixRule{rule("10.1.0.0/16", 16, 24)}, Exports: []bgp.Export{{To: []string{"peer-2"}}}}
	bad := good
	bad.Prefixes = []bgp.PrefixRule{{}}
	err := r.tryApply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{node, router}, Relays: []bgp.Relay{bad, good}})
	if got := bgp.Errors(err); len(got) != 1 || !strings.Contains(got[0].Error(), "passing on what peer-1 tells") {
		t.Errorf("errors %v", got)
	}
	inside := r.fake(1)
	inside.asn = ourASN
	first, second := r.connect(inside), r.connect(r.fake(2))
	first.announceMarked(t, "10.1.1.0/24")
	r.hears(second, "10.1.1.0/24 via 192.0.2.2")
}

// TestRelaysAtRandom goes from any relays and prefixes to any others, and no session is touched.
func TestRelaysAtRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	f := newRelayFabric(t)
	f.apply(1, 2, 3, 4, 5)
	f.up()
	before := f.since()
	med := uint32(3)
	narrow := relayTo(bgp.Attributes{}, "node-5")
	narrow.Prefixes = []bgp.PrefixRule{rule("10.0.2.0/23", 24, 24)}
	choices := [][]bgp.Relay{
		nil,
		{relayTo(bgp.Attributes{}, "node-4")},
		{relayTo(bgp.Attributes{}, "node-4", "node-5")},
		{relayTo(bgp.Attributes{MED: &med}, "node-4", "node-5")},
		{unchanged(relayTo(bgp.Attributes{}, "node-4"), "127.0.2.2/32"), narrow},
		{unchanged(relayTo(bgp.Attributes{}, "node-4", "node-5"), "127.0.2.3/32", "127.0.2.2/32")},
	}
	told := map[int]map[string]bool{2: {}, 3: {}}
	for range 40 {
		node, prefix := 2+random.IntN(2), []string{pods2, pods3, shared}[random.IntN(3)]
		if random.IntN(2) == 0 {
			told[node][prefix] = !told[node][prefix]
			var with *bgp.Attributes
			if told[node][prefix] {
				with = &bgp.Attributes{}
			}
			f.originate(node, prefix, with)
			f.apply(node)
		} else {
			f.want(gateway).Relays = choices[random.IntN(len(choices))]
			f.apply(gateway)
		}
		f.relayed(told)
	}
	if after := f.since(); after != before {
		t.Errorf("sessions were\n%sare\n%s", before, after)
	}
}

// relayed waits until the routers hear what the relays say. Of equal paths that of the least router ID is best.
func (f *fabric) relayed(told map[int]map[string]bool) {
	f.t.Helper()
	for _, router := range []int{tor, core} {
		lines := map[string]string{}
		for _, r := range f.want(gateway).Relays {
			for _, prefix := range []string{pods2, pods3, shared} {
				best := 2
				if !told[2][prefix] {
					best = 3
				}
				hears := slices.Contains(r.Exports[0].To, fmt.Sprintf("node-%d", router)) && r.Prefixes[0].Matches(netip.MustParsePrefix(prefix))
				via := gateway
				if len(r.NextHops) > 0 {
					via = best
					hears = hears && slices.ContainsFunc(r.NextHops, func(p netip.Prefix) bool { return p.Contains(f.addr(best)) })
				}
				if !told[best][prefix] || !hears {
					continue
				}
				lines[prefix] = fmt.Sprintf("%s origin 0 via 127.0.2.%d", prefix, via)
				if m := r.Exports[0].Attributes.MED; m != nil {
					lines[prefix] += fmt.Sprintf(" med %d", *m)
				}
			}
		}
		var want []string
		for _, line := range lines {
			want = append(want, line)
		}
		f.hears(router, gateway, want...)
	}
}

// TestAReflectorPassesOnToRoutersToo: what a client tells bears both kinds of marks, and none of them leaves.
func TestAReflectorPassesOnToRoutersToo(t *testing.T) {
	const reflector = 2
	f := newFabric(t, 4)
	f.link(1, bgp.Client, reflector, bgp.NoReflection)
	f.link(3, bgp.Client, reflector, bgp.NoReflection)
	f.want(tor).Config.ASN = ourASN + 100*tor
	ours, theirs := f.peer(reflector, tor, bgp.NoReflection), f.peer(tor, reflector, bgp.NoReflection)
	ours.ASN = f.want(tor).Config.ASN
	f.want(reflector).Peers, f.want(tor).Peers = append(f.want(reflector).Peers, ours), []bgp.Peer{theirs}
	with := []bgp.LargeCommunity{{GlobalAdmin: 65000, Local1: 1, Local2: 2}}
	f.originate(1, pods1, &bgp.Attributes{LargeCommunities: with})
	relay := relayTo(bgp.Attributes{}, "node-4")
	relay.From = []string{"node-1", "node-3"}
	f.want(reflector).Relays = []bgp.Relay{relay}
	f.apply(1, 2, 3, 4)
	f.up()
	f.hears(3, reflector, passed(pods1, 1, reflector)+" large 65000:1:2")
	f.hears(tor, reflector, pods1+" origin 0 via 127.0.2.2 large 65000:1:2")
	before := f.since()
	f.want(reflector).Relays = nil
	f.apply(reflector)
	f.hears(tor, reflector)
	f.part(reflector, 1, bgp.NoReflection)
	f.want(reflector).Relays = []bgp.Relay{unchanged(relay, "127.0.2.1/32")}
	f.apply(reflector)
	f.hears(tor, reflector, pods1+" origin 0 via 127.0.2.1 large 65000:1:2")
	f.hears(3, reflector)
	if after := f.since(); after != before {
		t.Errorf("sessions were\n%sare\n%s", before, after)
	}
}
