package gobgp

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/protobuf/proto"

	"github.com/fairway-bgp/fairway/bgp"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func classOf(family bgp.Family, pairs ...string) class {
	c := class{family: family, members: map[netip.Addr]member{}}
	for i := 0; i < len(pairs); i += 2 {
		c.members[addr(pairs[i])] = member{nextHop: addr(pairs[i+1])}
	}
	return c
}

func audienceOf(c class, prefixes ...string) audience {
	a := audience{key: c.key(nil), class: c}
	for _, p := range prefixes {
		a.prefixes = append(a.prefixes, netip.MustParsePrefix(p))
	}
	return a
}

// GoBGP takes an empty set of neighbors for all of them.
func TestNoSetOfThePolicyIsEverEmpty(t *testing.T) {
	p := policy{asn: 65000,
		imports: map[netip.Addr]imported{
			addr("192.0.2.1"): {},
			addr("192.0.2.2"): {rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}, relays: []int{1, 3}},
			addr("192.0.2.3"): {rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}, from: bgp.Client, mark: 1},
			addr("192.0.2.4"): {rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}, from: bgp.NonClient, mark: 2},
		},
		classes: map[int]class{1: classOf(bgp.IPv4Unicast), 2: classOf(bgp.IPv6Unicast, "192.0.2.1", "2001:db8::1")},
		reflected: map[int]reflected{
			1: {from: bgp.Client},
			2: {from: bgp.NonClient, deaf: map[netip.Addr]bool{addr("192.0.2.1"): true, addr("192.0.2.4"): true}},
		},
		relays: map[int]relay{
			1: {class: classOf(bgp.IPv4Unicast, "192.0.2.1", "192.0.2.9"), rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}},
			2: {class: classOf(bgp.IPv4Unicast), rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}},
			3: {class: classOf(bgp.IPv6Unicast, "192.0.2.1", "2001:db8::1"), rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8, 8)}},
		},
	}
	for _, p := range []policy{{}, p, p.with(policy{}), policy{}.with(p)} {
		request := p.request()
		sets := map[string]bool{}
		for _, set := range request.DefinedSets {
			if len(set.List) == 0 && len(set.Prefixes) == 0 {
				t.Errorf("set %s is empty", set.Name)
			}
			sets[set.Name] = true
		}
		for _, policy := range request.Policies {
			for _, s := range policy.Statements {
				for _, match := range []*api.MatchSet{s.Conditions.NeighborSet, s.Conditions.PrefixSet, s.Conditions.LargeCommunitySet, s.Conditions.AsPathSet} {
					if match != nil && !sets[match.Name] {
						t.Errorf("statement %s refers to %s, which does not exist", s.Name, match.Name)
					}
				}
				if policy.Name == exportPolicy && s.Actions.RouteAction != api.RouteAction_REJECT && !exportsWhatIsMeant(s) {
					t.Errorf("statement %s exports too much: %v", s.Name, s.Conditions)
				}
			}
		}
	}
}

// exportsWhatIsMeant: a class of ours or a relay to named peers, or what a neighbor of our AS told and we
// have marked to be reflected.
func exportsWhatIsMeant(s *api.Statement) bool {
	switch s.Conditions.RouteType {
	case api.Conditions_ROUTE_TYPE_LOCAL:
		return s.Conditions.NeighborSet != nil && s.Conditions.LargeCommunitySet != nil
	case api.Conditions_ROUTE_TYPE_INTERNAL:
		relayed := strings.HasPrefix(s.Name, "relay-")
		return s.Conditions.LargeCommunitySet != nil && s.Actions.LargeCommunity != nil && (!relayed || s.Conditions.NeighborSet != nil)
	}
	return false
}

func TestEqualPoliciesRenderAlike(t *testing.T) {
	p := policy{asn: 65000, imports: map[netip.Addr]imported{}, classes: map[int]class{}, reflected: map[int]reflected{}}
	for i := range byte(40) {
		a := netip.AddrFrom4([4]byte{192, 0, 2, i})
		p.imports[a] = imported{rules: []bgp.PrefixRule{rule("10.0.0.0/8", 8+i%3, 32)}, from: bgp.Client, mark: int(i % 2)}
		p.reflected[int(i)+1] = reflected{from: bgp.Client, deaf: map[netip.Addr]bool{a: true, addr("192.0.2.200"): true}}
		p.classes[int(i)+1] = class{family: bgp.IPv4Unicast, members: map[netip.Addr]member{a: {nextHop: addr("198.51.100.1")}, addr("192.0.2.200"): {nextHop: addr("198.51.100.2")}}}
	}
	first := p.request()
	for range 10 {
		if !proto.Equal(first, policy{asn: p.asn, imports: maps.Clone(p.imports), classes: maps.Clone(p.classes), reflected: maps.Clone(p.reflected)}.request()) {
			t.Fatal("two renderings differ")
		}
	}
}

func TestTheTransitionLetsThroughWhatEitherSideDoes(t *testing.T) {
	old := policy{asn: 1, classes: map[int]class{
		1: classOf(bgp.IPv4Unicast, "192.0.2.1", "198.51.100.1", "192.0.2.2", "198.51.100.1"),
		2: classOf(bgp.IPv4Unicast, "192.0.2.2", "198.51.100.1"),
	}}
	next := policy{asn: 1, classes: map[int]class{
		1: classOf(bgp.IPv4Unicast, "192.0.2.1", "198.51.100.9", "192.0.2.3", "198.51.100.3"),
		3: classOf(bgp.IPv4Unicast, "192.0.2.2", "198.51.100.1"),
	}}
	got := old.with(next)
	want := map[int]class{
		1: classOf(bgp.IPv4Unicast, "192.0.2.1", "198.51.100.9", "192.0.2.2", "198.51.100.1", "192.0.2.3", "198.51.100.3"),
		2: old.classes[2],
		3: next.classes[3],
	}
	if !maps.EqualFunc(got.classes, want, func(a, b class) bool { return maps.Equal(a.members, b.members) }) {
		t.Errorf("got %v, want %v", got.classes, want)
	}
	if len(old.classes[1].members) != 2 {
		t.Error("the old policy was changed in place")
	}
}

func TestClassNumbersStayWhileTheSamePeersThatStayHearThem(t *testing.T) {
	const nh = "198.51.100.1"
	a, b := "192.0.2.1", "192.0.2.2"
	old := map[int]class{1: classOf(bgp.IPv4Unicast, a, nh), 2: classOf(bgp.IPv4Unicast, a, nh, b, nh)}
	none := map[netip.Addr]bool{}
	is := func(s string) map[netip.Addr]bool { return map[netip.Addr]bool{addr(s): true} }
	for _, test := range []struct {
		name        string
		now         []audience
		fresh, gone map[netip.Addr]bool
		want        map[string]int
	}{
		{"nothing changed", []audience{audienceOf(old[1], "10.1.0.0/24"), audienceOf(old[2], "10.2.0.0/24")}, none, none,
			map[string]int{"10.1.0.0/24": 1, "10.2.0.0/24": 2}},
		{"another next hop", []audience{audienceOf(classOf(bgp.IPv4Unicast, a, "198.51.100.9"), "10.1.0.0/24")}, none, none,
			map[string]int{"10.1.0.0/24": 1}},
		{"another audience among those that stay", []audience{audienceOf(classOf(bgp.IPv4Unicast, b, nh), "10.1.0.0/24")}, none, none,
			map[string]int{"10.1.0.0/24": 3}},
		{"a peer that is new", []audience{audienceOf(classOf(bgp.IPv4Unicast, a, nh, "192.0.2.3", nh), "10.1.0.0/24")}, is("192.0.2.3"), none,
			map[string]int{"10.1.0.0/24": 1}},
		{"a peer that leaves", []audience{audienceOf(classOf(bgp.IPv4Unicast, b, nh), "10.2.0.0/24")}, none, is(a),
			map[string]int{"10.2.0.0/24": 2}},
		{"two that become alike but for the new one", []audience{
			audienceOf(old[1], "10.1.0.0/24"),
			audienceOf(classOf(bgp.IPv4Unicast, a, nh, "192.0.2.3", nh), "10.3.0.0/24"),
		}, is("192.0.2.3"), none, map[string]int{"10.1.0.0/24": 1, "10.3.0.0/24": 3}},
		{"the other family", []audience{audienceOf(classOf(bgp.IPv6Unicast, a, "2001:db8::1"), "2001:db8:1::/64")}, none, none,
			map[string]int{"2001:db8:1::/64": 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			classes, numbers := number(old, test.now, test.fresh, test.gone)
			got := map[string]int{}
			for prefix, n := range numbers {
				got[prefix.String()] = n
				if _, ok := classes[n]; !ok {
					t.Errorf("%s is in class %d, which does not exist", prefix, n)
				}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestANestedRuleRepeatsWhatTheWiderOnesAllow(t *testing.T) {
	rules, err := normalRules([]bgp.PrefixRule{rule("10.1.0.0/16", 28, 28), rule("10.0.0.0/8", 12, 24), rule("2001:db8::/32", 0, 255)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range []bgp.Family{bgp.IPv4Unicast, bgp.IPv6Unicast} {
		for _, p := range prefixSet(rules, family) {
			got = append(got, bgp.PrefixRule{Prefix: netip.MustParsePrefix(p.IpPrefix), MinLength: uint8(p.MaskLengthMin), MaxLength: uint8(p.MaskLengthMax)}.String())
		}
	}
	want := []string{"10.0.0.0/8 ge 12 le 24", "10.1.0.0/16 ge 16 le 24", "10.1.0.0/16 ge 28 le 28", "2001:db8::/32 ge 32 le 128"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALinkBandwidthBearsASTransForALongASNumber(t *testing.T) {
	for asn, want := range map[uint32]string{65000: "lb:65000:375000", 65536: "lb:23456:375000"} {
		if got := linkBandwidth(asn, 375_000); got != want {
			t.Errorf("AS %d: got %s, want %s", asn, got, want)
		}
	}
}
