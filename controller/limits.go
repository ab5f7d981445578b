package controller

import (
	"fmt"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

// limitProblems names the peers that tell more prefixes than they should. Where that ends the
// session, the session says so.
func (l *Loop) limitProblems(sessions []bgp.Session) []report.Problem {
	limits := map[string]bgp.PrefixLimit{}
	for _, p := range l.plan.Desired.Peers {
		limits[p.Name] = p.Limit
	}
	var out []report.Problem
	for _, s := range sessions {
		limit := limits[s.Peer]
		if limit.Max == 0 || limit.Shutdown {
			continue
		}
		for _, f := range s.Families {
			if f.Received > limit.Max {
				out = append(out, report.Problem{
					Kind: v1alpha1.KindBGPPeer, Name: plan.ObjectOf(s.Peer), Subject: s.Address.String(), Reason: report.ReasonMaxPrefixes,
					Message: fmt.Sprintf("%s tells more than %d prefixes of %s, its maxPrefixes; maxPrefixesAction is Warn, so the session stays", s.Address, limit.Max, f.Family),
				})
			}
		}
	}
	return out
}
