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

// leave has a prefix that was announced stay, if it can be served, until those nodes that are
// to announce it have been ready for it long enough.
func (g *gate) leave(p *plan.Plan, prefix netip.Prefix, now time.Time) {
	since := g.others[prefix]
	if since.IsZero() {
		since = now
	}
	until := since.Add(p.Readiness.Delay + handoverTime)
	if audience := p.Handover(prefix); audience != nil && now.Before(until) {
		g.leaving[prefix] = leaver{until, audience}
	}
}

// lookElsewhere notes since when others are ready for what this node might hand over to them.
func (g *gate) lookElsewhere(p *plan.Plan, now time.Time) {
	for prefix, since := range g.others {
		switch local, ready := p.Elsewhere(prefix); {
		case !local:
			delete(g.others, prefix)
		case !ready:
			g.others[prefix] = time.Time{}
		case since.IsZero():
			g.others[prefix] = now
		}
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
