package controller

import (
	"net/netip"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
)

// handoverTime is how much longer than the delay an address is announced that other nodes take
// over: kube-proxy programs its rules there at most once a second, and then is asked.
const handoverTime = 2 * time.Second

// leaver is a prefix that is no longer wanted and that this node can still serve.
type leaver struct {
	until    time.Time
	audience *bgp.Audience
}

// leave has a prefix that was announced stay for a while, if it can be.
func (g *gate) leave(p *plan.Plan, prefix netip.Prefix, now time.Time) {
	if audience := p.Handover(prefix); audience != nil {
		g.leaving[prefix] = leaver{now.Add(p.Readiness.Delay + handoverTime), audience}
	}
}

// handOver withdraws what this node no longer serves, and what others have had the time to announce.
func (g *gate) handOver(p *plan.Plan, now time.Time) {
	for prefix, l := range g.leaving {
		audience := p.Handover(prefix)
		switch {
		case audience == nil || !now.Before(l.until):
			delete(g.leaving, prefix)
		case audience != l.audience:
			g.leaving[prefix] = leaver{l.until, audience}
		default:
			continue
		}
		g.touched = append(g.touched, prefix)
	}
}

// dropLeaving has nothing stay any longer.
func (g *gate) dropLeaving() {
	for prefix := range g.leaving {
		delete(g.leaving, prefix)
		g.touched = append(g.touched, prefix)
	}
}
