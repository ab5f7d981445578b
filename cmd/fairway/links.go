package main

import (
	"slices"

	"github.com/fairway-bgp/fairway/controller/plan"
	"github.com/fairway-bgp/fairway/routes/host"
)

// addLinks tells of the links that the plan needs and that there are, and of those that link-local
// gateways are on.
func (k *kernel) addLinks(local *plan.Local, needs plan.Needs, facts host.Facts) {
	names := slices.Concat(needs.Links, needs.Unnumbered)
	for _, g := range local.Gateways {
		if zone := g.Addr.Zone(); zone != "" {
			names = append(names, zone)
		}
	}
	local.Links = map[string]plan.Link{}
	for _, name := range names {
		if link, known := facts.LinkNamed(name); known {
			local.Links[name] = plan.Link{Index: link.Index, Addr: facts.LinkLocal(link.Index)}
			if !link.Carrier {
				local.LinksDown[link.Index] = true
			}
		}
	}
	k.findRouters(local, needs.Unnumbered)
}

// findRouters has routers looked for on these links, as far as they lead anywhere, and tells which
// are known. What was behind a link that has lost its carrier may be another one when that is back.
func (k *kernel) findRouters(local *plan.Local, names []string) {
	var alive []host.Neighborhood
	for _, name := range names {
		if link := local.Links[name]; link.Addr.IsValid() && !local.LinksDown[link.Index] {
			alive = append(alive, host.Neighborhood{Link: link.Index, Name: name, Addr: link.Addr})
		}
	}
	k.routers.Follow(alive)
	for _, n := range alive {
		link, found := local.Links[n.Name], k.routers.On(n.Link)
		link.Routers, link.Problem = found.Routers, found.Problem
		local.Links[n.Name] = link
	}
}
