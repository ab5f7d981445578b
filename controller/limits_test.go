package controller

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/bgp"
	"github.com/fairway-bgp/fairway/controller/plan"
)

func TestWhatAPeerLacksOfSeveralPathsIsSaid(t *testing.T) {
	const sends, receives = "does not send several paths", "does not receive several paths"
	both := []bgp.FamilySession{{Family: bgp.IPv4Unicast, ReceivesPaths: true, SendsPaths: true}, {Family: bgp.IPv6Unicast, ReceivesPaths: true, SendsPaths: true}}
	half := []bgp.FamilySession{{Family: bgp.IPv4Unicast, ReceivesPaths: true, SendsPaths: true}, {Family: bgp.IPv6Unicast}}
	none := []bgp.FamilySession{{Family: bgp.IPv4Unicast}}
	for _, c := range []struct {
		name     string
		wanted   bgp.AddPaths
		state    bgp.SessionState
		families []bgp.FamilySession
		says     string // all of it; "": nothing is wrong
		and      string
	}{
		{"all there", bgp.AddPaths{Receive: true, SendMax: 2}, bgp.Established, both, "", ""},
		{"not asked for", bgp.AddPaths{}, bgp.Established, none, "", ""},
		{"not up", bgp.AddPaths{Receive: true}, bgp.Active, none, "", ""},
		{"sends none", bgp.AddPaths{Receive: true}, bgp.Established, none, sends + " to a prefix of IPv4Unicast", "addpath-tx-all-paths"},
		{"sends one family", bgp.AddPaths{Receive: true}, bgp.Established, half, sends + " to a prefix of IPv6Unicast,", ""},
		{"receives none", bgp.AddPaths{SendMax: 2}, bgp.Established, none, receives + " to a prefix of IPv4Unicast", "addPaths.sendMax"},
		{"neither", bgp.AddPaths{Receive: true, SendMax: 2}, bgp.Established, none, sends, receives},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &Loop{plan: &plan.Plan{}}
			l.plan.Desired.Peers = []bgp.Peer{{Name: "tor/192.0.2.1", AddPaths: c.wanted}}
			problems := l.sessionProblems([]bgp.Session{{
				Peer: "tor/192.0.2.1", Address: netip.MustParseAddr("192.0.2.1"), State: c.state, Families: c.families,
			}})
			if c.says == "" {
				if len(problems) > 0 {
					t.Errorf("says %+v", problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Name != "tor" || !strings.Contains(problems[0].Message, c.says) || !strings.Contains(problems[0].Message, c.and) {
				t.Errorf("says %+v, want %q and %q", problems, c.says, c.and)
			}
		})
	}
}
