package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/host"
)

// defaults is a kernel with these default routes.
type defaults struct {
	list  []routes.Route
	err   error
	reads int
}

func (d *defaults) DefaultRoutes(context.Context) ([]routes.Route, error) {
	d.reads++
	return d.list, d.err
}

func defaultRoute(metric uint32, gateways ...string) routes.Route {
	r := routes.Route{Key: routes.Key{Table: routes.MainTable, Metric: metric}}
	for i, text := range gateways {
		hop := routes.NextHop{Link: i + 2}
		if text != "" {
			hop.Gateway = netip.MustParseAddr(text)
		}
		r.Prefix = netip.MustParsePrefix("0.0.0.0/0")
		if hop.Gateway.Is6() {
			r.Prefix = netip.MustParsePrefix("::/0")
		}
		r.NextHops = append(r.NextHops, hop)
	}
	return r
}

func TestGatewaysAreAllNextHopsOfTheBestDefaultRoutes(t *testing.T) {
	facts := host.Facts{Links: []host.Link{{Index: 2, Name: "eth0"}, {Index: 3, Name: "eth1"}}}
	blackhole := defaultRoute(1, "192.0.2.66")
	blackhole.Kind, blackhole.NextHops = routes.Unreachable, nil
	for _, c := range []struct {
		what string
		list []routes.Route
		want string
	}{
		{"none", nil, "[]"},
		{"the least metric of each family", []routes.Route{defaultRoute(100, "192.0.2.9"), defaultRoute(50, "192.0.2.1"), defaultRoute(1024, "2001:db8::1")},
			"[{192.0.2.1 2} {2001:db8::1 2}]"},
		{"several next hops", []routes.Route{defaultRoute(0, "192.0.2.2", "192.0.2.1")}, "[{192.0.2.1 3} {192.0.2.2 2}]"},
		{"several routes of one metric, and the same next hop twice", []routes.Route{defaultRoute(1024, "fe80::2"), defaultRoute(1024, "fe80::1", "fe80::1"), defaultRoute(1024, "fe80::2")},
			"[{fe80::1%eth0 2} {fe80::1%eth1 3} {fe80::2%eth0 2}]"},
		{"a link without a gateway", []routes.Route{defaultRoute(0, "")}, "[]"},
		{"what is unreachable by the best one stays so", []routes.Route{blackhole, defaultRoute(50, "192.0.2.1")}, "[]"},
	} {
		if got := fmt.Sprint(best(c.list, facts)); got != c.want && (got != "[]" || c.want != "[]") {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestGatewaysAreReadWhenThereIsNewsOfThem(t *testing.T) {
	kernel := &defaults{list: []routes.Route{defaultRoute(0, "192.0.2.1")}}
	g := gateways{}
	if !g.over([]int{9}) || g.over(nil) {
		t.Error("before they are read any link counts, and only a link")
	}
	expect := func(what, want string, reads int) {
		t.Helper()
		got, err := g.read(t.Context(), kernel, host.Facts{})
		if text := fmt.Sprint(got, err); text != want || kernel.reads != reads {
			t.Errorf("%s: %s after %d reads, want %s after %d", what, text, kernel.reads, want, reads)
		}
	}
	expect("at first", "[{192.0.2.1 2}] <nil>", 1)
	expect("nothing new", "[{192.0.2.1 2}] <nil>", 1)
	if g.over([]int{9}) || !g.over([]int{9, 2}) {
		t.Error("the link of a pod is no news, and that of a default route is")
	}
	kernel.list, kernel.err = nil, errors.New("no answer")
	g.stale.Store(true)
	expect("an error is not an empty set", "[] no answer", 2)
	expect("and is tried again", "[] no answer", 3)
	kernel.err = nil
	expect("until it can be read", "[] <nil>", 4)
}
