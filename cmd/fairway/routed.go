package main

import (
	"context"
	"net/netip"
	"slices"

	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/host"
)

// routed are those of some prefixes to which others have a route here.
type routed struct {
	remembered[[]netip.Prefix]
	asked []netip.Prefix
}

// prefixRoutes is where they are read.
type prefixRoutes interface {
	Routed(ctx context.Context, prefixes []netip.Prefix) ([]routes.Route, error)
}

func (r *routed) read(ctx context.Context, fib prefixRoutes, prefixes []netip.Prefix, facts host.Facts) ([]netip.Prefix, error) {
	if !slices.Equal(r.asked, prefixes) {
		r.stale.Store(true)
		r.asked = prefixes
	}
	return r.remembered.read(func() ([]routes.Route, error) { return fib.Routed(ctx, prefixes) },
		func(list []routes.Route) []netip.Prefix { return leading(list, facts) })
}

// leading returns the prefixes, sorted, of the routes that lead somewhere: not over links without
// carrier alone. One that refuses packets is meant to be there.
func leading(list []routes.Route, facts host.Facts) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range list {
		carries := func(hop routes.NextHop) bool {
			link, known := facts.Link(hop.Link)
			return known && link.Carrier
		}
		if len(r.NextHops) == 0 || slices.ContainsFunc(r.NextHops, carries) {
			out = append(out, r.Prefix)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
