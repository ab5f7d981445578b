package routes

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// parse reads "PREFIX [METRIC] HOP..." with hops "GATEWAY@LINK", "@LINK", either with "*WEIGHT"; no
// hops: unreachable. The metric is 2048 unless given.
func parse(t interface{ Fatal(...any) }, s string) Route {
	fields := strings.Fields(s)
	r := Route{Key: Key{Table: MainTable, Prefix: netip.MustParsePrefix(fields[0]), Metric: 2048}}
	for _, field := range fields[1:] {
		gateway, rest, isHop := strings.Cut(field, "@")
		if !isHop {
			metric, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			r.Metric = uint32(metric)
			continue
		}
		link, weight, _ := strings.Cut(rest, "*")
		var hop NextHop
		hop.Link, _ = strconv.Atoi(link)
		n, _ := strconv.Atoi(weight)
		hop.Weight = uint8(n)
		if gateway != "" {
			hop.Gateway = netip.MustParseAddr(gateway)
		}
		r.NextHops = append(r.NextHops, hop)
	}
	if len(r.NextHops) == 0 {
		r.Kind = Unreachable
	}
	return r
}

func parseAll(t *testing.T, lines string) []Route {
	var list []Route
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) != "" {
			list = append(list, parse(t, line))
		}
	}
	return list
}

func TestRoutesAreEqualWhateverTheirSpelling(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		equal bool
	}{
		{"10.1.2.3/8 10.0.0.1@1", "10.0.0.0/8 10.0.0.1@1", true},
		{"10.0.0.0/8 10.0.0.1@1 10.0.0.2@1", "10.0.0.0/8 10.0.0.2@1 10.0.0.1@1", true},
		{"10.0.0.0/8 10.0.0.1@1 10.0.0.1@1*1", "10.0.0.0/8 10.0.0.1@1", true},
		{"10.0.0.0/8 10.0.0.1@1*9", "10.0.0.0/8 10.0.0.1@1", true},
		{"10.0.0.0/8 ::ffff:10.0.0.1@1", "10.0.0.0/8 10.0.0.1@1", true},
		{"10.0.0.0/8 fe80::1%eth0@1", "10.0.0.0/8 fe80::1@1", true},
		{"10.0.0.0/8 10.0.0.1@1*2 10.0.0.2@1", "10.0.0.0/8 10.0.0.1@1 10.0.0.2@1", false},
		{"10.0.0.0/8 fe80::1@1", "10.0.0.0/8 fe80::1@2", false},
		{"10.0.0.0/8 @1", "10.0.0.0/8 10.0.0.1@1", false},
		{"10.0.0.0/8 @1", "10.0.0.0/8", false},
		{"10.0.0.0/8 10.0.0.1@1", "10.0.0.0/8 4096 10.0.0.1@1", false},
		{"10.0.0.0/8 10.0.0.1@1", "10.0.0.0/9 10.0.0.1@1", false},
	} {
		a, b := parse(t, c.a), parse(t, c.b)
		if a.Equal(b) != c.equal || b.Equal(a) != c.equal {
			t.Errorf("%s and %s: equal should be %t", c.a, c.b, c.equal)
		}
	}
	mapped := Route{Key: Key{Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104"), Metric: 2048}, Kind: Unreachable}
	if !mapped.Equal(parse(t, "10.0.0.0/8")) {
		t.Error("a mapped prefix without table is not the IPv4 prefix in the main table")
	}
	onLo := Route{Key: mapped.Key, Kind: Unreachable, NextHops: []NextHop{{Link: 1}}}
	if !onLo.Equal(mapped) {
		t.Error("an unreachable route with a link is not one without")
	}
}

func TestNormalizeLeavesItsArgumentAlone(t *testing.T) {
	r := parse(t, "10.0.0.0/8 10.0.0.2@1*2 10.0.0.1@1")
	before := r.String()
	n := r.Normalize()
	n.NextHops[0].Link = 77
	if r.String() != before {
		t.Errorf("%s became %s", before, r)
	}
}

func TestCheckNamesWhatCanNeverBeInstalled(t *testing.T) {
	zero := parse(t, "10.0.0.0/8 10.0.0.1@1")
	zero.Metric = 0
	bare := parse(t, "10.0.0.0/8")
	bare.Kind = Unicast
	for want, r := range map[string]Route{
		"the prefix is not valid":        {},
		"metric 0 is not allowed":        zero,
		"needs a next hop":               bare,
		"names no link":                  parse(t, "10.0.0.0/8 10.0.0.1@0"),
		"0.0.0.0 cannot be a gateway":    parse(t, "10.0.0.0/8 0.0.0.0@1"),
		"ff02::1 cannot be a gateway":    parse(t, "10.0.0.0/8 ff02::1@1"),
		"cannot carry an IPv6 prefix":    parse(t, "fd00::/8 10.0.0.1@1"),
		"only unicast and unreachable r": {Key: bare.Key, Kind: Other},
	} {
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", r, err, want)
		}
	}
	for _, s := range []string{"10.0.0.0/8", "10.0.0.0/8 @1", "10.0.0.0/8 fe80::1@1", "fd00::/8 fe80::1@1 fd01::1@2", "0.0.0.0/0 10.0.0.1@1"} {
		if err := parse(t, s).Check(); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name, want, have string
		incomplete       bool
		ops              string
	}{
		{name: "nothing of nothing"},
		{name: "equal, spelled otherwise",
			want: "10.1.0.0/16 10.0.0.2@1 10.0.0.1@1",
			have: "10.1.0.0/16 10.0.0.1@1*1 10.0.0.2@1"},
		{name: "adds and replaces before deletes, each sorted",
			want: "10.4.0.0/16 10.0.0.1@1\n10.3.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.1@1",
			have: "10.3.0.0/16 10.0.0.9@1\n10.1.0.0/16 10.0.0.1@1\n10.0.0.0/16 10.0.0.1@1",
			ops: `adding 10.2.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254
replacing 10.3.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254
adding 10.4.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254
deleting 10.0.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254
deleting 10.1.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254`},
		{name: "nothing is deleted while incomplete", incomplete: true,
			want: "10.2.0.0/16 10.0.0.1@1",
			have: "10.1.0.0/16 10.0.0.1@1\n10.2.0.0/16 10.0.0.9@1",
			ops:  "replacing 10.2.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254"},
		{name: "another metric is another route",
			want: "10.1.0.0/16 4096 10.0.0.1@1",
			have: "10.1.0.0/16 2048 10.0.0.1@1",
			ops: `adding 10.1.0.0/16 via 10.0.0.1 link 1 metric 4096 table 254
deleting 10.1.0.0/16 via 10.0.0.1 link 1 metric 2048 table 254`},
		{name: "unreachable in the place of unicast",
			want: "fd00::/64", have: "fd00::/64 fe80::1@1",
			ops: "replacing unreachable fd00::/64 metric 2048 table 254"},
		{name: "the last of several wishes, the first of several routes",
			want: "10.1.0.0/16 10.0.0.1@1\n10.1.0.0/16 10.0.0.2@1",
			have: "10.1.0.0/16 10.0.0.2@1\n10.1.0.0/16 10.0.0.3@1"},
	} {
		var lines []string
		for _, op := range Diff(Desired{Routes: parseAll(t, c.want), Complete: !c.incomplete}, parseAll(t, c.have)) {
			lines = append(lines, fmt.Sprintf("%s %s", op.Verb, op.Route))
		}
		if got := strings.Join(lines, "\n"); got != c.ops {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.ops)
		}
	}
}
