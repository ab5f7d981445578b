package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// TestAPlanMadeAgainIsTheWholePlan changes Services at random, shared addresses, unreadable
// ones and pod CIDRs among them, and demands that the plan made from the last one is what a
// whole Build gives, whether or not the source tells what changed; and that the plan tells
// rightly which prefixes did.
func TestAPlanMadeAgainIsTheWholePlan(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	snap, local := large()
	snap.Nodes = map[string]*snapshot.Node{"node-0": snap.Nodes["node-0"]}
	snap.Nodes["node-0"].PodCIDRs = append(snap.Nodes["node-0"].PodCIDRs, netip.MustParsePrefix("172.16.0.3/32"))
	snap.Services = map[string]*snapshot.Service{}
	p := plan.Build(snap, local, nil)
	for step := range 2000 {
		next := *snap
		next.Services = maps.Clone(snap.Services)
		told := &snapshot.ServiceChanges{From: snap.Services}
		for range 1 + r.IntN(3) {
			key := fmt.Sprintf("default/service-%d", r.IntN(30))
			told.Keys = append(told.Keys, key)
			switch r.IntN(4) {
			case 0:
				delete(next.Services, key)
			case 1:
				next.Services[key] = &snapshot.Service{Problems: []string{"unreadable"}}
			default:
				next.Services[key] = service(r.IntN(10)) // so that several share an address
			}
		}
		next.ServiceChanges = nil
		switch r.IntN(4) {
		case 0:
		case 1:
			next.ServiceChanges = &snapshot.ServiceChanges{From: maps.Clone(snap.Services)} // of another map, so it counts for nothing
		default:
			next.ServiceChanges = told
		}
		before := p.Desired.Advertisements
		snap = &next
		p = plan.Build(snap, local, p)
		demandChanges(t, before, p.Desired)
		if got, want := p.String(), plan.Build(snap, local, nil).String(); got != want {
			t.Fatalf("step %d: made again\n%s\nwhole\n%s", step, got, want)
		}
	}
}

// demandChanges demands that all prefixes that were told to be the same are.
func demandChanges(t *testing.T, before map[netip.Prefix]*bgp.Audience, now bgp.Desired) {
	t.Helper()
	if now.Changes == nil {
		return
	}
	was, is := maps.Clone(now.Changes.From), maps.Clone(now.Advertisements)
	if !maps.Equal(was, before) {
		t.Fatal("the changes are not those since the last plan")
	}
	for prefix := range now.Changes.Prefixes {
		delete(was, prefix)
		delete(is, prefix)
	}
	if !maps.Equal(was, is) {
		t.Fatalf("beside %v there changed more, from %v to %v", now.Changes.Prefixes, was, is)
	}
}

// TestAPlanMadeTwiceFromTheSameLastOneIsTheSame: what a plan shares with the last one must not
// change the last one.
func TestAPlanMadeTwiceFromTheSameLastOneIsTheSame(t *testing.T) {
	snap, local := large()
	last := plan.Build(snap, local, nil)
	text := last.String()
	for i := range 3 {
		next := *snap
		next.Services = maps.Clone(snap.Services)
		next.Services["default/service-1"] = service(7) // that of another one
		delete(next.Services, "default/service-2")
		delete(next.Services, "default/service-7")
		if got, want := plan.Build(&next, local, last).String(), plan.Build(&next, local, nil).String(); got != want {
			t.Errorf("made from the last plan the time %d, it differs from the whole", i+1)
		}
	}
	if last.String() != text {
		t.Error("the last plan has changed")
	}
}
