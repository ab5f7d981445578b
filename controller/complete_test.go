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

// telling is a session without graceful restart by which so many prefixes have come.
func telling(name string, prefixes int) bgp.Session {
	s := session(name, false, false)
	s.Families[0].Received = prefixes
	return s
}

func TestCompleteness(t *testing.T) {
	const sweep = 120 * time.Second
	config := &bgp.Config{ASN: 64512}
	two := bgp.Desired{Config: config, Peers: []bgp.Peer{{Name: "a"}, {Name: "b"}}}
	type step struct {
		at       time.Duration
		want     bgp.Desired
		withheld []string
		sessions []bgp.Session
		complete bool
	}
	tests := []struct {
		name   string
		before []string // nil: not known
		steps  []step
	}{
		{"waits for End-of-RIB of every family of every peer", nil, []step{
			{0, two, nil, []bgp.Session{down("a"), down("b")}, false},
			{1 * time.Second, two, nil, []bgp.Session{session("a", true, true, true), down("b")}, false},
			{2 * time.Second, two, nil, []bgp.Session{session("a", true, true, true), session("b", true, true, false)}, false},
			{3 * time.Second, two, nil, []bgp.Session{session("a", true, true, true), session("b", true, true, true)}, true},
		}},
		{"a peer without graceful restart counts after three quiet seconds", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{2 * time.Second, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{3 * time.Second, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, true},
		}},
		{"a flap starts the quiet time anew", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{2 * time.Second, two, nil, []bgp.Session{session("a", true, true), down("b")}, false},
			{4 * time.Second, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, false},
			{7 * time.Second, two, nil, []bgp.Session{session("a", true, true), session("b", false, false)}, true},
		}},
		{"the sweep time ends the wait for a peer that stays away", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), down("b")}, false},
			{sweep - 1, two, nil, []bgp.Session{session("a", true, true), down("b")}, false},
			{sweep, two, nil, []bgp.Session{session("a", true, true), down("b")}, true},
		}},
		{"a session that is configured and cannot be tried may have delivered once", nil, []step{
			{0, two, []string{"c/"}, []bgp.Session{session("a", true, true), session("b", true, true)}, false},
			{sweep, two, []string{"c/"}, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
		}},
		{"stays complete when a session goes down later", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, two, nil, []bgp.Session{down("a"), down("b")}, true},
		}},
		{"a speaker without sessions waits for the sweep time", nil, []step{
			{0, bgp.Desired{Config: config}, nil, nil, false},
			{sweep, bgp.Desired{Config: config}, nil, nil, true},
		}},
		{"no speaker from the start waits for the sweep time", nil, []step{
			{0, bgp.Desired{}, nil, nil, false},
			{sweep, bgp.Desired{}, nil, nil, true},
		}},
		{"a speaker that is taken away has nothing more to learn", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, bgp.Desired{}, nil, nil, true},
		}},
		{"of sessions that were not up before none is waited for", []string{"b"}, []step{
			{0, two, nil, []bgp.Session{down("a"), session("b", true, false)}, false},
			{1 * time.Second, two, nil, []bgp.Session{down("a"), session("b", true, true)}, true},
		}},
		{"a session that was up before and is not tried now is waited for", []string{"a", "c/192.0.2.1"}, []step{
			{0, two, []string{"c/"}, []bgp.Session{session("a", true, true), down("b")}, false},
			{1 * time.Second, two, []string{"c/", "d/"}, []bgp.Session{session("a", true, true), down("b")}, false},
		}},
		{"where one was up before that is not configured now, every configured one is waited for", []string{"a", "z"}, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), down("b")}, false},
			{1 * time.Second, two, nil, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
		}},
		{"a peer without graceful restart that goes on to tell is not quiet", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), telling("b", 1)}, false},
			{2 * time.Second, two, nil, []bgp.Session{session("a", true, true), telling("b", 2)}, false},
			{4 * time.Second, two, nil, []bgp.Session{session("a", true, true), telling("b", 3)}, false},
			{7 * time.Second, two, nil, []bgp.Session{session("a", true, true), telling("b", 3)}, true},
		}},
		{"of the sessions of a speaker that starts anew those that were up are waited for", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{sweep, two, nil, []bgp.Session{session("a", true, true), down("b")}, true},
			{2 * sweep, bgp.Desired{Config: &bgp.Config{ASN: 64513}, Peers: two.Peers}, nil, []bgp.Session{down("a"), down("b")}, false},
			{2*sweep + 1, bgp.Desired{Config: &bgp.Config{ASN: 64513}, Peers: two.Peers}, nil, []bgp.Session{session("a", true, true), down("b")}, true},
		}},
		{"a speaker that starts anew waits anew", nil, []step{
			{0, two, nil, []bgp.Session{session("a", true, true), session("b", true, true)}, true},
			{1 * time.Second, bgp.Desired{Config: &bgp.Config{ASN: 64513}, Peers: two.Peers}, nil, []bgp.Session{down("a"), down("b")}, false},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c completeness
			for _, name := range tt.before {
				if c.before == nil {
					c.before = map[string]bool{}
				}
				c.before[name] = true
			}
			began := time.Unix(1000, 0)
			for i, s := range tt.steps {
				if got := c.observe(began.Add(s.at), s.want, s.withheld, s.sessions, sweep); got != s.complete {
					t.Errorf("step %d: complete is %t, want %t", i, got, s.complete)
				}
			}
		})
	}
}
