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

// prefixTable is a kernel with these routes.
type prefixTable struct {
	list  []routes.Route
	err   error
	reads int
}

func (p *prefixTable) Routed(context.Context, []netip.Prefix) ([]routes.Route, error) {
	p.reads++
	return p.list, p.err
}

func TestRoutedCountsRoutesThatLeadSomewhereOrRefuse(t *testing.T) {
	facts := host.Facts{Links: []host.Link{{Index: 2, Carrier: true}, {Index: 3}}}
	over := func(prefix string, links ...int) routes.Route {
		r := routes.Route{Key: routes.Key{Prefix: netip.MustParsePrefix(prefix)}}
		for _, link := range links {
			r.NextHops = append(r.NextHops, routes.NextHop{Link: link})
		}
		return r
	}
	kernel := &prefixTable{list: []routes.Route{over("10.4.0.0/16"), over("10.3.0.0/16", 3), over("10.2.0.0/16", 3, 2), over("10.1.0.0/16", 2), over("10.1.0.0/16", 2)}}
	r := routed{}
	asked := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	expect := func(what string, asked []netip.Prefix, want string, reads int) {
		t.Helper()
		got, err := r.read(t.Context(), kernel, asked, facts)
		if text := fmt.Sprint(got, err); text != want || kernel.reads != reads {
			t.Errorf("%s: %s after %d reads, want %s after %d", what, text, kernel.reads, want, reads)
		}
	}
	all := "[10.1.0.0/16 10.2.0.0/16 10.4.0.0/16] <nil>"
	expect("at first", asked, all, 1)
	expect("nothing new", asked, all, 1)
	expect("others are asked for", append(asked, netip.MustParsePrefix("10.2.0.0/16")), all, 2)
	if r.over([]int{9}) || !r.over([]int{3}) {
		t.Error("a link that none of them leads over is no news, and one that does is")
	}
	r.stale.Store(true)
	kernel.err = errors.New("no answer")
	expect("an error is not an empty set", asked, "[] no answer", 3)
}
