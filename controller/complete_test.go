package controller

import (
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/bgp"
)

func session(peer string, gr bool, endOfRIB ...bool) bgp.Session {
	s := bgp.Session{Peer: peer, State: bgp.Established, GracefulRestart: gr}
	for _, e := range endOfRIB {
		s.Families = append(s.Families, bgp.FamilySession{EndOfRIB: e})
	}
	return s
}

func down(peer string) bgp.Session { return bgp.Session{Peer: peer, State: bgp.Active} }

func TestCompleteness(t *testing.T) {
	const sweep = 120 * time.Second
	config := &bgp.Config{ASN: 64512}
	two := bgp.Desired{Config: config, Peers: []bgp.Peer{{Name: "a"}, {Name: "b"}}}
	type step struct {
		at       time.Duration
		want     bgp.Desired
		withheld int
		sessions []bgp.Session
		complete bool
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"waits for End-of-RIB of every family of every peer", []step{
			{0, two, 0, []bgp.Session{down("a"), down("b")}, false},
			{1 * time.Second, two, 0, []bgp.Session{session("a", true, true, true), down("b")}, false},
			{2 * time.Second, two, 0, []bgp.Session{session("a", true, true, true), session("b", true, true, false)}, false},
			{3 * time.Second, two, 0, []bgp.Session{session("a", true, true, true), session("b", true, true, true)}, true},
		}},
		{"a peer without graceful restart counts after three quiet seconds", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{2 * time.Second, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{3 * time.Second, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, true},
		}},
		{"a flap starts the quiet time anew", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{2 * time.Second, two, 0, []bgp.Session{session("a", true, true), down("b")}, false},
			{4 * time.Second, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{7 * time.Second, two, 0, []bgp.Session{session("a", true, true), session("b", false, false)}, true},
		}},
		{"the sweep time ends the wait for a peer that stays away", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), down("b")}, false},
			{sweep - 1, two, 0, []bgp.Session{session("a", true, true), down("b")}, false},
			{sweep, two, 0, []bgp.Session{session("a", true, true), down("b")}, true},
		}},
		{"a session that is configured and cannot be tried may have delivered once", []step{
			{0, two, 1, []bgp.Session{session("a", true, true), session("b", true, true)}, false},
			{sweep, two, 1, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
		}},
		{"stays complete when a session goes down later", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, two, 0, []bgp.Session{down("a"), down("b")}, true},
		}},
		{"a speaker without sessions waits for the sweep time", []step{
			{0, bgp.Desired{Config: config}, 0, nil, false},
			{sweep, bgp.Desired{Config: config}, 0, nil, true},
		}},
		{"no speaker from the start waits for the sweep time", []step{
			{0, bgp.Desired{}, 0, nil, false},
			{sweep, bgp.Desired{}, 0, nil, true},
		}},
		{"a speaker that is taken away has nothing more to learn", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, bgp.Desired{}, 0, nil, true},
		}},
		{"a speaker that starts anew waits anew", []step{
			{0, two, 0, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, bgp.Desired{Config: &bgp.Config{ASN: 64513}, Peers: two.Peers}, 0, []bgp.Session{down("a"), down("b")}, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c completeness
			began := time.Unix(1000, 0)
			for i, s := range tt.steps {
				if got := c.observe(began.Add(s.at), s.want, s.withheld, s.sessions, sweep); got != s.complete {
					t.Errorf("step %d: complete is %t, want %t", i, got, s.complete)
				}
			}
		})
	}
}
