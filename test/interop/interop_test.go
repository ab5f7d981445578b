package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-bgp/fairway/test/lab"
)

// sampled is how many cells of each column are run again.
const sampled = 3

// TestTheCommittedTableIsSo runs some of the cells again, all of them in the long form, and
// compares them with RESULTS.md.
func TestTheCommittedTableIsSo(t *testing.T) {
	lab.NeedRoot(t)
	text, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	committed, err := readTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	all := features()
	if len(committed.rows) != len(all) {
		t.Errorf("the table has %d rows, and there are %d features: run make interop", len(committed.rows), len(all))
	}
	chosen := choose(t)
	results, _, err := runAll(t.Context(), chosen, 3, func(j job, r result) {
		t.Logf("%-4s %4.1f s  %s: %s", r.verdict, r.took.Seconds(), j.with.name, j.feature.name)
	})
	if errors.Is(err, lab.ErrUnavailable) {
		lab.Unavailable(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	for at, r := range results {
		if differs := committed.differs(at, r); differs != "" {
			t.Errorf("%s\n%s", differs, r.logs)
		}
	}
}

// choose is a few cells of each column, by a seed that is told.
func choose(t *testing.T) []job {
	t.Helper()
	everything := regexp.MustCompile("")
	every := jobs(everything, everything)
	if os.Getenv("FAIRWAY_LONG") == "1" {
		return every
	}
	seed := rand.Uint64()
	if given := os.Getenv("FAIRWAY_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("FAIRWAY_SEED: %v", err)
		}
	}
	t.Logf("%d of %d cells; the same again with FAIRWAY_SEED=%d", sampled*len(implementations), len(every), seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var chosen []job
	for _, with := range implementations {
		column := slices.DeleteFunc(slices.Clone(every), func(j job) bool { return j.with.name != with.name })
		for _, i := range random.Perm(len(column))[:sampled] {
			chosen = append(chosen, column[i])
		}
	}
	return chosen
}

// TestACellCanFail has a session that cannot come up, and a daemon that is told nonsense: the
// first is no pass, and the second no failure but in the daemon's words.
func TestACellCanFail(t *testing.T) {
	lab.NeedRoot(t)
	wrong := feature{
		name:   "the wrong AS",
		theirs: func(r *router) { r.asn = theirASN + 1 },
		check: func(c *cell) error {
			return errors.Join(c.start(), c.until(func() error { return c.says("bad peer as") }), c.up())
		},
	}
	r, err := judge(t.Context(), wrong, implementations[1])
	if errors.Is(err, lab.ErrUnavailable) {
		lab.Unavailable(t, err.Error())
	}
	if err != nil || r.verdict != fail || !strings.Contains(r.why, "the session is") {
		t.Errorf("a session with the wrong AS: %+v, %v", r, err)
	}
	nonsense := feature{name: "nonsense", theirs: func(r *router) { r.sessions[0].hold = -1 }}
	if r, err := judge(t.Context(), nonsense, implementations[1]); err != nil || r.verdict != never || r.why == "" {
		t.Errorf("a daemon that refuses its configuration: %+v, %v", r, err)
	}
}

// TestWhatTheCollectorWasToldLastCounts has lines as pmacct writes them: what was told too early, of
// another peer or not at all is no pass.
func TestWhatTheCollectorWasToldLastCounts(t *testing.T) {
	const (
		up        = `{"bmp_msg_type": "peer_up", "peer_ip": "192.0.2.1", "peer_asn": 65001, "local_ip": "192.0.2.11"}`
		down      = `{"bmp_msg_type": "peer_down", "peer_ip": "192.0.2.1", "peer_asn": 65001, "reason_type": 3}`
		update    = `{"bmp_msg_type": "route_monitor", "peer_ip": "192.0.2.1", "log_type": "update", "ip_prefix": "10.244.200.0/24", "bgp_nexthop": "192.0.2.1", "as_path": "65001"}`
		withdraw  = `{"bmp_msg_type": "route_monitor", "peer_ip": "192.0.2.1", "log_type": "withdraw", "ip_prefix": "10.244.200.0/24"}`
		another   = `{"bmp_msg_type": "route_monitor", "peer_ip": "192.0.2.1", "log_type": "update", "ip_prefix": "10.244.201.0/24", "bgp_nexthop": "192.0.2.1", "as_path": "65001"}`
		halfALine = `{"bmp_msg_type": "peer_do`
	)
	isUp := bmpMessage{Type: "peer_up", Peer: routerIPv4, ASN: theirASN, Local: nodeIPv4}
	isDown := bmpMessage{Type: "peer_down", Peer: routerIPv4, ASN: theirASN, Reason: notificationReceived}
	isRoute := bmpMessage{Type: "route_monitor", Peer: routerIPv4, Prefix: theirs4, Change: "update", NextHop: routerIPv4, ASPath: "65001"}
	for _, test := range []struct {
		want bmpMessage
		told []string
		fine bool
	}{
		{isUp, []string{up, update, another, halfALine}, true},
		{isUp, []string{up, down}, false},
		{isUp, nil, false},
		{isUp, []string{strings.Replace(up, "65001", "65002", 1)}, false},
		{isDown, []string{up, update, down}, true},
		{isDown, []string{up, down, up}, false},
		{isDown, []string{up, strings.Replace(down, ": 3", ": 4", 1)}, false},
		{isRoute, []string{up, update, another}, true},
		{isRoute, []string{up, update, withdraw}, false},
		{isRoute, []string{up, another}, false},
	} {
		if err := lastTold(test.told, test.want); (err == nil) != test.fine {
			t.Errorf("%+v, told %q: %v", test.want, test.told, err)
		}
	}
}

func TestTheTableIsReadAsItWasWritten(t *testing.T) {
	written := &table{rows: []string{"eBGP", "MD5, over IPv6"}, columns: []string{"FRR", "BIRD"}}
	written.set(place{"eBGP", "FRR"}, entry{verdict: pass})
	written.set(place{"eBGP", "BIRD"}, entry{verdict: fail})
	written.set(place{"MD5, over IPv6", "FRR"}, entry{never, "line 3: % Unknown command | MD5"})
	written.set(place{"MD5, over IPv6", "BIRD"}, entry{verdict: pass})
	written.versions = map[string]string{"FRR": "FRRouting 8.4.4", "BIRD": "BIRD 2: a router"}
	read, err := readTable(written.markdown())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(written, read) {
		t.Errorf("read %+v, want %+v", read, written)
	}
	for at, e := range written.cells {
		if differs := read.differs(at, result{verdict: e.verdict, why: e.why}); differs != "" {
			t.Error(differs)
		}
	}
	if read.differs(place{"eBGP", "BIRD"}, result{verdict: pass}) == "" || read.differs(place{"new", "BIRD"}, result{verdict: pass}) == "" ||
		read.differs(place{"MD5, over IPv6", "FRR"}, result{verdict: never, why: "another reason"}) == "" {
		t.Error("what differs is not seen")
	}
	lacks := result{verdict: never, why: "it lacks that"}
	for at, worse := range map[place]bool{{"MD5, over IPv6", "BIRD"}: true, {"MD5, over IPv6", "FRR"}: true, {"new", "BIRD"}: false} {
		if got := read.worse(at, lacks); (got != "") != worse {
			t.Errorf("%v is n/a: %q", at, got)
		}
	}
	if read.worse(place{"eBGP", "FRR"}, result{verdict: pass}) != "" || read.worse(place{"new", "FRR"}, result{verdict: fail, why: "x"}) == "" {
		t.Error("a pass is worse, or a failure is not")
	}
}
