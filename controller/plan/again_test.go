package plan_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// TestAPlanMadeAgainIsTheWholePlan changes Services at random, shared addresses, unreadable
// ones and pod CIDRs among them, and demands that the plan made from the last one is what a
// whole Build gives, and counts as much.
func TestAPlanMadeAgainIsTheWholePlan(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Nodes["node-0"].PodCIDRs = append(snap.Nodes["node-0"].PodCIDRs, netip.MustParsePrefix("172.16.0.3/32"))
	snap.Services = snapshot.Services{}
	p := plan.Build(snap, local, nil)
	for step := range 2000 {
		next, services := *snap, snap.Services.Edit()
		for range 1 + r.IntN(3) {
			key := fmt.Sprintf("default/service-%d", r.IntN(30))
			switch r.IntN(4) {
			case 0:
				services.Delete(key)
			case 1:
				services.Set(key, &snapshot.Service{Problems: []string{"unreadable"}})
			default:
				services.Set(key, service(r.IntN(10))) // so that several share an address
			}
		}
		next.Services = services.Map()
		snap = &next
		p = plan.Build(snap, local, p)
		whole := plan.Build(snap, local, nil)
		if got, want := p.String(), whole.String(); got != want {
			t.Fatalf("step %d: made again\n%s\nwhole\n%s", step, got, want)
		}
		up := func(string) bool { return true }
		if got, want := p.Said(up), whole.Said(up); !slices.Equal(got, want) {
			t.Fatalf("step %d: made again, it says %v; whole, %v", step, got, want)
		}
	}
}

// TestAnObjectThatCannotBeReadIsNotAccepted: its last readable form stays at work.
func TestAnObjectThatCannotBeReadIsNotAccepted(t *testing.T) {
	snap, local := large()
	p := plan.Build(snap, local, nil)
	spoilt := *snap
	spoilt.Unreadable = []snapshot.Unreadable{{Kind: "BGPPeer", Name: "tor-0", Message: "asn must be a number"}}
	var lines []string
	for _, s := range []*snapshot.Snapshot{&spoilt, snap} {
		p = plan.Build(s, local, p)
		for line := range strings.Lines(p.String()) {
			if strings.HasPrefix(line, "peer ") || strings.HasPrefix(line, "not accepted") {
				lines = append(lines, strings.Join(strings.Fields(line)[:3], " "))
			}
		}
		for _, v := range p.Verdicts {
			if v.Object.Name == "tor-0" {
				lines = append(lines, v.Reason)
			}
		}
	}
	got := strings.Join(lines, "; ")
	want := "peer tor-0/192.0.2.1 asn; peer tor-1/192.0.2.2 asn; not accepted BGPPeer/tor-0; Invalid; peer tor-0/192.0.2.1 asn; peer tor-1/192.0.2.2 asn; Accepted"
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestAPlanMadeTwiceFromTheSameLastOneIsTheSame: what a plan shares with the last one must not
// change the last one.
func TestAPlanMadeTwiceFromTheSameLastOneIsTheSame(t *testing.T) {
	snap, local := large()
	last := plan.Build(snap, local, nil)
	text := last.String()
	for i := range 3 {
		next, services := *snap, snap.Services.Edit()
		services.Set("default/service-1", service(7)) // that of another one
		services.Delete("default/service-2")
		services.Delete("default/service-7")
		next.Services = services.Map()
		if got, want := plan.Build(&next, local, last).String(), plan.Build(&next, local, nil).String(); got != want {
			t.Errorf("made from the last plan the time %d, it differs from the whole", i+1)
		}
	}
	if last.String() != text {
		t.Error("the last plan has changed")
	}
}
