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

// From every state to every other, at random: what is heard and learned depends only on the
// last Apply, and no session is ever reset.
func TestWhatPeersHearAndTellDependsOnlyOnTheLastApply(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	r := newRig(t, Options{})
	w := randomWorld{Rand: random, rig: r}
	want := w.desired()
	r.apply(want)
	var peers []*fakePeer
	for n := 1; n <= connected; n++ {
		p := r.connect(r.fake(n))
		for _, prefix := range told(n) {
			p.announce(t, prefix, p.asn)
		}
		peers = append(peers, p)
	}
	for step := range 60 {
		if step > 0 {
			if want = w.other(want); w.IntN(2) == 0 {
				want = w.desired()
			}
			r.apply(want)
		}
		for i, p := range peers {
			r.hears(p, expectedToHear(want, want.Peers[i])...)
		}
		learned := expectedToLearn(want)
		r.learns(learned...)
		slices.Sort(learned)
		if got := r.listed(); got != strings.Join(learned, "\n") {
			t.Fatalf("step %d: the RIB lists\n%s\nwant\n%s", step, got, strings.Join(learned, "\n"))
		}
		r.counts(want, peers...)
		r.stillAlive(peers...)
		if t.Failed() {
			t.Fatalf("step %d", step)
		}
	}
}

const (
	connected = 3 // peers that are there throughout and have a session
	strangers = 3 // peers that come and go and never connect
)

// told is what peer n announces, its own in every case so that no two compete.
func told(n int) []string {
	return []string{
		fmt.Sprintf("10.%d.0.0/16", n), fmt.Sprintf("10.%d.1.0/24", n), fmt.Sprintf("10.%d.1.128/25", n),
		fmt.Sprintf("10.%d.1.200/32", n), fmt.Sprintf("2001:db8:%d::/48", n), fmt.Sprintf("2001:db8:%d:1::/64", n),
	}
}

type randomWorld struct {
	*rand.Rand
	rig *rig
}

func (w randomWorld) desired() bgp.Desired {
	want := bgp.Desired{Config: w.rig.config()}
	var told []advert
	var names []string
	for n := 1; n <= connected+strangers; n++ {
		if n > connected && w.IntN(2) == 0 {
			continue
		}
		p := w.rig.peer(n)
		p.Import = w.rules()
		p.NextHops.IPv4 = netip.AddrFrom4([4]byte{192, 0, 2, byte(w.IntN(3))})
		if w.IntN(3) == 0 {
			p.NextHops.IPv6 = netip.Addr{}
		}
		names = append(names, p.Name)
		want.Peers = append(want.Peers, p)
	}
	for _, prefix := range []string{"172.16.1.0/24", "172.16.2.0/24", "172.16.3.0/24", "fd00:1::/64", "fd00:2::/64"} {
		if w.IntN(4) == 0 {
			continue
		}
		// Some peers hear it with one set of attributes, others with another, others not at all.
		exports := []bgp.Export{{Attributes: w.attributes()}, {Attributes: w.attributes()}}
		for _, name := range names {
			if i := w.IntN(3); i < len(exports) {
				exports[i].To = append(exports[i].To, name)
			}
		}
		told = append(told, advert{prefix, &bgp.Audience{Exports: exports}})
	}
	want.Advertisements = ads(told...)
	return want
}

// other changes nothing but prefixes, among audiences that are there.
func (w randomWorld) other(want bgp.Desired) bgp.Desired {
	var audiences []*bgp.Audience
	for prefix, audience := range want.Advertisements.All() {
		if prefix.Addr().Is4() {
			audiences = append(audiences, audience)
		}
	}
	draft := want.Advertisements.Edit()
	for i := range 4 {
		prefix := netip.MustParsePrefix(fmt.Sprintf("172.17.%d.0/24", i))
		draft.Delete(prefix)
		if len(audiences) > 0 && w.IntN(2) == 0 {
			draft.Set(prefix, audiences[w.IntN(len(audiences))])
		}
	}
	want.Advertisements = draft.Map()
	return want
}

func (w randomWorld) attributes() bgp.Attributes {
	var a bgp.Attributes
	if w.IntN(2) == 0 {
		a.Communities = []bgp.Community{65000<<16 | 1, bgp.Community(65000<<16 + w.IntN(3) + 2)}
	}
	if w.IntN(2) == 0 {
		a.LargeCommunities = []bgp.LargeCommunity{{GlobalAdmin: 65000, Local1: 1, Local2: w.Uint32N(2)}}
	}
	if w.IntN(2) == 0 {
		med := w.Uint32N(2)
		a.MED = &med
	}
	a.Prepend = uint8(w.IntN(3))
	a.LinkBandwidth = 125_000 * float32(w.IntN(3))
	return a
}

// rules nests, so that the wider ones have to count inside the narrower ones.
func (w randomWorld) rules() []bgp.PrefixRule {
	all := []bgp.PrefixRule{
		rule("10.0.0.0/8", 16, 24), rule("10.1.0.0/16", 25, 32), rule("10.1.1.0/24", 24, 24), rule("10.2.1.0/24", 26, 32),
		rule("0.0.0.0/0", 25, 25), rule("2001:db8::/32", 48, 48), rule("2001:db8:1::/48", 64, 64), rule("::/0", 0, 128),
	}
	w.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:w.IntN(5)]
}

func expectedToHear(want bgp.Desired, p bgp.Peer) []string {
	var lines []string
	for prefix, audience := range want.Advertisements.All() {
		for _, export := range audience.Exports {
			if nh := p.NextHops.For(bgp.FamilyOf(prefix.Addr())); nh.IsValid() && slices.Contains(export.To, p.Name) {
				lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s via %s %s", prefix, nh, export.Attributes), " "))
			}
		}
	}
	return lines
}

func expectedToLearn(want bgp.Desired) []string {
	var lines []string
	for n := 1; n <= connected; n++ {
		p := want.Peers[n-1]
		for _, prefix := range told(n) {
			parsed := netip.MustParsePrefix(prefix)
			if slices.ContainsFunc(p.Import, func(r bgp.PrefixRule) bool { return r.Matches(parsed) }) {
				nextHop := p.Address.String()
				if parsed.Addr().Is6() {
					nextHop = "2001:db8::99"
				}
				lines = append(lines, fmt.Sprintf("%s %s@%s", prefix, nextHop, p.Name))
			}
		}
	}
	return lines
}

// counts compares what the sessions say is advertised with what the peers hear.
func (r *rig) counts(want bgp.Desired, peers ...*fakePeer) {
	r.t.Helper()
	sessions, err := r.Sessions(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	for i, p := range peers {
		advertised := 0
		for _, s := range sessions {
			for _, f := range s.Families {
				if s.Peer == want.Peers[i].Name {
					advertised += f.Advertised
				}
			}
		}
		p.mu.Lock()
		heard := len(p.heard)
		p.mu.Unlock()
		if advertised != heard {
			r.t.Errorf("%s hears %d prefixes, the session counts %d", want.Peers[i].Name, heard, advertised)
		}
	}
}
