package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/controller/report"
)

const (
	// loopPeriod is how often it is looked for loops in what peers tell though no count has changed, and
	// lookPeriod how often for each thousand prefixes that are looked through though counts change all the time:
	// to look holds up the speaker, some milliseconds for each thousand.
	loopPeriod, lookPeriod = time.Minute, 10 * time.Second

	reasonOwnAS = "OwnASInPath"
)

// looped is what was last seen to be refused for our own AS number.
type looped struct {
	at    time.Time
	of    []int // what the sessions told and had accepted then
	found []bgp.Loops
}

// loopProblems names the peers that tell prefixes with our own AS number in their path, where no other
// path leads: nobody reaches those, and nothing else says why.
func (l *Loop) loopProblems(ctx context.Context, now time.Time, sessions []bgp.Session) []report.Problem {
	var counts []int
	refused, looked := false, 0
	for _, s := range sessions {
		for _, f := range s.Families {
			counts = append(counts, f.Received, f.Accepted)
			if f.Received > f.Accepted {
				refused = true
				if f.Received <= bgp.MaxLooked {
					looked += f.Received
				}
			}
		}
	}
	if !refused {
		l.looped.of, l.looped.found = nil, nil
		return nil
	}
	period := lookPeriod * time.Duration(1+looked/1000)
	if slices.Equal(counts, l.looped.of) {
		period = max(period, loopPeriod)
	}
	if now.Sub(l.looped.at) >= period {
		ours := func(p netip.Prefix) bool {
			_, is := l.plan.Desired.Advertisements.Get(p)
			return is
		}
		found, err := l.Speaker.Loops(ctx, sessions, ours)
		if err != nil {
			found = l.looped.found // it is asked again
		}
		l.looped = looped{now, counts, found}
	}
	var out []report.Problem
	for _, loops := range l.looped.found {
		out = append(out, report.Problem{
			Kind: v1alpha1.KindBGPPeer, Name: plan.ObjectOf(loops.Peer), Subject: loops.First.String(), Reason: reasonOwnAS, Message: inWords(loops),
		})
	}
	return out
}

func inWords(l bgp.Loops) string {
	path := strings.Trim(fmt.Sprint(l.ASPath), "[]")
	return fmt.Sprintf("%s tells %d prefixes with our own AS number in their path, such as %s (AS path %s), which are refused as loops, and no other path leads there: "+
		"set allowOwnAS: 1 on the BGPPeer, give each rack an AS number of its own, or have the router replace the number (as-override)", l.Peer, l.Prefixes, l.First, path)
}
