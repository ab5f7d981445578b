package controller

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

// sessionProblems names what only a session shows: a peer that tells more prefixes than it
// should, and one that does not take the next hop that is there for it, or lacks ADD-PATH. Where the first ends
// the session, the session says so.
func (l *Loop) sessionProblems(sessions []bgp.Session) []report.Problem {
	peers := map[string]bgp.Peer{}
	for _, p := range l.plan.Desired.Peers {
		if p.Limit.Max > 0 && !p.Limit.Shutdown || p.Lends(bgp.IPv4Unicast) || p.AddPaths != (bgp.AddPaths{}) {
			peers[p.Name] = p
		}
	}
	var out []report.Problem
	for _, s := range sessions {
		p, concerned := peers[s.Peer]
		if !concerned || s.State != bgp.Established {
			continue
		}
		add := func(reason, message string) {
			out = append(out, report.Problem{
				Kind: v1alpha1.KindBGPPeer, Name: plan.ObjectOf(s.Peer), Subject: s.Address.String(), Reason: reason, Message: message,
			})
		}
		for _, f := range s.Families {
			if p.Limit.Max > 0 && !p.Limit.Shutdown && f.Received > p.Limit.Max {
				add(report.ReasonMaxPrefixes, fmt.Sprintf("%s tells more than %d prefixes of %s, its maxPrefixes; maxPrefixesAction is Warn, so the session stays",
					s.Address, p.Limit.Max, f.Family))
			}
		}
		if p.Lends(bgp.IPv4Unicast) && slices.Contains(p.Families, bgp.IPv4Unicast) && !s.ExtendedNextHop {
			add(plan.ReasonNoNextHop, fmt.Sprintf("nothing of IPv4Unicast is advertised to %s: this node has no IPv4 address on the link to it, "+
				"and it does not take IPv6 next hops for IPv4 (RFC 8950)", s.Address))
		}
		if lacks := lacksAddPaths(p.AddPaths, s); lacks != "" {
			add(report.ReasonAddPathsRefused, lacks)
		}
	}
	return out
}

// lacksAddPaths says what a peer does not offer of the several paths to a prefix that it was offered.
func lacksAddPaths(wanted bgp.AddPaths, s bgp.Session) string {
	var sends, receives []string
	for _, f := range s.Families {
		if wanted.Receive && !f.ReceivesPaths {
			sends = append(sends, f.Family.String())
		}
		if wanted.SendMax > 0 && !f.SendsPaths {
			receives = append(receives, f.Family.String())
		}
	}
	var parts []string
	if len(sends) > 0 {
		parts = append(parts, fmt.Sprintf("does not send several paths to a prefix of %s, so that addPaths.receive has no effect (in FRR neighbor addpath-tx-all-paths, "+
			"in BIRD add paths tx)", strings.Join(sends, " and ")))
	}
	if len(receives) > 0 {
		parts = append(parts, fmt.Sprintf("does not receive several paths to a prefix of %s, so that addPaths.sendMax has no effect", strings.Join(receives, " and ")))
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s; its OPEN does not offer that (ADD-PATH, RFC 7911)", s.Address, strings.Join(parts, ", and "))
}
