package cluster

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-bgp/fairway/test/lab"
)

// The sessions of the live rig, as the agent calls them.
const (
	tor   = "tor/192.0.2.1"          // AS 65001
	core  = "core/192.0.2.2"         // our own AS
	third = "third/192.0.2.3"        // AS 65003
	mesh  = "mesh/node-2/192.0.2.12" // a node of the mesh, whose speaker is FRR
	pods  = "10.244.1.0/24"          // what node-1 always has to tell
	away  = "10.244.100.0/24"        // what the tor and the third tell node-1
	more  = "10.245.7.0/24"          // what the tor tells besides
	other = "172.31.0.0/16"          // what the tor tells besides
	sixes = "fd00:10:244:1::/64"     // the other family of pods
)

// liveRig is one node whose agent reads a folder, and routers that count how often and since
// when its sessions are up.
type liveRig struct {
	*rig
	n       *node
	dir     string
	routers map[string]*lab.FRR    // by session
	last    map[string]lab.Session // at the end of the last step
	said    int                    // bytes of the agent's log that have been read
	markers int
	marker  string // the address of the Service that settled waits for
}

// step is a change made while everything runs.
type step struct {
	what string
	do   func()
	seen func() error // whether its effect is there
	// resets are the sessions that the agent says it resets; ups those that come up once
	// more, down those that are not up afterwards. All others stay as they are.
	resets, ups, down []string
}

func newLiveRig(t *testing.T) *liveRig {
	t.Helper()
	r := &rig{Lab: lab.New(t), t: t}
	l := &liveRig{rig: r, n: &node{Node: r.Node("node-1"), rig: r, index: 1}, dir: t.TempDir()}
	l.routers = map[string]*lab.FRR{
		tor:   r.FRR("tor", liveRouter(65001, 1, away, more, other)),
		core:  r.FRR("core", liveRouter(64512, 2)),
		third: r.FRR("third", liveRouter(65003, 3, away)),
		mesh:  r.FRR("node-2", liveRouter(64512, 12, "10.244.2.0/24")),
	}
	lan := r.Switch("lan")
	lan.Attach(l.n, "192.0.2.11/24", "2001:db8::11/64")
	for session, router := range l.routers {
		lan.Attach(router, session[strings.LastIndex(session, "/")+1:]+"/24")
	}
	if err := r.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.last = l.sessions()
	return l
}

// liveRouter waits to be dialled, so that two attempts never collide.
func liveRouter(asn, host int, networks ...string) string {
	remote := "external"
	if asn == 64512 {
		remote = "internal"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "router bgp %d\n bgp router-id 192.0.2.%d\n no bgp ebgp-requires-policy\n no bgp network import-check\n", asn, host)
	fmt.Fprintf(&b, " neighbor 192.0.2.11 remote-as %s\n neighbor 192.0.2.11 timers 3 9\n neighbor 192.0.2.11 passive\n", remote)
	b.WriteString(" address-family ipv4 unicast\n")
	for _, network := range networks {
		fmt.Fprintf(&b, "  network %s\n", network)
	}
	b.WriteString(" exit-address-family\n address-family ipv6 unicast\n  neighbor 192.0.2.11 activate\n exit-address-family\n")
	return b.String()
}

// step makes a change, waits for its effect, and then asks every router whether its session
// was reset. It compares with the end of the last step, so that a late reset is not missed.
func (l *liveRig) step(s step) {
	l.t.Helper()
	began := time.Now()
	defer func() { l.t.Logf("%5d ms %s", time.Since(began).Milliseconds(), s.what) }()
	s.do()
	if s.seen != nil {
		l.eventually(s.seen)
	}
	var now map[string]lab.Session
	l.eventually(func() error {
		now = l.sessions()
		return s.awaits(l.last, now)
	})
	for _, session := range slices.Sorted(maps.Keys(now)) {
		if err := s.expects(session, l.last[session], now[session]); err != nil {
			l.t.Errorf("%s: %v", s.what, err)
		}
	}
	slices.Sort(s.resets)
	if told := l.toldResets(); !slices.Equal(told, s.resets) {
		l.t.Errorf("%s: the agent says that it resets %v, want %v", s.what, told, s.resets)
	}
	l.last = now
}

// awaits is an error while the sessions that are to come up, or to go down, have not.
func (s step) awaits(before, now map[string]lab.Session) error {
	for _, session := range s.ups {
		if !now[session].Up() || now[session].Ups == before[session].Ups {
			return fmt.Errorf("%s has not come up: %+v", session, now[session])
		}
	}
	for _, session := range s.down {
		if now[session].Up() {
			return fmt.Errorf("%s is still up: %+v", session, now[session])
		}
	}
	return nil
}

// expects compares what a router says of its session before the step and after it. FRR rounds
// the start of a session to a second, twice.
func (s step) expects(session string, before, after lab.Session) error {
	switch {
	case slices.Contains(s.ups, session):
		if !after.Up() || after.Ups != before.Ups+1 {
			return fmt.Errorf("%s was to come up once, and went from %+v to %+v", session, before, after)
		}
	case slices.Contains(s.down, session):
		if after.Up() || after.Ups != before.Ups {
			return fmt.Errorf("%s was to go down, and went from %+v to %+v", session, before, after)
		}
	case after.Up() != before.Up() || after.Ups != before.Ups || max(after.Since-before.Since, before.Since-after.Since) > 1:
		return fmt.Errorf("%s was to stay as it was, and went from %+v to %+v", session, before, after)
	}
	return nil
}

// sessions asks all routers for their session with the node.
func (l *liveRig) sessions() map[string]lab.Session {
	l.t.Helper()
	out := map[string]lab.Session{}
	for session, router := range l.routers {
		var err error
		if out[session], err = router.Session(l.t.Context(), "192.0.2.11"); err != nil {
			l.t.Fatal(err)
		}
	}
	return out
}

var resetPeer = regexp.MustCompile(`resets a session".* peer=(\S+)`)

// toldResets are the sessions, sorted, that the agent has said it resets since the last call.
func (l *liveRig) toldResets() []string {
	l.t.Helper()
	log := l.n.log()
	whole := strings.LastIndex(log, "\n") + 1
	var out []string
	for _, match := range resetPeer.FindAllStringSubmatch(log[l.said:whole], -1) {
		out = append(out, match[1])
	}
	l.said = whole
	slices.Sort(out)
	return out
}

// put writes manifests, each pair a file's name and what it holds; an empty one is removed.
func (l *liveRig) put(pairs ...string) func() {
	return func() {
		l.t.Helper()
		for pair := range slices.Chunk(pairs, 2) {
			if pair[1] != "" {
				write(l.t, l.dir, pair[0], pair[1])
			} else if err := os.Remove(filepath.Join(l.dir, pair[0])); err != nil {
				l.t.Fatal(err)
			}
		}
	}
}

// hears reports whether a router has the prefix from the node with these attributes, in the
// words of [heard.String]; "" means that it has it not at all.
func (l *liveRig) hears(session, prefix, want string) error {
	family := "ipv4"
	if strings.Contains(prefix, ":") {
		family = "ipv6"
	}
	var answer struct{ Paths []heard }
	if err := l.routers[session].JSON(l.t.Context(), &answer, "show bgp "+family+" unicast "+prefix+" json"); err != nil {
		return err
	}
	var got []string
	for _, path := range answer.Paths {
		got = append(got, path.String())
	}
	if text := strings.Join(got, "; "); text != want {
		return fmt.Errorf("%s has %s with %q, want %q", session, prefix, text, want)
	}
	return nil
}

// heard is a path as FRR has it.
type heard struct {
	ASPath    struct{ String string } `json:"aspath"`
	MED       *int                    `json:"metric"`
	LocalPref *int                    `json:"locPrf"`
	Standard  struct{ String string } `json:"community"`
	Large     struct{ String string } `json:"largeCommunity"`
}

// String is such as "path 64512 med 5 communities 65000:1 65000:1:2".
func (h heard) String() string {
	out := "path " + h.ASPath.String
	if h.LocalPref != nil {
		out += fmt.Sprintf(" local-pref %d", *h.LocalPref)
	}
	if h.MED != nil {
		out += fmt.Sprintf(" med %d", *h.MED)
	}
	if communities := strings.TrimSpace(h.Standard.String + " " + h.Large.String); communities != "" {
		out += " communities " + communities
	}
	return out
}

// kernel reports whether the IPv4 routes of protocol 219 that lead somewhere, in all tables,
// are exactly these.
func (l *liveRig) kernel(want ...string) error {
	out, err := l.n.run("ip", "-o", "-4", "route", "show", "table", "all", "proto", "219", "type", "unicast")
	if err != nil {
		return err
	}
	got := []string{}
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(strings.NewReplacer("\\", "", " dev lan", "", " weight 1", "").Replace(line)), " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the routes are %q, want %q", got, want)
	}
	return nil
}

func (l *liveRig) says(object string, words ...string) error { return l.n.says(object, words...) }

// settled makes a Service that was not there before and reports whether the tor has heard of
// it: what was written before has then been read and carried out. It is the effect of steps
// that have no other.
func (l *liveRig) settled() error {
	if l.marker == "" {
		l.markers++
		l.marker = fmt.Sprintf("10.96.255.%d", l.markers)
		write(l.t, l.dir, "marker.yaml", liveService("marker", l.marker, ""))
	}
	err := l.hears(tor, l.marker+"/32", "path 64512")
	if err == nil {
		l.marker = ""
	}
	return err
}

// TestAStepNoticesWhatItDidNotExpect shows the detector of the live changes firing.
func TestAStepNoticesWhatItDidNotExpect(t *testing.T) {
	up := func(ups int, since int64) lab.Session {
		return lab.Session{State: "Established", Ups: ups, Since: since}
	}
	before, down, again := up(1, 1000), lab.Session{State: "Active", Ups: 1}, up(2, 1002)
	none, comes, goes := step{}, step{ups: []string{tor}}, step{down: []string{tor}}
	for _, tt := range []struct {
		name  string
		step  step
		after lab.Session
		fine  bool
	}{
		{"stays", none, before, true},
		{"stays, rounded to another second", none, up(1, 1001), true},
		{"went down", none, down, false},
		{"was reset", none, again, false},
		{"has another uptime", none, up(1, 1002), false},
		{"came up again, as it should", comes, again, true},
		{"did not come up again", comes, before, false},
		{"came up twice", comes, up(3, 1003), false},
		{"went down, as it should", goes, down, true},
		{"did not go down", goes, before, false},
	} {
		if err := tt.step.expects(tor, before, tt.after); (err == nil) != tt.fine {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
