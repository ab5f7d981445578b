package main

import (
	"context"
	"slices"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/host"
)

// gateways are what the default routes of others point to.
type gateways struct {
	remembered[[]plan.Gateway]
}

// defaultRoutes is where they are read.
type defaultRoutes interface {
	DefaultRoutes(ctx context.Context) ([]routes.Route, error)
}

func (g *gateways) read(ctx context.Context, fib defaultRoutes, facts host.Facts) ([]plan.Gateway, error) {
	return g.remembered.read(func() ([]routes.Route, error) { return fib.DefaultRoutes(ctx) },
		func(list []routes.Route) []plan.Gateway { return best(list, facts) })
}

// best returns the next hops of those routes of each family that have the least metric, sorted.
func best(list []routes.Route, facts host.Facts) []plan.Gateway {
	least := map[bool]uint32{}
	for _, r := range list {
		if have, known := least[r.Prefix.Addr().Is4()]; !known || r.Metric < have {
			least[r.Prefix.Addr().Is4()] = r.Metric
		}
	}
	var out []plan.Gateway
	for _, r := range list {
		if r.Kind != routes.Unicast || r.Metric != least[r.Prefix.Addr().Is4()] {
			continue
		}
		for _, hop := range r.NextHops {
			if addr := hop.Gateway; addr.IsValid() {
				if link, known := facts.Link(hop.Link); known && addr.Is6() && addr.IsLinkLocalUnicast() {
					addr = addr.WithZone(link.Name)
				}
				out = append(out, plan.Gateway{Addr: addr, Link: hop.Link})
			}
		}
	}
	slices.SortFunc(out, func(a, b plan.Gateway) int { return a.Addr.Compare(b.Addr) })
	return slices.CompactFunc(out, func(a, b plan.Gateway) bool { return a.Addr == b.Addr })
}
