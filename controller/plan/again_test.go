package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/snapshot"
)

// TestAPlanMadeAgainIsTheWholePlan changes Services at random, shared addresses, unreadable
// ones and pod CIDRs among them, and demands that the plan made from the last one is what a
// whole Build gives.
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
		for range 1 + r.IntN(3) {
			key := fmt.Sprintf("default/service-%d", r.IntN(30))
			switch r.IntN(4) {
			case 0:
				delete(next.Services, key)
			case 1:
				next.Services[key] = &snapshot.Service{Problems: []string{"unreadable"}}
			default:
				next.Services[key] = service(r.IntN(10)) // so that several share an address
			}
		}
		snap = &next
		p = plan.Build(snap, local, p)
		if got, want := p.String(), plan.Build(snap, local, nil).String(); got != want {
			t.Fatalf("step %d: made again\n%s\nwhole\n%s", step, got, want)
		}
	}
}
