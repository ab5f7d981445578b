package main

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes"
	"github.com/fairway-bgp/fairway/routes/host"
)

// gateways are what the default routes of others point to. To read them takes the whole table
// of the kernel, so that is done when news of it has come, and only for whom it concerns.
type gateways struct {
	stale atomic.Bool // they may have changed since they were read
	// links are those that the default routes lead over: one that goes down takes IPv4 routes along without
	// a word. nil: not known.
	links atomic.Pointer[map[int]bool]
	last  []plan.Gateway
}

// over reports whether a default route leads, or may lead, over one of the links: those of pods
// change nothing.
func (g *gateways) over(links []int) bool {
	known := g.links.Load()
	return len(links) > 0 && (known == nil || slices.ContainsFunc(links, func(link int) bool { return (*known)[link] }))
}

// defaultRoutes is where they are read.
type defaultRoutes interface {
	DefaultRoutes(ctx context.Context) ([]routes.Route, error)
}

func (g *gateways) read(ctx context.Context, fib defaultRoutes, facts host.Facts) ([]plan.Gateway, error) {
	if stale := g.stale.Swap(false); !stale && g.links.Load() != nil {
		return g.last, nil
	}
	g.links.Store(nil) // what changes while they are read counts
	list, err := fib.DefaultRoutes(ctx)
	if err != nil {
		return nil, err
	}
	links := map[int]bool{}
	for _, route := range list {
		for _, hop := range route.NextHops {
			links[hop.Link] = true
		}
	}
	g.last = best(list, facts)
	g.links.Store(&links)
	return g.last, nil
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
